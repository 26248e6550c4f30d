"""Writes tuned numbers where they belong: into the reward's source, and into its graph."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping

from rewardsmith.errors import UsageError, unknown
from rewardsmith.reward.graph import RewardGraph

_FUNCTIONS = ("compute_reward", "potential")
_BYTE_ORDER_MARK = "\ufeff"


def with_defaults(source: str, parameters: Mapping[str, float]) -> str:
    """The source of a reward with other defaults of `parameters`; every other character stays as it is.

    Where a parameter is shared by `compute_reward` and `potential`, both are changed.

    Raises:
        UsageError: a parameter does not exist, a value is not finite, or the source is not valid Python.
    """
    _require_finite(parameters)
    code = source.removeprefix(_BYTE_ORDER_MARK)
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"the reward's source is not valid Python: {error}") from error
    places = list(_defaults(tree))
    _require_known(parameters, {name for name, _ in places})
    text = code.encode()
    starts = _line_starts(text)
    for name, node in sorted(places, key=lambda place: (place[1].lineno, place[1].col_offset), reverse=True):
        if name in parameters:
            assert node.end_lineno is not None and node.end_col_offset is not None
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            text = text[:begin] + repr(float(parameters[name])).encode() + text[end:]
    return source[: len(source) - len(code)] + text.decode()


def with_parameters(graph: RewardGraph, parameters: Mapping[str, float]) -> RewardGraph:
    """The graph with other defaults of `parameters`: what tracing the source of `with_defaults` gives.

    Raises:
        UsageError: a parameter does not exist or is structural, or a value is not finite.
    """
    _require_finite(parameters)
    _require_known(parameters, graph.parameters)
    if baked := [name for name in parameters if name in graph.structural]:
        raise UsageError(
            f"parameter {baked[0]!r} shapes the graph itself", hint="change its default in the source and trace again"
        )
    numbers = {name: float(value) for name, value in parameters.items()}
    return graph.model_copy(update={"parameters": graph.parameters | numbers})


def _defaults(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Names and defaults of the parameters; like Python, of two functions of one name the last one counts."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for function in (functions[name] for name in _FUNCTIONS if name in functions):
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        plain = len(positional) - len(arguments.defaults)
        pairs = [
            *zip(positional[plain:], arguments.defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        yield from ((argument.arg, default) for argument, default in pairs if default is not None)


def _line_starts(text: bytes) -> list[int]:
    """Byte at which each line of UTF-8 source begins; syntax trees count columns in bytes."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _require_finite(parameters: Mapping[str, float]) -> None:
    for name, value in parameters.items():
        if not math.isfinite(value):
            raise UsageError(f"parameter {name!r} cannot be {value}", hint="give a finite number")


def _require_known(parameters: Mapping[str, float], known: Mapping[str, float] | set[str]) -> None:
    for name in parameters:
        if name not in known:
            raise UsageError(unknown("parameter", name, known))
