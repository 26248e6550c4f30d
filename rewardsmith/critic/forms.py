"""What each value of a reward's graph is made of: frames it reads, its unit, and whether two values are alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rewardsmith.critic.sample import Sample
from rewardsmith.reward.graph import Constant, FunctionGraph, Node, node_references
from rewardsmith.reward.interpreter import Compiled
from rewardsmith.reward.program import RewardProgram
from rewardsmith.types import RewardInterface

# Their result has the unit of their first argument.
_KEEP = """
abs.default neg.default select.int slice.Tensor sum.default sum.dim_IntList mean.default mean.dim amax.default
amin.default linalg_vector_norm.default norm.ScalarOpt_dim clamp.default clamp_min.default clamp_max.default
view.default reshape.default unsqueeze.default squeeze.dim squeeze.dims _to_copy.default relu.default add.Scalar
sub.Scalar rsub.Scalar index.Tensor unbind.int split.Tensor max.dim min.dim
"""
_KEEP_UNIT = frozenset({*(f"aten.{name}" for name in _KEEP.split()), "getitem"})
_SUMS = frozenset({"aten.add.Tensor", "aten.sub.Tensor"})
_NO_UNITS = frozenset({"", "1", "fraction", "ratio"})


@dataclass(frozen=True)
class Unit:
    """A unit, and the feature it was first seen at."""

    unit: str
    feature: str


@dataclass(frozen=True)
class Form:
    """`kind` is equal for values computed alike, whether from `obs` or from `next_obs`; `reads` says from which.

    `reads` has sources ("obs", "action", "parameter", ...); "terminated" counts as a source of its own.
    `unit` is None for a number without unit and for anything scaled, squared or bent on the way.
    """

    kind: int
    reads: frozenset[str]
    unit: Unit | None


@dataclass(frozen=True)
class UnlikeSum:
    """A sum or difference of two values of different units."""

    first: Unit
    second: Unit


class Forms:
    """The forms of all values of one function, by their numbers; `unlike` are sums over different units."""

    def __init__(self, function: FunctionGraph, interface: RewardInterface) -> None:
        self.function = function
        self.unlike: list[UnlikeSum] = []
        self._kinds: dict[object, int] = {}
        self._of: list[Form] = []
        for entry in function.inputs:
            source = "terminated" if entry.name == "terminated" else entry.source
            unit = None
            if source in ("obs", "next_obs"):
                declared = interface.feature(entry.name).unit
                unit = None if declared in _NO_UNITS else Unit(declared, entry.name)
            frame = "frame" if source in ("obs", "next_obs") else source
            self._of.append(Form(self._kind((frame, entry.name)), frozenset({source}), unit))
        for constant in function.constants:
            self._of.append(Form(self._kind(("constant", repr(constant))), frozenset(), None))
        for node in function.nodes:
            self._of.append(self._form(node))

    def __getitem__(self, slot: int) -> Form:
        return self._of[slot]

    def node(self, slot: int) -> Node | None:
        """The node that computes a value, or None for an input or a constant."""
        first = self.function.first_node
        return self.function.nodes[slot - first] if slot >= first else None

    def constant(self, slot: int) -> Constant | None:
        place = slot - len(self.function.inputs)
        return self.function.constants[place] if 0 <= place < len(self.function.constants) else None

    def nodes(self) -> Iterator[tuple[int, Node]]:
        return enumerate(self.function.nodes, start=self.function.first_node)

    def _kind(self, key: object) -> int:
        return self._kinds.setdefault(key, len(self._kinds))

    def _form(self, node: Node) -> Form:
        reads = frozenset().union(*(self._of[ref].reads for ref in node_references(node)))
        key = (node.op, self._key(node.args), self._key(sorted(node.kwargs.items())))
        return Form(self._kind(key), reads, self._unit(node))

    def _key(self, value: object) -> object:
        """An argument as something that can be compared: references by what they refer to."""
        if isinstance(value, dict):
            return ("form", self._of[value["ref"]].kind) if "ref" in value else repr(value)
        if isinstance(value, (list, tuple)):
            return tuple(self._key(item) for item in value)
        return repr(value)

    def _unit(self, node: Node) -> Unit | None:
        units = [self._of[ref].unit for ref in node_references(node)]
        if node.op in _KEEP_UNIT:
            return units[0] if units else None
        if node.op not in _SUMS or node.kwargs or len(node.args) != 2:
            return None
        if len(units) == 1:  # a number added: an offset
            return units[0] if reference(node.args[0]) is not None else None
        first, second = units
        if first is not None and second is not None and first.unit != second.unit:
            self.unlike.append(UnlikeSum(first, second))
        return first if second is not None else None


def reference(value: object) -> int | None:
    """The value number that an argument refers to, or None for a literal."""
    return value.get("ref") if isinstance(value, dict) else None


def literal(value: object) -> float | None:
    """A finite number given as an argument, or None."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def total_without(program: RewardProgram, slots: Sequence[int], sample: Sample, memory: Mapping[str, Tensor]) -> Tensor:
    """The total (M,) on a sample's rows if some values of the reward's graph were zero there.

    `memory` {name: (M, ...)} is what the reward remembered before each row; without it, that of a first step.
    """
    function = program.graph.reward
    memory = memory or program.initial_memory(len(sample), sample.action.device)
    frames = {"obs": sample.obs, "next_obs": sample.next_obs, "memory": memory}
    values = []
    for entry in function.inputs:
        if entry.source == "action":
            values.append(sample.action)
        elif entry.source == "parameter":
            values.append(torch.tensor(program.parameters[entry.name], dtype=torch.float64))
        else:
            values.append(frames[entry.source][entry.name])
    device = sample.action.device
    zeros = [torch.zeros_like(value) for value in Compiled(function, slots)(values, device)]
    given = [*range(len(function.inputs)), *slots]
    return Compiled(function, [function.outputs["total"]], given)([*values, *zeros], device)[0]
