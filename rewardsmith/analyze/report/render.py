"""One HTML file from the records of a run: autoescaped, without scripts, without a single request."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from jinja2 import Template as JinjaTemplate
from markupsafe import Markup

from rewardsmith.analyze.report.data import ReportData
from rewardsmith.analyze.report.text import clean
from rewardsmith.analyze.report.view import report_view

_HERE = "rewardsmith.analyze.report"


def render_report(data: ReportData) -> str:
    """The report as one self-contained HTML page.

    Every text in `data` may be hostile: it is escaped and its invisible characters are shown. The page's own policy
    allows one style sheet (by hash) and embedded images and films, nothing else: a script could not run even if one
    got in.
    """
    style = _resource("style.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return _template().render(view=report_view(data), style=Markup(style), policy=policy)


@cache
def _template() -> JinjaTemplate:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_visible
    )
    return environment.from_string(_resource("template.html.j2"))


def _visible(value: object) -> object:
    """Jinja2 calls this for every printed value, before it is escaped."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _resource(name: str) -> str:
    return files(_HERE).joinpath(name).read_text(encoding="utf-8")
