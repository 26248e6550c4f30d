"""Several rewards as one ("Helping or Herding", arXiv 2312.09244; Coste et al., arXiv 2310.02743): a graph of graphs.

Every part is standardized on the same transitions first, or the largest would decide alone. What comes out is an
ordinary reward graph, so an ensemble is checked, trained and exported like any reward. Its components are the
standardized parts, so that their disagreement can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from torch import Tensor

from rewardsmith.errors import UsageError
from rewardsmith.reward.graph import Constant, FunctionGraph, Input, MemorySpec, Node, RewardGraph, parse_graph, to_json
from rewardsmith.reward.vocabulary import NAME
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
    for name, graph in telling.items():
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot name a part of an ensemble", hint="use lower case letters and digits")
        if graph.potential is not None:
            raise UsageError(
                f"{name} has a potential, and potentials cannot be aggregated", hint="leave it out of the ensemble"
            )
    builder = _Builder()
    standardized: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for name, graph in telling.items():
        values = builder.inline(graph.reward, prefix=f"{name}_")
        mean, deviation = scales[name]
        centred = builder.add("aten.sub.Scalar", _ref(values["total"]), mean)
        standardized[name] = builder.add("aten.div.Scalar", _ref(centred), deviation)
        outputs |= {f"memory.{name}_{spec.name}": values[f"memory.{spec.name}"] for spec in graph.memory}
    outputs["total"] = builder.aggregate(list(standardized.values()), aggregate, caution)
    outputs |= {f"component.{name}": value for name, value in standardized.items()}
    some = next(iter(telling.values()))
    merged = RewardGraph(
        interface=some.interface,
        features=some.features,
        parameters={f"{name}_{key}": value for name, g in telling.items() for key, value in g.parameters.items()},
        structural=tuple(f"{name}_{key}" for name, graph in telling.items() for key in graph.structural),
        memory=tuple(
            MemorySpec.model_validate(spec.model_dump() | {"name": f"{name}_{spec.name}"})
            for name, graph in telling.items()
            for spec in graph.memory
        ),
        reward=builder.function(outputs),
    )
    return parse_graph(to_json(merged), interface)


def _ref(value: int) -> dict[str, int]:
    return {"ref": value}


class _Builder:
    """Grows one function. Inputs, constants and nodes are numbered apart until all are known: kind * _KIND + place."""

    _KIND = 1_000_000

    def __init__(self) -> None:
        self._inputs: dict[tuple[str, str], tuple[int, Input]] = {}
        self._constants: list[Constant] = []
        self._nodes: list[Node] = []

    def inline(self, function: FunctionGraph, *, prefix: str) -> dict[str, int]:
        """Copy a function in; features and the action are shared, parameters and memory get the prefix."""
        numbers = [self._input(entry, prefix) for entry in function.inputs]
        for constant in function.constants:
            self._constants.append(constant)
            numbers.append(self._KIND + len(self._constants) - 1)
        for node in function.nodes:
            args, kwargs = _renumbered(list(node.args), numbers), _renumbered(node.kwargs, numbers)
            numbers.append(self._append(Node(op=node.op, args=tuple(args), kwargs=kwargs)))
        return {name: numbers[value] for name, value in function.outputs.items()}

    def _input(self, entry: Input, prefix: str) -> int:
        if entry.source in ("parameter", "memory"):
            entry = Input.model_validate(entry.model_dump() | {"name": prefix + entry.name})
        return self._inputs.setdefault((entry.source, entry.name), (len(self._inputs), entry))[0]

    def add(self, op: str, *args: Any, **kwargs: Any) -> int:
        """A node; returns its number."""
        return self._append(Node(op=op, args=args, kwargs=kwargs))

    def _append(self, node: Node) -> int:
        self._nodes.append(node)
        return 2 * self._KIND + len(self._nodes) - 1

    def aggregate(self, values: list[int], how: Aggregate, caution: float) -> int:
        """The aggregate of K values (N,)."""
        table = self.add("aten.stack.default", [_ref(value) for value in values], 1)
        if how == "min":
            return self.add("aten.amin.default", _ref(table), [1])
        if how == "median":
            ordered = self.add("getitem", _ref(self.add("aten.sort.default", _ref(table), 1)), 0)
            middle = (len(values) - 1) // 2, len(values) // 2
            low, high = (self.add("aten.select.int", _ref(ordered), 1, place) for place in middle)
            return self.add("aten.mul.Scalar", _ref(self.add("aten.add.Tensor", _ref(low), _ref(high))), 0.5)
        mean = self.add("aten.mean.dim", _ref(table), [1])
        if how == "mean":
            return mean
        apart = self.add("aten.std.correction", _ref(table), [1], correction=0)
        return self.add("aten.sub.Tensor", _ref(mean), _ref(self.add("aten.mul.Scalar", _ref(apart), caution)))

    def function(self, outputs: Mapping[str, int]) -> FunctionGraph:
        """The finished function, its values numbered in the order inputs, constants, nodes."""
        starts = 0, len(self._inputs), len(self._inputs) + len(self._constants)

        def final(number: int) -> int:
            return starts[number // self._KIND] + number % self._KIND

        return FunctionGraph(
            inputs=tuple(entry for _, entry in self._inputs.values()),
            constants=tuple(self._constants),
            nodes=tuple(
                Node(
                    op=node.op,
                    args=tuple(_changed(list(node.args), final)),
                    kwargs=_changed(node.kwargs, final),
                )
                for node in self._nodes
            ),
            outputs={name: final(value) for name, value in outputs.items()},
        )


def _renumbered(value: Any, numbers: list[int]) -> Any:
    return _changed(value, numbers.__getitem__)


def _changed(value: Any, change: Callable[[int], int]) -> Any:
    """An argument with every reference in it changed."""
    if isinstance(value, dict):
        return {key: change(v) if key == "ref" else _changed(v, change) for key, v in value.items()}
    return [_changed(item, change) for item in value] if isinstance(value, (list, tuple)) else value


def scale_of(values: Tensor) -> Scale:
    """Mean and deviation of a reward (M,) on the common transitions; not finite counts as not varying."""
    mean, deviation = float(values.double().mean()), float(values.double().std(correction=0))
    varies = math.isfinite(mean) and deviation > 1e-9 * max(1.0, abs(mean))
    return Scale(mean, deviation) if varies and math.isfinite(deviation) else Scale(0.0, 0.0)
