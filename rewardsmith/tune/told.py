"""What votes tell about each parameter: intervals from the information in them, and when they tell nothing.

The information about (theta, log beta) is the expected Hessian of the negative log likelihood, plus that of the prior.
Where a change of all parameters together only stretches the reward, beta can do the same, so votes never tell: that
direction is held as it is, and intervals are within the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.reward.program import RewardProgram
from rewardsmith.tune.model import PRIOR, Model, parameter_values
from rewardsmith.tune.segments import Per
from rewardsmith.tune.variants import tunable
from rewardsmith.tune.votes import Tally

BETA_PRIOR = 100.0  # deviation of log beta: next to nothing, but finite where no vote contradicts the reward
TOLD = 0.5  # votes tell a parameter where they narrow its prior to less than this part
Z_95 = 1.96

NOT_READ = "the reward does not read it"
SHAPING_ONLY = "only the potential reads it, and shaping changes no preference"
NO_EFFECT = "it changes no difference between these segments"
NO_GRADIENT = "it acts through comparisons only, which have no gradient: try variants of it instead"
SCALE_ONLY = "it only scales the whole reward, and so does beta"
TOO_LITTLE = "the votes say too little about it"


class FittedParameter(NamedTuple):
    """The most likely value and its 95 % interval. `cannot_tell` says why the votes say nothing, "" where they do."""

    value: float
    low: float
    high: float
    cannot_tell: str


def intervals(model: Model, theta: Tensor, log_beta: Tensor, tally: Tally) -> dict[str, FittedParameter]:
    """What the votes tell about each parameter of the model, at the most likely theta and beta."""
    rewards, slopes = model.rewards(theta).double(), model.slopes(theta)
    by_parameter = torch.stack([tally.differences(model.collect(slope)) for slope in slopes.T], dim=1)
    z = log_beta.exp() * tally.differences(model.collect(rewards))
    jacobian = torch.cat([log_beta.exp() * by_parameter, z[:, None]], dim=1)  # of z by (theta, log beta)
    chance = torch.sigmoid(z)
    weight = torch.from_numpy(tally.for_a + tally.for_b) * chance * (1 - chance)
    prior = torch.tensor([*[PRIOR**-2] * len(theta), BETA_PRIOR**-2], dtype=torch.float64)
    free = _complement(_stretch(rewards, slopes, model.per))
    variance = _variances(jacobian.T @ (weight[:, None] * jacobian) + prior.diag(), free)[:-1]
    untold = _variances(prior.diag(), free)[:-1]
    moving = by_parameter.abs().amax(dim=0) > 1e-9 * slopes.abs().amax(dim=0)
    reasons = [_reason(model, theta, k, bool(moving[k]), variance[k], untold[k]) for k in range(len(theta))]
    told = torch.tensor([not reason for reason in reasons])
    around, spread = torch.where(told, theta, 0), Z_95 * torch.where(told, variance.sqrt(), PRIOR)
    ends = torch.stack([model.values(around - spread), model.values(around + spread)]).sort(dim=0).values
    return {
        name: FittedParameter(float(value), float(low), float(high), reason)
        for name, value, (low, high), reason in zip(model.names, model.values(theta), ends.T, reasons, strict=True)
    }


def untouched(program: RewardProgram, name: str) -> FittedParameter:
    """A parameter that the reward does not read."""
    default, spread = program.parameters[name], torch.tensor([-Z_95 * PRIOR, Z_95 * PRIOR], dtype=torch.float64)
    low, high = sorted(parameter_values(torch.tensor(default), spread).tolist())
    return FittedParameter(default, low, high, SHAPING_ONLY if name in tunable(program) else NOT_READ)


def _reason(model: Model, theta: Tensor, which: int, moving: bool, variance: Tensor, untold: Tensor) -> str:
    """Why the votes do not tell a parameter, or ""; variances are with and without votes."""
    if not moving:
        return NO_GRADIENT if model.acts(theta, which) else NO_EFFECT
    if float(untold) < 0.01 * PRIOR**2:
        return SCALE_ONLY
    return "" if float(variance) < TOLD**2 * float(untold) else TOO_LITTLE


def _stretch(rewards: Tensor, slopes: Tensor, per: Per) -> Tensor:
    """(p,): the direction in which the parameters only stretch the reward, of length 1; zero where there is none.

    Compared as means per step, rewards that differ by a constant are the same.
    """
    if per == "step":
        rewards, slopes = rewards - rewards.mean(), slopes - slopes.mean(dim=0)
    direction = torch.from_numpy(np.linalg.lstsq(slopes.numpy(), rewards.numpy(), rcond=1e-6)[0])
    left, length = float((slopes @ direction - rewards).norm()), float(direction.norm())
    return direction / length if length > 1e-6 and left < 1e-3 * float(rewards.norm()) else 0 * direction


def _complement(stretch: Tensor) -> Tensor:
    """(p + 1, f): a basis of what is left of (theta, log beta) without the stretch, which is held as it is."""
    whole = torch.cat([stretch, stretch.new_zeros(1)])
    return torch.linalg.svd(whole[None])[2][int(bool(stretch.any())) :].T


def _variances(information: Tensor, free: Tensor) -> Tensor:
    """(p + 1,): the diagonal of the inverse of the information, within the span of `free`."""
    return ((free @ torch.linalg.inv(free.T @ information @ free)) * free).sum(dim=1)
