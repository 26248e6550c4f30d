"""Several rewards as one ("Helping or Herding", arXiv 2312.09244; Coste et al., arXiv 2310.02743): a graph of graphs.

Every part is standardized on the same transitions first, or the largest would decide alone. What comes out is an
ordinary reward graph, so an ensemble is checked, trained and exported like any reward. Its components are the
standardized parts, so that their disagreement can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from torch import Tensor

from rewardsmith.errors import UsageError
from rewardsmith.reward.assembly import GraphBuilder, assemble, ref
from rewardsmith.reward.graph import RewardGraph
from rewardsmith.types import RewardInterface

Aggregate = Literal["mean", "min", "median", "mean_minus_std"]


class Scale(NamedTuple):
    """Mean and deviation of a part's reward per step on the common transitions."""

    mean: float
    deviation: float


def ensemble(
    parts: Mapping[str, RewardGraph],
    scales: Mapping[str, Scale],
    aggregate: Aggregate,
    interface: RewardInterface,
    *,
    caution: float = 1.0,
) -> RewardGraph:
    """One reward of several.

    Args:
        parts: graphs by a short name (`[a-z][a-z0-9_]*`), which becomes the name of a component.
        scales: of each part; one that never varies says nothing and is left out.
        caution: with `mean_minus_std`, how many deviations among the parts are subtracted.

    Raises:
        UsageError: fewer than two parts vary, a name is not usable, or a part has a potential.
        RewardRefused: together the parts are too large.
    """
    telling = {name: graph for name, graph in parts.items() if scales[name].deviation > 0}
    if len(telling) < 2:
        raise UsageError("an ensemble needs at least two rewards that vary", hint="add rewards, or train the one")

    def standardized(builder: GraphBuilder, name: str, pay: int) -> int:
        mean, deviation = scales[name]
        return builder.add("aten.div.Scalar", ref(builder.add("aten.sub.Scalar", ref(pay), mean)), deviation)

    def aggregated(builder: GraphBuilder, terms: Sequence[int]) -> int:
        return _aggregate(builder, terms, aggregate, caution)

    return assemble(telling, interface, term=standardized, total=aggregated)


def _aggregate(builder: GraphBuilder, values: Sequence[int], how: Aggregate, caution: float) -> int:
    """The aggregate of K values, each (N,)."""
    table = builder.add("aten.stack.default", [ref(value) for value in values], 1)
    if how == "min":
        return builder.add("aten.amin.default", ref(table), [1])
    if how == "median":
        ordered = builder.add("getitem", ref(builder.add("aten.sort.default", ref(table), 1)), 0)
        middle = (len(values) - 1) // 2, len(values) // 2
        low, high = (builder.add("aten.select.int", ref(ordered), 1, place) for place in middle)
        return builder.add("aten.mul.Scalar", ref(builder.add("aten.add.Tensor", ref(low), ref(high))), 0.5)
    mean = builder.add("aten.mean.dim", ref(table), [1])
    if how == "mean":
        return mean
    apart = builder.add("aten.std.correction", ref(table), [1], correction=0)
    return builder.add("aten.sub.Tensor", ref(mean), ref(builder.add("aten.mul.Scalar", ref(apart), caution)))


def scale_of(values: Tensor) -> Scale:
    """Mean and deviation of a reward (M,) on the common transitions; not finite counts as not varying."""
    mean, deviation = float(values.double().mean()), float(values.double().std(correction=0))
    varies = math.isfinite(mean) and deviation > 1e-9 * max(1.0, abs(mean))
    return Scale(mean, deviation) if varies and math.isfinite(deviation) else Scale(0.0, 0.0)
