"""One reward graph out of several: their weighted sum, or a conjunction in which none can make up for another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from rewardsmith.errors import UsageError
from rewardsmith.reward.ensemble import _Builder as GraphBuilder
from rewardsmith.reward.graph import FunctionGraph, Input, MemorySpec, RewardGraph, parse_graph, to_json
from rewardsmith.reward.vocabulary import NAME
from rewardsmith.types import RewardInterface


def weighted_sum(
    parts: Mapping[str, RewardGraph], weights: Mapping[str, float], interface: RewardInterface
) -> RewardGraph:
    """The reward sum of weight * part.

    Its components are the weighted parts. Its parameters are the weights, `weight_of_<part>`, and those of the parts,
    `<part>_<parameter>`.

    Args:
        parts: graphs by a short name (`[a-z][a-z0-9_]*`).
        weights: one for each part; any sign.

    Raises:
        UsageError: no parts, a weight is missing, a name is not usable, or a part has a potential.
        RewardRefused: together the parts are too large.
    """
    _check_names("weights", parts, weights)

    def weighted(builder: GraphBuilder, name: str, pay: int) -> int:
        weight = builder.inline(_parameter(name), prefix="weight_of_")["value"]
        return builder.add("aten.mul.Tensor", {"ref": pay}, {"ref": weight})

    return _summed(parts, weighted, interface, {f"weight_of_{name}": float(weights[name]) for name in parts})


class Margin(NamedTuple):
    """What a part pays per step on common transitions: the median, and the deviation around it."""

    median: float
    deviation: float


def margin_of(values: Tensor) -> Margin:
    """Of a reward (M,) on the common transitions.

    Raises: UsageError: it does not vary, or is not finite everywhere.
    """
    median, deviation = float(values.double().median()), float(values.double().std(correction=0))
    if not (math.isfinite(deviation) and deviation > 1e-9 * max(1.0, abs(median))):
        raise UsageError("a reward that never varies, or is not finite, cannot be part of a conjunction")
    return Margin(median, deviation)


def conjunction(
    parts: Mapping[str, RewardGraph], margins: Mapping[str, Margin], interface: RewardInterface
) -> RewardGraph:
    """The reward sum of log sigmoid((part - median) / deviation): the log-probability that all parts are good.

    No term exceeds 0 and none is bounded below, so whoever is bad in one part cannot win by another: excellence instead
    of the median gains at most log 2 a part. Its components are these terms.

    Args: as in `weighted_sum`; `margins` from `margin_of` each part on the bank.

    Raises: as `weighted_sum`.
    """
    _check_names("margins", parts, margins)

    def good(builder: GraphBuilder, name: str, pay: int) -> int:
        above = builder.add("aten.sub.Scalar", {"ref": pay}, margins[name].median)
        below = builder.add("aten.div.Scalar", {"ref": above}, -margins[name].deviation)
        return builder.add("aten.neg.default", {"ref": builder.add("aten.softplus.default", {"ref": below})})

    return _summed(parts, good, interface, {})


def _summed(
    parts: Mapping[str, RewardGraph],
    term: Callable[[GraphBuilder, str, int], int],
    interface: RewardInterface,
    parameters: dict[str, float],
) -> RewardGraph:
    """The sum of `term(builder, name, total of the part)` over all parts; `parameters` are those of the terms."""
    builder = GraphBuilder()
    terms: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for name, graph in parts.items():
        _check_part(name, graph)
        values = builder.inline(graph.reward, prefix=f"{name}_")
        terms[name] = term(builder, name, values["total"])
        outputs |= {f"memory.{name}_{spec.name}": values[f"memory.{spec.name}"] for spec in graph.memory}
    total, *others = terms.values()
    for value in others:
        total = builder.add("aten.add.Tensor", {"ref": total}, {"ref": value})
    outputs |= {"total": total} | {f"component.{name}": value for name, value in terms.items()}
    some = next(iter(parts.values()))
    merged = RewardGraph(
        interface=some.interface,
        features=some.features,
        parameters=parameters
        | {f"{name}_{key}": value for name, graph in parts.items() for key, value in graph.parameters.items()},
        structural=tuple(f"{name}_{key}" for name, graph in parts.items() for key in graph.structural),
        memory=tuple(
            MemorySpec.model_validate(spec.model_dump() | {"name": f"{name}_{spec.name}"})
            for name, graph in parts.items()
            for spec in graph.memory
        ),
        reward=builder.function(outputs),
    )
    return parse_graph(to_json(merged), interface)


def _parameter(name: str) -> FunctionGraph:
    """A function that gives back its only parameter."""
    return FunctionGraph(inputs=(Input(source="parameter", name=name, dtype="float64"),), outputs={"value": 0})


def _check_names(what: str, parts: Mapping[str, RewardGraph], given: Mapping[str, object]) -> None:
    if not parts or set(given) != set(parts):
        raise UsageError(f"{what} for {sorted(given)} do not fit the rewards {sorted(parts)}")


def _check_part(name: str, graph: RewardGraph) -> None:
    if not NAME.fullmatch(name) or name == "weight":
        raise UsageError(
            f"{name!r} cannot name a part of a sum", hint='use lower case letters and digits, not "weight"'
        )
    if graph.potential is not None:
        raise UsageError(f"{name} has a potential, and potentials cannot be combined", hint="leave it out of the sum")
