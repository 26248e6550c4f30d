"""Untrusted text on its way to the page: made visible and short here, escaped by the template or by `escape`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import Literal, NamedTuple

from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

MAX_CHARS = 60_000
MAX_LINES = 1_500
DIFF_CONTEXT = 3

_BIDI_AND_INVISIBLE = "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_STRANGE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff{_BIDI_AND_INVISIBLE}]")


class DiffLine(NamedTuple):
    """One line of a diff; `html` is highlighted and safe."""

    kind: Literal["same", "added", "removed", "gap"]
    html: Markup


def clean(text: str, *, limit: int = MAX_CHARS) -> str:
    """`text` with one kind of line end, and with everything a reader could not see made visible.

    Control characters (terminal escapes) become their pictures, direction overrides and zero-width characters their
    code points, so that what is shown is what is there. Longer than `limit` characters is cut, and says so.
    """
    if len(text) > limit:
        text = f"{text[:limit]}\n[... {len(text) - limit:,} more characters]"
    return _STRANGE.sub(_picture, text.replace("\r\n", "\n").replace("\r", "\n"))


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\u{code:04x}"


def source_lines(code: str) -> list[str]:
    """The lines of a source as shown, without line ends; at most `MAX_LINES`, and the last one says what was cut."""
    if not code:
        return []
    lines = clean(code).removesuffix("\n").split("\n")
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"# [... {len(lines) - MAX_LINES:,} more lines]"]
    return lines


def code_lines(code: str) -> list[Markup]:
    """Python source as highlighted, safe HTML, one item for each of `source_lines` (spans never cross a line end)."""
    if not (lines := source_lines(code)):
        return []
    html = highlight("\n".join(lines), PythonLexer(stripnl=False, ensurenl=False), HtmlFormatter(nowrap=True))
    return [Markup(line) for line in html.split("\n")[: len(lines)]]


def code_block(code: str, *, marked: Collection[int] = ()) -> Markup:
    """Source as a `<pre>` with line numbers that are not copied; `marked` lines, 1-based, stand out."""
    lines = (
        Markup('<span class="ln{}">{}\n</span>').format(" hit" if number in marked else "", line)
        for number, line in enumerate(code_lines(code), start=1)
    )
    return Markup('<pre class="code" tabindex="0">{}</pre>').format(Markup("").join(lines))


def diff_lines(old: str, new: str) -> list[DiffLine]:
    """A unified diff of two sources with highlighted lines and `DIFF_CONTEXT` lines around each change."""
    old_html, new_html = code_lines(old), code_lines(new)
    matcher = difflib.SequenceMatcher(a=source_lines(old), b=source_lines(new))
    lines: list[DiffLine] = []
    for number, group in enumerate(matcher.get_grouped_opcodes(DIFF_CONTEXT)):
        if number:
            lines.append(DiffLine("gap", Markup("\u22ef")))
        for tag, a0, a1, b0, b1 in group:
            if tag == "equal":
                lines += [DiffLine("same", line) for line in new_html[b0:b1]]
            else:
                lines += [DiffLine("removed", line) for line in old_html[a0:a1]]
                lines += [DiffLine("added", line) for line in new_html[b0:b1]]
    return lines


def diff_block(old: str, new: str) -> Markup | None:
    """A diff as a `<pre>`, or None when the two are equal."""
    lines = diff_lines(old, new)
    if not lines:
        return None
    rows = (Markup('<span class="d {}">{}\n</span>').format(line.kind, line.html) for line in lines)
    return Markup('<pre class="code diff" tabindex="0">{}</pre>').format(Markup("").join(rows))


def safe(text: str) -> Markup:
    """Cleaned and escaped: for text that goes into SVG drawn outside the template."""
    return escape(clean(text, limit=400))
