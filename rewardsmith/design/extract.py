"""From a chat reply to the code in it, whatever surrounds the code.

Every piece of text that may be code is a *block*: the content of a fence, or what looks like code outside of fences.
The block that defines the wanted function wins (the last such block: models often quote the old code first); helper
functions it calls are fetched from the other blocks.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

LONGEST_REPLY = 200_000  # characters
LONGEST_FUNCTION = 300  # lines; looked at where code stands without a fence
MOST_DEFINITIONS = 3  # of the wanted function without a fence; the last ones count
_THINKING = ("think", "thinking", "thought", "reasoning")
_OPEN = re.compile(r"^[ \t>]*(`{3,}|~{3,})[ \t]*(.*)$")
_CODE_LINE = re.compile(r"(def |import |from |@|#|[A-Za-z_][A-Za-z0-9_]*(: ?[\w\[\], .|]+)? = )")


class Extraction(NamedTuple):
    """`code` is None exactly when `problem` says why. `prose` is the reply without fences and thinking."""

    code: str | None
    problem: str
    prose: str


class _Block(NamedTuple):
    code: str
    closed: bool


def extract_code(text: str, function: str, *, companions: Sequence[str] = (), truncated: bool = False) -> Extraction:
    """Finds the code that defines `function` at its top level.

    Code that defines it but does not parse is returned as it is: the gate reports the line, which a model can act on.

    Args:
        companions: functions that belong to the code even where nothing calls them ("potential").
        truncated: the server said that the reply was cut off.
    """
    if len(text) > LONGEST_REPLY:
        return Extraction(None, f"the reply is {len(text):,} characters long; at most {LONGEST_REPLY:,} are read", "")
    text, thinking_open = _without_thinking(_plain(text))
    if not text.strip():
        if thinking_open:
            return Extraction(None, "the reply ends while the model is still thinking; there is no answer in it", "")
        return Extraction(None, "the reply was cut off before any text" if truncated else "the reply is empty", "")

    blocks, prose = _blocks(text, function)
    defining = [b for b in blocks if _defines(b.code, function)]
    whole = [b for b in defining if _parses(b.code) and (b.closed or not truncated)]
    if whole:
        code = _with_helpers(whole[-1].code, function, companions, [b.code for b in blocks])
        return Extraction(code, "", prose)
    if defining and not defining[-1].closed and (truncated or not _parses(defining[-1].code)):
        return Extraction(None, f"the reply was cut off inside the code: `{function}` is not complete", prose)
    if defining:
        return Extraction(defining[-1].code, "", prose)
    return Extraction(None, _what_is_missing(blocks, function, truncated), prose)


def _what_is_missing(blocks: Sequence[_Block], function: str, truncated: bool) -> str:
    if truncated:
        return f"the reply was cut off before `{function}` was complete"
    names = sorted({name for b in blocks for name in re.findall(r"^def (\w+)", b.code, re.MULTILINE)})
    if names:
        return f"the code does not define `{function}` at its top level; it defines {', '.join(names[:8])}"
    return f"the reply contains no code that defines `{function}`"


# --- text ----------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Plain newlines and spaces; editors and chat windows add the other kinds."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
    return re.sub(r"[\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2069\x00-\x08\x0b-\x1f\x7f]", "", text)


def _without_thinking(text: str) -> tuple[str, bool]:
    """`text` without thinking blocks, and whether one is left open. Some servers drop the opening tag: so may we."""
    still_open = False
    for tag in _THINKING:
        opening, closing = f"<{tag}>", f"</{tag}>"
        kept, rest = "", text
        while (start := rest.lower().find(opening)) >= 0:
            end = rest.lower().find(closing, start)
            if end < 0 and rest[:start].rpartition("\n")[2].strip():
                break  # the tag is mentioned in a sentence
            kept += rest[:start]
            rest = rest[end + len(closing) :] if end >= 0 else ""
            still_open = still_open or end < 0
        text = kept + rest
        text = text[text.lower().rfind(closing) + len(closing) :] if closing in text.lower() else text
    return text, still_open


# --- blocks --------------------------------------------------------------------------------------------------------


def _blocks(text: str, function: str) -> tuple[list[_Block], str]:
    """All blocks in the order of the text, and the prose between the fences."""
    lines = text.split("\n")
    blocks: list[_Block] = []
    prose: list[str] = []
    i = 0
    while i < len(lines):
        opening = _OPEN.match(lines[i])
        if opening is None:
            prose.append(lines[i])
            i += 1
            continue
        block, i = _fenced(lines, i, opening, function)
        blocks.append(block)
    if not any(_defines(b.code, function) for b in blocks):
        blocks += _wrapped_in_json(text, function)
        blocks += _unfenced(prose, function)
    return blocks, "\n".join(prose).strip()


def _fenced(lines: list[str], start: int, opening: re.Match[str], function: str) -> tuple[_Block, int]:
    """The block opened at `start` and the line after it.

    A fence inside a docstring closes too early: where the first closing line leaves code that does not parse,
    a later one that does is taken instead.
    """
    mark, info = opening.group(1), opening.group(2).strip()
    head = [info[info.index("def ") :]] if re.match(r"(\w+\s+)?def \w+\(", info) else []
    quoted = lines[start].lstrip().startswith(">")

    def content(end: int) -> str:
        body = [re.sub(r"^[ \t]*> ?", "", line) if quoted else line for line in lines[start + 1 : end]]
        return textwrap.dedent("\n".join([*head, *body])).strip("\n")

    closing = re.compile(rf"^[ \t>]*{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$")
    ends = (j for j in range(start + 1, len(lines)) if closing.match(lines[j]))
    nearest = next(ends, None)
    if nearest is None:
        return _Block(content(len(lines)), closed=False), len(lines)
    first = content(nearest)
    if _defines(first, function) and not _parses(first):
        for end in islice(ends, 5):
            if _parses(longer := content(end)):
                return _Block(longer, closed=True), end + 1
    return _Block(first, closed=True), nearest + 1


def _wrapped_in_json(text: str, function: str) -> Iterator[_Block]:
    """Code inside a JSON reply such as {"code": "def ..."}."""
    if not text.lstrip().startswith("{"):
        return
    try:
        values = json.loads(text)
    except ValueError:
        return
    for value in values.values():
        if isinstance(value, str) and _defines(value, function):
            yield _Block(value.strip("\n"), closed=True)


def _unfenced(lines: list[str], function: str) -> Iterator[_Block]:
    """Code written straight into the text: from the definition grown downwards, then upwards, as far as it parses."""
    wanted = re.compile(rf"^([ ]*)def {re.escape(function)}\s*\(")
    starts = [(at, found.group(1)) for at, line in enumerate(lines) if (found := wanted.match(line))]
    for at, indent in starts[-MOST_DEFINITIONS:]:
        body = [s.removeprefix(indent) for s in lines[: at + LONGEST_FUNCTION]]
        for end in range(len(body), at, -1):
            code = _up_to_last_definition("\n".join(body[at:end]))
            if code is not None:
                break
        else:
            end = next((j for j in range(at + 1, len(body)) if body[j] and not body[j][0].isspace()), len(body))
            yield _Block("\n".join(body[at:end]), closed=end < len(body))
            continue
        for start in range(max(0, at - LONGEST_FUNCTION), at):
            if _CODE_LINE.match(body[start]) and _parses(above := "\n".join(body[start:at])):
                code = f"{above}\n{code}"
                break
        yield _Block(code.strip("\n"), closed=True)


def _up_to_last_definition(code: str) -> str | None:
    """`code` up to its last definition or assignment (a trailing "Enjoy" parses too); None if it does not parse."""
    tree = _parsed(code)
    if tree is None:
        return None
    kept = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.Assign | ast.AnnAssign)]
    return "\n".join(code.split("\n")[: kept[-1].end_lineno]) if kept else None


# --- code ----------------------------------------------------------------------------------------------------------


def _parsed(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parses(code: str) -> bool:
    return _parsed(code) is not None


def _defines(code: str, function: str) -> bool:
    return re.search(rf"^def {re.escape(function)}\s*\(", code, re.MULTILINE) is not None


def _with_helpers(code: str, function: str, companions: Sequence[str], blocks: Sequence[str]) -> str:
    """`code` with the functions it calls, and its companions, fetched from the other blocks (the last of each name)."""
    elsewhere: dict[str, str] = {}
    for other in blocks:
        tree = _parsed(other) if other != code else None
        for node in tree.body if tree else []:
            if isinstance(node, ast.FunctionDef) and node.name != function:
                elsewhere[node.name] = ast.get_source_segment(other, node) or ""
    while True:
        tree = _parsed(code)
        if tree is None:
            return code
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        own = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        missing = [name for name in elsewhere if name in used | set(companions) and name not in own]
        if not missing:
            return code
        code = "\n\n\n".join([*(elsewhere[name] for name in missing), code])
