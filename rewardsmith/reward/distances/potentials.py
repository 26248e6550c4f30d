"""Potentials to remove from rewards: a general basis over the features, and what the rewards themselves compute.

A reward that writes shaping out by hand, `gamma * phi(next_obs) - phi(obs)`, has phi as a value of its own graph. With
it among the potentials the shaping is removed to rounding, whatever phi is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from rewardsmith.reward.graph import node_references
from rewardsmith.reward.interpreter import Compiled
from rewardsmith.reward.program import RewardProgram

Features = Mapping[str, Tensor]

FOURIER = 64
PRODUCTS = 64  # squares and products of pairs of features, at most
LINEAR = 64  # features, at most: of wider observations, random projections
CATEGORIES = 32  # values an integer feature may take to get one indicator each
FAR = 10.0  # standard deviations at which features are cut off
OWN = 32  # potentials from one reward's graph
SAME = 1e-8  # directions this small against a potential's own length are rounding
ZERO = 1e-5  # what remains of a reward that is shaping only is float32 rounding, about 1e-7 of its potential


class Basis:
    """Constant, features, squares and products, random Fourier features: (M, B) float64 of any states.

    Args:
        states: features (M, ...) that say what is usual; only their mean, spread and values are kept.
    """

    def __init__(self, states: Features, *, fourier: int = FOURIER, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        self._values = {
            name: found
            for name, value in states.items()
            if value.dtype == torch.int64 and value.dim() == 1 and len(found := value.unique()) <= CATEGORIES
        }
        raw = self._raw(states)
        self._mean, spread = raw.mean(0), raw.std(0, correction=0)
        self._moving = (spread > 1e-9 * (1 + self._mean.abs())).nonzero().flatten()
        self._mean, self._spread = self._mean[self._moving], spread[self._moving]
        width = len(self._moving)
        self._mix: Tensor | None = None
        if width > LINEAR:
            self._mix = torch.randn((width, LINEAR), generator=draw, dtype=torch.float64) / math.sqrt(width)
            width = LINEAR
        pairs = torch.triu_indices(width, width)
        squares = pairs[0] == pairs[1]
        order = torch.cat([squares.nonzero().flatten(), (~squares).nonzero().flatten()])[:PRODUCTS]
        self._left, self._right = pairs[:, order]
        self._frequency = torch.randn((width, fourier), generator=draw, dtype=torch.float64) / math.sqrt(max(width, 1))
        self._phase = 2 * math.pi * torch.rand(fourier, generator=draw, dtype=torch.float64)

    def _raw(self, states: Features) -> Tensor:
        """Every number of the features, (M, D) float64, integers with few values as indicators; text says nothing."""
        columns = []
        for name, value in states.items():
            if value.dtype == torch.uint8 or name == "terminated":
                continue
            if name in self._values:
                columns.append((value[:, None] == self._values[name]).double())
            else:
                columns.append(value.reshape(len(value), -1).double())
        rows = len(next(iter(states.values())))
        return torch.cat(columns, 1) if columns else torch.zeros(rows, 0, dtype=torch.float64)

    def __call__(self, states: Features) -> Tensor:
        x = ((self._raw(states)[:, self._moving] - self._mean) / self._spread).nan_to_num().clamp(-FAR, FAR)
        if self._mix is not None:
            x = x @ self._mix
        waves = torch.cos(x @ self._frequency + self._phase)
        return torch.cat(
            [torch.ones(len(x), 1, dtype=torch.float64), x, x[:, self._left] * x[:, self._right], waves], 1
        )


class OwnPotentials:
    """The functions of a single state in a reward's graph: values (M,) that read only `obs`, or only `next_obs`."""

    def __init__(self, program: RewardProgram) -> None:
        function = program.graph.reward
        self._program = program
        first = function.first_node
        reads: list[frozenset[str]] = [_source(e.source, e.name) for e in function.inputs]
        reads += [frozenset()] * len(function.constants)
        read_by: dict[int, list[int]] = {}
        for slot, node in enumerate(function.nodes, start=first):
            sources = list(node_references(node))
            reads.append(frozenset().union(*(reads[source] for source in sources)))
            for source in sources:
                read_by.setdefault(source, []).append(slot)
        found = [slot for slot in range(first, len(reads)) if reads[slot] in (frozenset({"obs"}), frozenset({"next"}))]
        # first what the rest of the graph reads: a whole potential rather than its parts
        whole = [slot for slot in found if any(reads[user] != reads[slot] for user in read_by.get(slot, [-1]))]
        self._wanted = list(dict.fromkeys([*whole, *reversed(found)]))

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self._program.graph.reward, self._wanted)

    def __call__(self, states: Features, action: Tensor) -> list[Tensor | None]:
        """Each potential as (M,) float64, None where a value is not one number a row.

        Args:
            states: features (M, ...).
            action: (M, ...) of any kind; no potential reads it.
        """
        if not self._wanted:
            return []
        rows = len(action)
        ends = torch.zeros(rows, dtype=torch.bool)
        parameters = self._program.parameters
        given = []
        for entry in self._program.graph.reward.inputs:
            if entry.source == "action":
                given.append(action)
            elif entry.source == "parameter":
                given.append(torch.tensor(parameters[entry.name], dtype=torch.float64))
            else:
                given.append(ends if entry.name == "terminated" else states[entry.name])
        values = self._compiled(given, action.device)
        # a graph's value that reads features always has the batch in its shape, so (M,) is one number a row
        return [v.double() if v.is_floating_point() and v.shape == (rows,) else None for v in values]


