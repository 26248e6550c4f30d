"""The static gate: reads the source without running it, allows what is listed, and writes it anew.

It is the first wall, and the one that explains itself: every refusal has a line and a fix. It does not have to be the
last one, because what passes still runs in the jail. Only the tree that was checked goes on (`ast.unparse` of it),
never the original bytes. Tolerated and removed: imports of what exists anyway, type hints, docstrings,
`@torch.jit.script`, `with torch.no_grad():`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from rewardsmith.reward.checker import MAX_FINDINGS, Checker
from rewardsmith.reward.findings import finding
from rewardsmith.reward.signature import Signature, goal_signature, reward_signature
from rewardsmith.types import Finding, RewardInterface

Kind = Literal["reward", "goal"]

MAX_SOURCE_CHARS = 40_000
MAX_AST_NODES = 12_000
MAX_DEPTH = 60


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
        source = ast.unparse(ast.fix_missing_locations(tree))
        again = ast.parse(source)
        compile(again, "<reward>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # e.g. `return` outside a function
        line = getattr(error, "lineno", None)
        return GateResult(findings=(finding("gate.syntax", f"it does not compile: {error}"[:200], line=line),))
    lines = {new.lineno: old.lineno for new, old in zip(_all_statements(again), _all_statements(tree), strict=True)}
    return GateResult(
        source=source,
        lines=lines,
        parameters=signature.parameters,
        functions=signature.functions,
        uses_memory=signature.uses_memory,
    )


def _all_statements(tree: ast.AST) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


# --- the text ------------------------------------------------------------------------------------------------------


def _parse(code: str) -> ast.Module:
    code = code.removeprefix("\ufeff").replace("\r\n", "\n")
    if len(code) > MAX_SOURCE_CHARS:
        raise _Refused(finding("gate.size", f"{len(code):,} characters, {MAX_SOURCE_CHARS:,} are allowed"))
    for number, line in enumerate(code.split("\n"), start=1):
        for letter in line:
            if letter != "\t" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
                raise _Refused(
                    finding("gate.encoding", f"the invisible or control character U+{ord(letter):04X}", line=number)
                )
        if number <= 2 and re.match(r"[ \t\f]*#.*?coding[:=]", line):
            raise _Refused(finding("gate.encoding", "an encoding declaration", line=number))
    try:
        tree = ast.parse(code)
        _check_identifiers(code)
    except SyntaxError as error:
        raise _Refused(finding("gate.syntax", f"not valid Python: {error.msg}"[:200], line=error.lineno)) from None
    except (ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise _Refused(finding("gate.size", f"the source is nested too deeply: {error}"[:200])) from None
    _check_extent(tree)
    return tree


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
        if count > MAX_AST_NODES or depth > MAX_DEPTH:
            raise _Refused(
                finding("gate.size", f"over {MAX_AST_NODES:,} syntax nodes or {MAX_DEPTH} levels of nesting")
            )
        level = [child for node in level for child in ast.iter_child_nodes(node)]
