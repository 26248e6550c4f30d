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

from rewardsmith.llm.messages import without_surrogates

LONGEST_REPLY = 200_000  # characters
LONGEST_FUNCTION = 300  # lines; looked at where code stands without a fence
MOST_DEFINITIONS = 3  # of the wanted function without a fence; the last ones count
MOST_HELPERS = 100  # fetched from other blocks
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
    No text makes this raise: one that cannot be read is a reply without code.

    Args:
        companions: functions that belong to the code even where nothing calls them ("potential").
        truncated: the server said that the reply was cut off.
    """
    if len(text) > LONGEST_REPLY:
        return Extraction(None, f"the reply is {len(text):,} characters long; at most {LONGEST_REPLY:,} are read", "")
    try:
        return _extract(text, function, companions, truncated)
    except Exception as error:  # a boundary: the text is anybody's
        return Extraction(None, f"the reply cannot be read ({type(error).__name__})", "")


def _extract(text: str, function: str, companions: Sequence[str], truncated: bool) -> Extraction:
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
    text = without_surrogates(text).replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
    return re.sub(r"[\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2069\x00-\x08\x0b-\x1f\x7f]", "", text)


def _without_thinking(text: str) -> tuple[str, bool]:
    """`text` without thinking blocks, and whether one is left open. Some servers drop the opening tag: so may we."""
    still_open = False
    for tag in _THINKING:
        opening, closing = (re.compile(mark, re.IGNORECASE | re.ASCII) for mark in (f"<{tag}>", f"</{tag}>"))
        kept, at = [], 0
        while start := opening.search(text, at):
            end = closing.search(text, start.end())
            before = text[at : start.start()]
            if end is None and before.rpartition("\n")[2].strip():
                break  # the tag is mentioned in a sentence
            kept.append(before)
            at = end.end() if end else len(text)
            still_open = still_open or end is None
        text = "".join(kept) + text[at:]
        text = closing.split(text)[-1]
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
    except (ValueError, RecursionError):
        return
    for value in values.values():
        if isinstance(value, str) and _defines(code := _plain(value), function):
            yield _Block(code.strip("\n"), closed=True)


def _unfenced(lines: list[str], function: str) -> Iterator[_Block]:
    """Code written straight into the text: from the definition grown downwards, then upwards, as far as it parses."""
    wanted = re.compile(rf"^([ ]*)def {re.escape(function)}\s*\(")
    starts = [(at, found.group(1)) for at, line in enumerate(lines) if (found := wanted.match(line))]
    for at, indent in starts[-MOST_DEFINITIONS:]:
        body = [s.removeprefix(indent) for s in lines[: at + LONGEST_FUNCTION]]
        code = _longest_start(body[at:])
        if code is None:
            end = next((j for j in range(at + 1, len(body)) if body[j] and not body[j][0].isspace()), len(body))
            yield _Block("\n".join(body[at:end]), closed=end < len(body))
            continue
        above = _longest_end(body[max(0, at - LONGEST_FUNCTION) : at])
        yield _Block(f"{above}\n{code}".strip("\n"), closed=True)


def _longest_start(lines: Sequence[str]) -> str | None:
    """The first lines, as many as parse, up to their last definition or assignment (a trailing "Enjoy" parses too)."""
    end = len(lines)
    while end > 0:
        tree, wrong = _parse("\n".join(lines[:end]))
        kept = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.Assign | ast.AnnAssign)] if tree else []
        if kept:
            return "\n".join(lines[: kept[-1].end_lineno])
        end = min(end, wrong) - 1  # what holds a wrong line is wrong
    return None


def _longest_end(lines: Sequence[str]) -> str:
    """The last lines, as many as parse, from one that looks like code; empty if there are none."""
    start = 0
    while start < len(lines):
        wrong = 1
        if _CODE_LINE.match(lines[start]):
            tree, wrong = _parse(code := "\n".join(lines[start:]))
            if tree:
                return code
        start += max(1, wrong - 1) if wrong else len(lines)  # a wrong line may be the first of what is right
    return ""


# --- code ----------------------------------------------------------------------------------------------------------


def _parse(code: str) -> tuple[ast.Module | None, int]:
    """The tree, or None and the line (1-based) of the first error; 0 where the code is too deep to have one."""
    try:
        return ast.parse(code), 0
    except SyntaxError as error:
        return None, max(1, error.lineno or 1)
    except (ValueError, RecursionError, MemoryError):
        return None, 0


def _parses(code: str) -> bool:
    return _parse(code)[0] is not None


def _defines(code: str, function: str) -> bool:
    return re.search(rf"^def {re.escape(function)}\s*\(", code, re.MULTILINE) is not None


def _with_helpers(code: str, function: str, companions: Sequence[str], blocks: Sequence[str]) -> str:
    """`code` with the functions it calls, and its companions, fetched from the other blocks (the last of each name)."""
    tree, _ = _parse(code)
    if tree is None:
        return code
    elsewhere: dict[str, tuple[ast.FunctionDef, str]] = {}
    for other in blocks:
        tree_there, _ = _parse(other) if other != code else (None, 0)
        lines = other.split("\n")
        for node in tree_there.body if tree_there else []:
            if isinstance(node, ast.FunctionDef) and node.name != function:
                elsewhere[node.name] = node, "\n".join(lines[node.lineno - 1 : node.end_lineno])
    had = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    wanted = _used(tree) | set(companions)
    parts, helpers = [code], 0
    while missing := [name for name in elsewhere if name in wanted - had][: MOST_HELPERS - helpers]:
        parts = [*(elsewhere[name][1] for name in missing), *parts]
        helpers += len(missing)
        had.update(missing)
        wanted = set().union(*(_used(elsewhere[name][0]) for name in missing))
    return "\n\n\n".join(parts)


def _used(tree: ast.AST) -> set[str]:
    """The names that are read in it."""
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
