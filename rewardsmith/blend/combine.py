"""One reward graph out of several: their weighted sum, or a conjunction in which none can make up for another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from rewardsmith.errors import UsageError
from rewardsmith.reward.assembly import GraphBuilder, assemble, ref
from rewardsmith.reward.graph import FunctionGraph, Input, RewardGraph
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
        return builder.add("aten.mul.Tensor", ref(pay), ref(weight))

    numbers = {f"weight_of_{name}": float(weights[name]) for name in parts}
    return assemble(parts, interface, term=weighted, total=_summed, parameters=numbers)


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
        above = builder.add("aten.sub.Scalar", ref(pay), margins[name].median)
        below = builder.add("aten.div.Scalar", ref(above), -margins[name].deviation)
        return builder.add("aten.neg.default", ref(builder.add("aten.softplus.default", ref(below))))

    return assemble(parts, interface, term=good, total=_summed)


def _summed(builder: GraphBuilder, terms: Sequence[int]) -> int:
    total, *others = terms
    for value in others:
        total = builder.add("aten.add.Tensor", ref(total), ref(value))
    return total


def _parameter(name: str) -> FunctionGraph:
    """A function that gives back its only parameter."""
    return FunctionGraph(inputs=(Input(source="parameter", name=name, dtype="float64"),), outputs={"value": 0})


def _check_names(what: str, parts: Mapping[str, RewardGraph], given: Mapping[str, object]) -> None:
    if not parts or set(given) != set(parts):
        raise UsageError(f"{what} for {sorted(given)} do not fit the rewards {sorted(parts)}")
