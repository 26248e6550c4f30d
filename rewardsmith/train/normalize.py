"""Running statistics per member: the observation normalizer and the reward scale."""

from __future__ import annotations

import torch
from torch import Tensor

from rewardsmith.train.scan import discounted_sums

OBS_EPS = 1e-8
CLIP = 10.0
_RELATIVE_EPS = 1e-8


def scale_of(var: Tensor) -> Tensor:
    """What multiplies a number of this variance, float32."""
    return (1 / torch.sqrt(var + OBS_EPS)).float()


class ObsNormalizer:
    """Mean and variance (P, 1, width) per member, merged after every rollout and frozen during one.

    Attributes:
        shift, scale: what is taken from inputs and what then multiplies them, (P, 1, width) float32.
    """

    def __init__(self, members: int, width: int, device: torch.device | str) -> None:
        self.mean = torch.zeros(members, 1, width, dtype=torch.float64, device=device)
        self.var = torch.ones_like(self.mean)
        self.count = torch.zeros(members, 1, 1, dtype=torch.float64, device=device)
        self.refresh()

    def refresh(self) -> None:
        """Recompute what `__call__` uses after the statistics changed."""
        self.shift, self.scale = self.mean.float(), scale_of(self.var)

    def __call__(self, x: Tensor) -> Tensor:
        """Normalized and clipped copy of `x` (P, n, width)."""
        return x.sub(self.shift).mul_(self.scale).clamp_(-CLIP, CLIP)

    def update(self, x: Tensor) -> None:
        """Merge the rows `x` (P, n, width)."""
        self.mean, self.var, self.count = _merge(self.mean, self.var, self.count, x.double())
        self.refresh()


class RewardScale:
    """Divides rewards by the running deviation of their discounted sum, per member.

    `scale_free` starts without a prior and its epsilon is relative to the rewards themselves, so multiplying a reward
    by a constant changes nothing: exactly for powers of two, to rounding otherwise. `vecnormalize` is
    Stable-Baselines3's: a prior of variance 1 with weight 1e-4 and an absolute epsilon.
    """

    def __init__(self, members: int, num_envs: int, gamma: float, *, scale_free: bool, device: torch.device | str):
        self._gamma, self._scale_free = gamma, scale_free
        self.mean = torch.zeros(members, 1, dtype=torch.float64, device=device)
        self.var = torch.zeros_like(self.mean) if scale_free else torch.ones_like(self.mean)
        self.count = torch.full_like(self.mean, 0.0 if scale_free else 1e-4)
        self.returns = torch.zeros(members, num_envs, dtype=torch.float64, device=device)  # of the running episodes

    def __call__(self, reward: Tensor, done: Tensor) -> Tensor:
        """Scaled float32 rewards (T, P, N); the statistics take in this rollout first."""
        keep, wide = (~done).double(), reward.double()
        sums, decay = wide.clone(), self._gamma * keep.roll(1, 0)
        sums[0] += self._gamma * self.returns
        sums = discounted_sums(sums.flip(0), decay.flip(0)).flip(0)
        self.returns = sums[-1] * keep[-1]
        rows = sums.permute(1, 0, 2).reshape(sums.shape[1], -1)
        mean, var, count = _merge(self.mean[..., None], self.var[..., None], self.count[..., None], rows[..., None])
        self.mean, self.var, self.count = mean[..., 0], var[..., 0], count[..., 0]
        if self._scale_free:
            square = self.var + _RELATIVE_EPS * (self.mean * self.mean + self.var)
            square = torch.where(square > 0, square, torch.ones_like(square))
        else:
            square = self.var + 1e-8
        return (wide / square.sqrt()).clamp_(-CLIP, CLIP).float()


def _merge(mean: Tensor, var: Tensor, count: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chan's parallel update of (P, 1, w) statistics with rows `x` (P, n, w)."""
    n = x.shape[1]
    # Reductions run along the last dimension, so that a member's sum never depends on the number of members.
    columns = x.transpose(1, 2).contiguous()
    new_mean = columns.mean(-1)[:, None]
    new_var = (columns - new_mean.transpose(1, 2)).square().mean(-1)[:, None]
    total = count + n
    delta = new_mean - mean
    merged = (var * count + new_var * n + delta * delta * (count * n / total)) / total
    return mean + delta * (n / total), merged, total
