"""Transitions to look at a reward on: recorded ones (from the bank) and synthetic ones (drawn from feature ranges)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from rewardsmith.bank import Bank
from rewardsmith.types import ActionSpec, FeatureSpec, RewardInterface

RECORDED_ROWS = 20_000
SYNTHETIC_ROWS = 2048
SYNTHETIC_EPISODE = 64
MEMORY_STEPS = 1024  # a reward with memory is stepped through time: longer episodes are cut, and fewer are looked at
MEMORY_CELLS = 65_536  # episodes times steps of the longest
HUGE = 1e6  # bounds beyond this are "unbounded" written as a number


@dataclass(frozen=True)
class Sample:
    """M transitions, sorted by (episode, t). `success` is NaN where nobody knows."""

    obs: dict[str, Tensor]  # each (M, ...)
    action: Tensor  # (M, ...)
    next_obs: dict[str, Tensor]  # each (M, ...), with `terminated` (M,) bool
    truncated: Tensor  # (M,) bool
    episode: Tensor  # (M,) int64
    t: Tensor  # (M,) int64, step within the episode
    success: Tensor  # (M,) float32, success of the row's episode in [0, 1]

    def __len__(self) -> int:
        return self.episode.shape[0]

    @property
    def terminated(self) -> Tensor:
        return self.next_obs["terminated"]

    def rows(self, index: Tensor) -> Sample:
        """The rows at `index` (int64, or bool mask), in that order."""
        return Sample(
            obs={name: value[index] for name, value in self.obs.items()},
            action=self.action[index],
            next_obs={name: value[index] for name, value in self.next_obs.items()},
            truncated=self.truncated[index],
            episode=self.episode[index],
            t=self.t[index],
            success=self.success[index],
        )

    def spread(self, count: int) -> Sample:
        """At most `count` rows, evenly spaced."""
        return self if len(self) <= count else self.rows(self.spaced(count))

    def spaced(self, count: int) -> Tensor:
        """Numbers of at most `count` rows, evenly spaced."""
        return torch.arange(len(self)) if len(self) <= count else torch.linspace(0, len(self) - 1, count).long()

    @cached_property
    def lengths(self) -> Tensor:
        """Rows of each episode, (E,), in order."""
        return torch.unique_consecutive(self.episode, return_counts=True)[1]

    def per_episode(self, value: Tensor) -> Tensor:
        """Mean of `value` (M,) over each episode, (E,)."""
        index = torch.repeat_interleave(torch.arange(len(self.lengths)), self.lengths)
        total = torch.zeros(len(self.lengths), dtype=torch.float64).index_add_(0, index, value.double())
        return total / self.lengths

    def time_major(self) -> Tensor:
        """Row numbers as (T, E): episode e in column e, short ones padded by repeating their last row."""
        first = torch.cumsum(self.lengths, 0) - self.lengths
        step = torch.arange(int(self.lengths.max()))[:, None]
        return first + torch.minimum(step, self.lengths - 1)

    def heads(self, steps: int = MEMORY_STEPS, cells: int = MEMORY_CELLS) -> Sample:
        """Evenly spaced episodes, cut after `steps` steps; as many as fit, side by side, into `cells`."""
        chosen = torch.unique_consecutive(self.episode)
        fit = max(1, cells // min(steps, int(self.lengths.max())))
        chosen = chosen[torch.linspace(0, len(chosen) - 1, min(fit, len(chosen))).long()]
        return self.rows(torch.isin(self.episode, chosen) & (self.t < steps))


def from_bank(bank: Bank, *, limit: int = RECORDED_ROWS) -> Sample:
    """A sample of a bank: all of it, or randomly chosen whole episodes up to `limit` rows.

    The choice depends on the bank alone, so that all candidates of a run are looked at on the same rows.
    """
    sample = Sample(
        obs=bank.obs,
        action=bank.action,
        next_obs=bank.next_obs,
        truncated=bank.truncated,
        episode=bank.episode,
        t=bank.t,
        success=bank.success[bank.episode].float(),
    )
    if len(sample) <= limit:
        return sample
    order = torch.randperm(len(sample.lengths), generator=torch.Generator().manual_seed(0))
    fits = torch.cumsum(sample.lengths[order], 0) <= limit
    fits[0] = True
    chosen = torch.zeros(len(order), dtype=torch.bool)
    chosen[order[fits]] = True
    return sample.rows(torch.repeat_interleave(chosen, sample.lengths).nonzero().flatten()[:limit])


# --- synthetic -------------------------------------------------------------------------------------------------------


def synthetic(interface: RewardInterface, *, rows: int = SYNTHETIC_ROWS, seed: int = 0) -> Sample:
    """Transitions nobody lived through: every feature drawn within its range, before and after the step alike."""
    draw = torch.Generator().manual_seed(seed)
    index = torch.arange(rows)
    t = index % SYNTHETIC_EPISODE
    last = t == SYNTHETIC_EPISODE - 1
    ends = torch.rand(rows, generator=draw) < 0.5
    return Sample(
        obs={f.name: draw_feature(f, rows, draw) for f in interface.features},
        action=draw_action(interface.action, rows, draw),
        next_obs={f.name: draw_feature(f, rows, draw) for f in interface.features} | {"terminated": last & ends},
        truncated=last & ~ends,
        episode=index // SYNTHETIC_EPISODE,
        t=t,
        success=torch.full((rows,), torch.nan),
    )


def edges(interface: RewardInterface) -> Sample:
    """Four transitions at the corners: every feature at zero, at its low bound, at its high bound, and low to high."""
    base = synthetic(interface, rows=4, seed=1)
    low, high = ({f.name: _corner(f, side) for f in interface.features} for side in ("low", "high"))
    zero = {f.name: torch.clamp(torch.zeros_like(low[f.name]), low[f.name], high[f.name]) for f in interface.features}

    def stack(*corners: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f.name: torch.stack([c[f.name] for c in corners]).to(dtype_of(f)) for f in interface.features}

    return replace(
        base,
        obs=stack(zero, low, high, low),
        next_obs=stack(zero, low, high, high) | {"terminated": torch.zeros(4, dtype=torch.bool)},
        action=torch.zeros_like(base.action),
    )


def draw_feature(feature: FeatureSpec, rows: int, draw: torch.Generator) -> Tensor:
    """(rows, *shape): uniform between the bounds, normal where there are none, half-normal beyond a single bound."""
    shape = (rows, *feature.shape)
    low, high = _finite(feature.low), _finite(feature.high)
    if feature.dtype == "bool":
        return torch.rand(shape, generator=draw) < 0.5
    if feature.dtype in ("int64", "uint8"):
        least, most = _integer_range(feature)
        return torch.randint(least, most + 1, shape, generator=draw).to(dtype_of(feature))
    if low is not None and high is not None:
        return low + (high - low) * torch.rand(shape, generator=draw)
    normal = torch.randn(shape, generator=draw)
    if low is not None:
        return low + normal.abs()
    if high is not None:
        return high - normal.abs()
    return normal


def draw_action(action: ActionSpec, rows: int, draw: torch.Generator) -> Tensor:
    """Actions as a reward sees them: (rows, A) float32, (rows,) int64 or (rows, A) int64."""
    if action.kind == "discrete":
        return torch.randint(action.n or 1, (rows,), generator=draw)
    if action.kind == "multi_discrete":
        return torch.stack([torch.randint(n, (rows,), generator=draw) for n in action.nvec or ()], dim=1)
    size = action.shape[0]
    if action.low is None or action.high is None:
        return torch.randn((rows, size), generator=draw)
    low, high = (torch.tensor(bound).clamp(-HUGE, HUGE) for bound in (action.low, action.high))
    return low + (high - low) * torch.rand((rows, size), generator=draw)


def dtype_of(feature: FeatureSpec) -> torch.dtype:
    return {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool, "uint8": torch.uint8}[feature.dtype]


def _corner(feature: FeatureSpec, side: str) -> Tensor:
    if feature.dtype == "float32":
        bound = _finite(feature.low if side == "low" else feature.high)
        value = bound if bound is not None else -3.0 if side == "low" else 3.0
    elif feature.dtype == "bool":
        value = float(side == "high")
    else:
        value = float(_integer_range(feature)[side == "high"])
    return torch.full(feature.shape, value)


def _integer_range(feature: FeatureSpec) -> tuple[int, int]:
    """Least and most value of an integer feature; 0 to 9 (or 255 for bytes) where the interface does not say."""
    width = 255 if feature.dtype == "uint8" else 9
    low, high = _finite(feature.low), _finite(feature.high)
    least = int(low) if low is not None else 0 if high is None or high >= 0 else int(high) - width
    most = int(high) if high is not None else least + width
    if feature.dtype == "uint8":
        least, most = max(least, 0), min(most, 255)
    return least, max(least, most)


def _finite(bound: float | None) -> float | None:
    return None if bound is None or abs(bound) > HUGE else bound
