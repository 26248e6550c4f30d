"""What segments are paid, as a function of a reward's parameters that can be differentiated."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd import forward_ad

from rewardsmith.reward.program import RewardProgram
from rewardsmith.tune.segments import Per, RewardFails, Segments
from rewardsmith.tune.variants import WIDEST, tunable

PRIOR = math.log(WIDEST)  # deviation of theta


def parameter_values(defaults: Tensor, theta: Tensor) -> Tensor:
    """Parameters of which theta is the log over their defaults; those with default 0 have none and are theta itself."""
    return torch.where(defaults == 0, theta, defaults * theta.exp())


class Model:
    """R of every segment as a function of theta (p,), see `parameter_values`; `names` are those parameters."""

    def __init__(self, program: RewardProgram, segments: Segments, per: Per) -> None:
        self._program, self._segments = program, segments
        self.per: Per = per
        read = {entry.name for entry in program.graph.reward.inputs if entry.source == "parameter"}
        self.names = [name for name in tunable(program) if name in read]
        self._defaults = torch.tensor([program.parameters[name] for name in self.names], dtype=torch.float64)

    def values(self, theta: Tensor) -> Tensor:
        """(p,) parameters."""
        return parameter_values(self._defaults, theta)

    def rewards(self, theta: Tensor) -> Tensor:
        """(R,): of every step of every segment."""
        params = dict(zip(self.names, self.values(theta).unbind(), strict=True))
        return self._segments.rewards(self._program, params)

    def pay(self, theta: Tensor) -> Tensor:
        """(S,) float64."""
        return self.collect(self.rewards(theta))

    def collect(self, rewards: Tensor) -> Tensor:
        return self._segments.collect(rewards, self.per)

    def slopes(self, theta: Tensor) -> Tensor:
        """(R, p) float64: derivatives of `rewards`, forwards through the graph.

        Raises: RewardFails: they are not finite.
        """
        columns = []
        for direction in torch.eye(len(theta), dtype=torch.float64):
            with forward_ad.dual_level():
                slope = forward_ad.unpack_dual(self.rewards(forward_ad.make_dual(theta, direction))).tangent
            columns.append(torch.zeros(int(self._segments.lengths.sum())) if slope is None else slope)
        slopes = torch.stack(columns, dim=1).double()
        if not bool(slopes.isfinite().all()):
            raise no_gradient()
        return slopes

    def acts(self, theta: Tensor, which: int) -> bool:
        """Whether differences between segments change when one parameter does, within the range of variants."""
        now, moved = self.pay(theta), theta.clone()
        for step in (PRIOR, -PRIOR):
            moved[which] = theta[which] + step
            change = self.pay(moved) - now
            if float(change.std(correction=0)) > 1e-6 * float(now.abs().max()):
                return True
        return False


def no_gradient() -> RewardFails:
    return RewardFails(
        "the gradient of the reward by its parameters is not finite on some of the segments",
        hint="add a small constant under square roots and in denominators, or try variants instead of a fit",
    )
