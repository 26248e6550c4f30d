"""What the analyzer looks at: one candidate's recorded episodes and what its reward paid in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from rewardsmith.bank import Bank
from rewardsmith.types import FeatureSpec, RewardInterface


@dataclass(frozen=True)
class Columns:
    """Every number in the features as a column of its own. Flags are 0 and 1; text (uint8) is left out.

    Attributes:
        names: (C,), `height` or `joint_angles[2]`.
        units: (C,).
        flags: (C,) bool.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    flags: Tensor
    interface: RewardInterface = field(repr=False)

    def of(self, features: Mapping[str, Tensor]) -> Tensor:
        """(M, C) float64 of features {name: (M, ...)}."""
        parts = [
            features[f.name].flatten(1) if f.shape else features[f.name][:, None] for f in _numbers(self.interface)
        ]
        return (
            torch.cat([part.double() for part in parts], 1)
            if parts
            else torch.zeros(len(next(iter(features.values()))), 0).double()
        )


def columns_of(interface: RewardInterface) -> Columns:
    names, units, flags = [], [], []
    for feature in _numbers(interface):
        count = int(torch.Size(feature.shape).numel())
        names += [f"{feature.name}[{i}]" for i in range(count)] if feature.shape else [feature.name]
        units += [feature.unit] * count
        flags += [feature.dtype == "bool"] * count
    return Columns(tuple(names), tuple(units), torch.tensor(flags, dtype=torch.bool), interface)


def _numbers(interface: RewardInterface) -> list[FeatureSpec]:
    return [feature for feature in interface.features if feature.dtype != "uint8"]


@dataclass(frozen=True)
class Watched:
    """E whole episodes of one candidate's policies, M steps in all.

    Attributes:
        candidate: its id.
        bank: the episodes.
        components: what each component paid, {name: (M,)}.
        total: what the reward paid, potential shaping included, (M,).
        interface: of the environment.
        policies: how many policies (seeds) played.
        random: episodes of random actions, to compare with.
        has_success: False where the goal knows no success, so that its 0 says nothing.
    """

    candidate: str
    bank: Bank
    components: Mapping[str, Tensor]
    total: Tensor
    interface: RewardInterface
    policies: int = 1
    random: Bank | None = None
    has_success: bool = True

    @cached_property
    def lengths(self) -> Tensor:
        """(E,) steps of each episode."""
        return torch.bincount(self.bank.episode, minlength=self.bank.episodes)

    @cached_property
    def succeeded(self) -> Tensor:
        """(E,) bool."""
        return (self.bank.success >= 0.5) & self.has_success

    @cached_property
    def failed(self) -> Tensor:
        """(E,) bool: ended by the environment without success."""
        ends = torch.cumsum(self.lengths, 0) - 1
        return self.bank.terminated[ends] & ~self.succeeded

    @cached_property
    def columns(self) -> Columns:
        return columns_of(self.interface)

    @cached_property
    def states(self) -> Tensor:
        """(M, C): every feature after each step."""
        return self.columns.of(self.bank.next_obs)

    @cached_property
    def random_states(self) -> Tensor | None:
        """(M', C): the same of random actions."""
        return None if self.random is None else self.columns.of(self.random.next_obs)

    @cached_property
    def scale(self) -> Tensor:
        """(C,) deviation of each column over everything known; 1 for one that never changes."""
        known = self.states if self.random_states is None else torch.cat([self.states, self.random_states])
        if not known.shape[1]:
            return known.new_ones(0)
        deviation = known.std(0, correction=0)
        return torch.where(deviation > 1e-9 * known.abs().amax(0).clamp(min=1e-9), deviation, 1.0)

    def sums(self, values: Tensor) -> Tensor:
        """(E,) sums of (M,) values over each episode."""
        return torch.zeros(self.bank.episodes, dtype=torch.float64).index_add_(0, self.bank.episode, values.double())
