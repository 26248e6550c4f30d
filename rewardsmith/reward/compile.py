"""From source text to a program: gate, jail, loader. The one place where untrusted code becomes something that runs."""

from __future__ import annotations

import ast
import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from rewardsmith.errors import JailError, RewardRefused
from rewardsmith.jail import Jail, JailFault, JailTimeout
from rewardsmith.reward.advice import hint_for, in_plain_words
from rewardsmith.reward.findings import FINDINGS, finding
from rewardsmith.reward.gate import GateResult, Kind, check_source
from rewardsmith.reward.graph import FunctionGraph, Input, Node, parse_goal, parse_graph
from rewardsmith.reward.program import GoalProgram, RewardProgram
from rewardsmith.reward.verify import check_shapes
from rewardsmith.types import Finding, RewardInterface

_MESSAGE_CHARS = 400
_Graph = TypeVar("_Graph")


@dataclass(frozen=True)
class CompileResult:
    """`program` is None exactly when a finding refuses; warnings may accompany a program."""

    program: RewardProgram | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class GoalCompileResult:
    """The same for a goal."""

    program: GoalProgram | None
    findings: tuple[Finding, ...]


def reward_jail(**options: Any) -> Jail:
    """The jail in which rewards and goals are traced; `options` as for `Jail`."""
    return Jail("rewardsmith.reward.trace", **options)


def prepare(jail: Jail) -> None:
    """Start the jail in the background, and meanwhile check a graph here: torch imports much at the first one.

    A jail that does not start says so at its first call.
    """

    def start() -> None:
        with contextlib.suppress(JailError):
            jail.warm()

    threading.Thread(target=start, daemon=True, name="start-jail").start()
    inputs = (Input(source="next_obs", name="x"), Input(source="parameter", name="w", dtype="float64"))
    node = Node(op="aten.mul.Tensor", args=({"ref": 0}, {"ref": 1}))
    cast = Node(op="aten._to_copy.default", args=({"ref": 2},), kwargs={"dtype": {"dtype": "float32"}})
    check_shapes(FunctionGraph(inputs=inputs, nodes=(node, cast), outputs={"total": 3}), {"total": ((), "float32")})


def compile_reward(code: str, interface: RewardInterface, jail: Jail) -> CompileResult:
    """Check and trace the source of a reward. Never raises for bad code.

    Raises:
        JailError: the jail itself is broken (never the code's fault).
    """
    graph, findings = _compile(code, interface, jail, "reward", parse_graph)
    if graph is None:
        return CompileResult(None, findings)
    warnings = tuple(
        finding("trace.structural", f"parameter {name!r} is used as a plain number", severity="warn")
        for name in graph.structural
    )
    return CompileResult(RewardProgram(graph), warnings)


def compile_goal(code: str, interface: RewardInterface, jail: Jail) -> GoalCompileResult:
    """Check and trace the source of a goal. Never raises for bad code.

    Raises:
        JailError: the jail itself is broken (never the code's fault).
    """
    graph, findings = _compile(code, interface, jail, "goal", parse_goal)
    return GoalCompileResult(None if graph is None else GoalProgram(graph), findings)


def _compile(
    code: str, interface: RewardInterface, jail: Jail, kind: Kind, parse: Callable[[Any, RewardInterface], _Graph]
) -> tuple[_Graph | None, tuple[Finding, ...]]:
    gate = check_source(code, interface, kind=kind)
    if not gate.ok:
        return None, gate.findings
    payload = {
        "kind": kind,
        "source": gate.source,
        "functions": gate.functions,
        "parameters": gate.parameters,
        "interface": interface.model_dump(mode="json"),
    }
    answer: dict[str, Any] = {}
    try:
        answer = _readable(jail.call(payload))
        if "graph" in answer:
            return parse(answer["graph"], interface), ()
        return None, (_from_tracer(answer["finding"], gate),)
    except JailTimeout as fault:
        return None, (finding("trace.limits", str(fault)[:_MESSAGE_CHARS]),)
    except JailFault as fault:
        return None, (finding("trace.forbidden", printable(str(fault))),)
    except RewardRefused as refusal:
        return None, (_explained(refusal.id, refusal.message, _line_of(refusal, answer), gate),)


def _readable(data: bytes) -> dict[str, Any]:
    """The tracer's answer as JSON of the right form; its contents are still untrusted."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("graph", answer.get("finding")), dict):
        raise RewardRefused("the tracer's answer is not readable", id="trace.result")
    return answer


def _from_tracer(found: dict[str, Any], gate: GateResult) -> Finding:
    """A finding from inside the jail: a known id, a cleaned message, a line of the original source."""
    id, line = found.get("id"), found.get("line")
    if not isinstance(id, str) or id not in FINDINGS or not id.startswith("trace."):
        id = "trace.result"
    if id in ("trace.output", "trace.memory") and line is None and "compute_reward" in gate.functions:
        line = _last_return(gate.source)
    return _explained(id, str(found.get("message")), line, gate)


def _line_of(refusal: RewardRefused, answer: dict[str, Any]) -> Any:
    """What the jail says is the line of the operation that a refusal is about; any value whatever."""
    lines = answer.get("lines")
    if refusal.node is None or not isinstance(lines, dict):
        return None
    function, number = refusal.node
    known = lines.get(function)
    return known[number] if isinstance(known, list) and 0 <= number < len(known) else None


def _explained(id: str, message: str, line: Any, gate: GateResult) -> Finding:
    """A finding in the words of the contract; `line`, of the normalized source, is no more than a hint."""
    if type(line) is not int or line not in gate.lines:
        line = None
    hint = printable(hint_for(id, message, gate.source, line))
    return finding(id, printable(in_plain_words(message)), line=line and gate.lines[line], hint=hint)


def _last_return(source: str) -> int | None:
    """Line of the last `return` of compute_reward in normalized source."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    main = next(node for node in functions if node.name == "compute_reward")
    return max((node.lineno for node in ast.walk(main) if isinstance(node, ast.Return)), default=main.lineno)


def printable(text: str) -> str:
    """Untrusted text as one line of printable ASCII, of limited length."""
    flat = " ".join(text.split())
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in flat)[:_MESSAGE_CHARS]
