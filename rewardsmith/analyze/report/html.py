"""Self-contained HTML pages of untrusted text: autoescaped, without a single request, without scripts of others."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from jinja2 import Template as JinjaTemplate
from markupsafe import Markup

from rewardsmith.analyze.report.text import clean


def render_html(
    template: str, *, style: str, media: bool = False, script: str = "", data: object = None, **values: object
) -> str:
    """The page of a Jinja2 template, which also gets `style`, `policy`, `script` and `data` to print.

    Every text in `values` may be hostile: it is escaped and its invisible characters are shown. The page's own policy
    allows this one style sheet and this one script (by hash) and, with `media`, embedded images and films, nothing
    else: another script could not run even if one got in.

    Args:
        data: what the script reads, printed as JSON that cannot leave its `<script type="application/json">`.
    """
    allowed = f"style-src {_hash(style)}; {f'script-src {_hash(script)}; ' if script else ''}"
    embedded = "img-src data:; media-src data:; " if media else ""
    policy = f"default-src 'none'; {allowed}{embedded}base-uri 'none'; form-action 'none'"
    return _compiled(template).render(
        values, style=Markup(style), policy=policy, script=Markup(script), data=_inert(data)
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inert(data: object) -> Markup:
    """JSON in which no HTML can begin or end."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


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
