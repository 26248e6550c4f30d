"""One reward graph out of several: their sum, with the weights as parameters."""

from __future__ import annotations

from collections.abc import Mapping

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
    if not parts or set(weights) != set(parts):
        raise UsageError(f"weights for {sorted(weights)} do not fit the rewards {sorted(parts)}")
    builder = GraphBuilder()
    weighted: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for name, graph in parts.items():
        _check_part(name, graph)
        values = builder.inline(graph.reward, prefix=f"{name}_")
        weight = builder.inline(_parameter(name), prefix="weight_of_")["value"]
        weighted[name] = builder.add("aten.mul.Tensor", {"ref": values["total"]}, {"ref": weight})
        outputs |= {f"memory.{name}_{spec.name}": values[f"memory.{spec.name}"] for spec in graph.memory}
    total, *others = weighted.values()
    for value in others:
        total = builder.add("aten.add.Tensor", {"ref": total}, {"ref": value})
    outputs |= {"total": total} | {f"component.{name}": value for name, value in weighted.items()}
    some = next(iter(parts.values()))
    merged = RewardGraph(
        interface=some.interface,
        features=some.features,
        parameters={f"weight_of_{name}": float(weights[name]) for name in parts}
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


def _check_part(name: str, graph: RewardGraph) -> None:
    if not NAME.fullmatch(name) or name == "weight":
        raise UsageError(
            f"{name!r} cannot name a part of a sum", hint='use lower case letters and digits, not "weight"'
        )
    if graph.potential is not None:
        raise UsageError(f"{name} has a potential, and potentials cannot be summed", hint="leave it out of the sum")
