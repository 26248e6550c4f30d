"""The static gate: reads the source without running it, allows what is listed, and writes it anew.

It is the first wall, and the one that explains itself: every refusal has a line and a fix. It does not have to be the
last one, because what passes still runs in the jail. Only the tree that was checked goes on (`ast.unparse` of it),
never the original bytes. Tolerated and removed: imports of what exists anyway, type hints, docstrings,
`@torch.jit.script`, `with torch.no_grad():`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tokenize
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from rewardsmith.reward.checker import MAX_FINDINGS, Checker
from rewardsmith.reward.findings import finding
from rewardsmith.reward.library import statements
from rewardsmith.reward.signature import Signature, goal_signature, reward_signature
from rewardsmith.types import Finding, RewardInterface

Kind = Literal["reward", "goal"]

# Sizes at which nothing in here takes over 50 ms. The largest rewards that models wrote have a tenth of this.
MAX_SOURCE_CHARS = 20_000
MAX_SYNTAX_NODES = 5_000
MAX_DEPTH = 60
# What Python's parser is slow with: `import a.a.a...` takes quadratic time, f-strings parse every part on its own.
MAX_LETTERS = {".": 3_000, "{": 1_500}

_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CODING = re.compile(r"[ \t\f]*#.*?coding[:=]")


@dataclass(frozen=True)
class GateResult:
    """What the gate found. `source` is empty when it refused.

    Attributes:
        findings: refusals (the gate gives no warnings), at most MAX_FINDINGS.
        source: the normalized source for the tracer.
        lines: line of `source` -> line of the original.
        parameters: name -> default of all keyword-only parameters.
        functions: names of the functions to trace, e.g. ("compute_reward", "potential").
        uses_memory: compute_reward takes and returns memory.
    """

    findings: tuple[Finding, ...] = ()
    source: str = ""
    lines: dict[int, int] = field(default_factory=dict)
    parameters: dict[str, float] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    uses_memory: bool = False

    @property
    def ok(self) -> bool:
        return not self.findings


_CONTEXTS = (ast.Load, ast.Store, ast.Del)  # marks, not nodes that anybody wrote


class _Refused(Exception):
    def __init__(self, found: Finding) -> None:
        self.finding = found


def check_source(code: str, interface: RewardInterface, *, kind: Kind = "reward") -> GateResult:
    """Check and normalize the source of a reward (or a goal). Never raises for bad code, never executes any of it."""
    try:
        tree = _parse(code)
        checker = Checker(interface)
        tree = checker.check(tree)
        signature = goal_signature(tree) if kind == "goal" else reward_signature(tree)
    except _Refused as refusal:
        return GateResult(findings=(refusal.finding,))
    if found := [*checker.findings, *signature.findings]:
        return GateResult(findings=tuple(sorted(found, key=lambda f: f.line or 0)[:MAX_FINDINGS]))
    return _normalized(tree, signature)


def _normalized(tree: ast.Module, signature: Signature) -> GateResult:
    try:
        source = ast.unparse(tree)
        with _silent():
            again = ast.parse(source)
            compile(again, "<reward>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # e.g. `return` outside a function
        line = getattr(error, "lineno", None)
        return GateResult(findings=(finding("gate.syntax", f"it does not compile: {_ascii(str(error))}", line=line),))
    lines = {new.lineno: old.lineno for new, old in zip(statements(again), statements(tree), strict=True)}
    return GateResult(
        source=source,
        lines=lines,
        parameters=signature.parameters,
        functions=signature.functions,
        uses_memory=signature.uses_memory,
    )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Python warns about odd source on standard error (`1 is 1`, an unknown escape); it is not ours to repeat."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- the text ------------------------------------------------------------------------------------------------------


def _parse(code: str) -> ast.Module:
    code = code.removeprefix("\ufeff").replace("\r\n", "\n")
    if len(code) > MAX_SOURCE_CHARS:
        raise _Refused(finding("gate.size", f"{len(code):,} characters, {MAX_SOURCE_CHARS:,} are allowed"))
    for letter, most in MAX_LETTERS.items():
        if (count := code.count(letter)) > most:
            raise _Refused(finding("gate.size", f"{count:,} times `{letter}`, {most:,} are allowed"))
    for number, line in enumerate(code.split("\n"), start=1):
        if (letter := _invisible(line)) is not None:
            raise _Refused(
                finding("gate.encoding", f"the invisible or control character U+{ord(letter):04X}", line=number)
            )
        if number <= 2 and _CODING.match(line):
            raise _Refused(finding("gate.encoding", "an encoding declaration", line=number))
    try:
        with _silent():
            tree = ast.parse(code)
        _check_extent(tree)  # first: Python's tokenizer is slower than its parser
        _check_identifiers(code)
    except SyntaxError as error:
        raise _Refused(finding("gate.syntax", f"not valid Python: {_ascii(error.msg)}", line=error.lineno)) from None
    except (ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise _Refused(finding("gate.size", f"the source is nested too deeply: {_ascii(str(error))}")) from None
    return tree


def _ascii(message: str) -> str:
    """Python's messages quote the source."""
    return ascii(message)[1:-1][:200]


def _invisible(line: str) -> str | None:
    """The first character that does not show."""
    if line.isascii():
        found = _CONTROL.search(line)
        return found and found.group()
    return next((letter for letter in line if letter != "\t" and unicodedata.category(letter) in _INVISIBLE), None)


def _check_identifiers(code: str) -> None:
    """Python reads the name \uff45val as eval: refuse letters outside ASCII in names before they are folded away."""
    if code.isascii():
        return
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.NAME and not token.string.isascii():
            raise _Refused(finding("gate.encoding", f"the name {ascii(token.string)[:60]}", line=token.start[0]))


def _check_extent(tree: ast.Module) -> None:
    """Bound the number of nodes and their depth before anything recursive looks at them."""
    level: list[ast.AST] = [tree]
    count = depth = 0
    while level:
        count += len(level)
        depth += 1
        if count > MAX_SYNTAX_NODES or depth > MAX_DEPTH:
            raise _Refused(
                finding("gate.size", f"over {MAX_SYNTAX_NODES:,} syntax nodes or {MAX_DEPTH} levels of nesting")
            )
        level = [child for node in level for child in ast.iter_child_nodes(node) if type(child) not in _CONTEXTS]