def _source(source: str, name: str) -> frozenset[str]:
    if source == "parameter":
        return frozenset()
    return frozenset({{"obs": "obs", "next_obs": "next"}.get(source, source) if name != "terminated" else "terminated"})


def shaping(before: Tensor, after: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """gamma * phi(s') - phi(s), (M, ...), with phi(s') = 0 where the episode ended by itself."""
    ends = terminated.reshape(-1, *([1] * (before.dim() - 1)))
    return gamma * torch.where(ends, 0.0, after) - before


def own_shaping(program: RewardProgram, obs: Features, action: Tensor, next_obs: Features, gamma: float) -> Tensor:
    """Shaping by the potentials of a reward's own graph, (M, at most OWN) float64."""
    own = OwnPotentials(program)
    columns = []
    for before, after in zip(own(obs, action), own(next_obs, action), strict=True):
        if before is not None and after is not None and len(columns) < OWN:
            column = shaping(before, after, next_obs["terminated"], gamma)
            if bool(torch.isfinite(column).all()):
                columns.append(column)
    return torch.stack(columns, 1) if columns else torch.zeros(len(action), 0, dtype=torch.float64)


class Span:
    """An orthonormal basis of a space of shapings on M transitions. Removing a projection has no ridge, so no bias."""

    def __init__(self, rows: int) -> None:
        self.basis = torch.zeros(rows, 0, dtype=torch.float64)

    def extended(self, columns: Iterable[Tensor]) -> Span:
        """A span that holds `columns` (each (M, B)) too."""
        larger = Span(len(self.basis))
        larger.basis = torch.cat([self.basis, self.directions(torch.cat(list(columns), 1))], 1)
        return larger

    def directions(self, columns: Tensor) -> Tensor:
        """What (M, B) columns add to the span: orthonormal, (M, at most B)."""
        lengths = columns.norm(dim=0)
        rest = self.removed_from(columns[:, lengths > 0] / lengths[lengths > 0])
        left, sizes, _ = torch.linalg.svd(rest, full_matrices=False)
        return self.removed_from(left[:, sizes > SAME])

    def removed_from(self, values: Tensor) -> Tensor:
        """The part of `values`, (M,) or (M, B), outside the span."""
        for _ in range(2):  # once is not quite orthogonal in floating point
            values = values - self.basis @ (self.basis.T @ values)
        return values


def unit(form: Tensor, values: Tensor) -> Tensor | None:
    """A canonical form (M,) at length one; None where it is nothing but rounding against the reward's `values` (M,)."""
    length = form.norm()
    return None if length <= ZERO * values.norm() or length == 0 else form / length
