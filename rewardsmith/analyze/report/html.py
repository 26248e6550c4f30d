"""Self-contained HTML pages of untrusted text: autoescaped, without scripts, without a single request."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from jinja2 import Template as JinjaTemplate
from markupsafe import Markup

from rewardsmith.analyze.report.text import clean


def render_html(template: str, *, style: str, media: bool = False, **values: object) -> str:
    """The page of a Jinja2 template, which also gets `style` and `policy` to print.

    Every text in `values` may be hostile: it is escaped and its invisible characters are shown. The page's own policy
    allows this one style sheet (by hash) and, with `media`, embedded images and films, nothing else: a script could
    not run even if one got in.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    embedded = "img-src data:; media-src data:; " if media else ""
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; {embedded}base-uri 'none'; form-action 'none'"
    return _compiled(template).render(values, style=Markup(style), policy=policy)


@cache
def resource(package: str, name: str) -> str:
    """The text of a file that lies in one of our packages."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


@cache
def _compiled(template: str) -> JinjaTemplate:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_visible
    )
    return environment.from_string(template)


def _visible(value: object) -> object:
    """Jinja2 calls this for every printed value, before it is escaped."""
    return value if isinstance(value, (Markup, int, float)) else clean(str(value))
