"""Fits a reward's parameters to votes, by gradients through its graph.

The model is Bradley and Terry's (1952), as in preference learning (Christiano et al., arXiv 1706.03741): segment a is
preferred to b with probability sigmoid(beta * (R_a - R_b)). Parameters move in log space, so that they keep their
sign, under a normal prior around their defaults with the width of `variants`; beta, how decided the votes are, is
fitted too. Where the parameters together only stretch the reward, beta does the same, and the prior decides: the
stretch stays as it was. Intervals are 95 % of the normal approximation (expected information), in log space.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.functional import logsigmoid

from rewardsmith.errors import UsageError
from rewardsmith.reward.program import RewardProgram
from rewardsmith.tune.segments import Per, RewardFails, Segments
from rewardsmith.tune.variants import WIDEST, tunable
from rewardsmith.tune.votes import Tally, Votes

PRIOR = math.log(WIDEST)  # deviation of the log of a parameter
BETA_PRIOR = 100.0  # of the log of beta: next to nothing, but finite where no vote contradicts the reward
TOLD = 0.5  # votes tell a parameter where they narrow its prior to less than this part
REACH = 3.0  # deviations that a parameter may move
Z_95 = 1.96

_SPREAD = torch.tensor([-Z_95 * PRIOR, Z_95 * PRIOR], dtype=torch.float64)  # what the prior alone knows
_FORBIDDEN = 1e30  # loss where the reward is not finite: the line search turns back

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


class Likelihood(NamedTuple):
    """Log likelihood of votes of this total weight: with the defaults and beta fitted to them, and with the fit.

    Higher is better; guessing has -0.693 per vote.
    """

    before: float
    after: float
    votes: float


@dataclass(frozen=True)
class Fit:
    """Fitted parameters by name (structural ones left out), beta, and how well they explain the votes.

    `held_out` is over the pairs that were kept from the fit, None where there are none.
    """

    parameters: dict[str, FittedParameter]
    beta: float
    train: Likelihood
    held_out: Likelihood | None

    @property
    def values(self) -> dict[str, float]:
        """Parameters for the program: the most likely ones, jointly."""
        return {name: parameter.value for name, parameter in self.parameters.items()}


def fit(
    program: RewardProgram,
    segments: Segments,
    votes: Votes,
    *,
    per: Per = "step",
    holdout: float = 0.2,
    seed: int = 0,
) -> Fit:
    """The parameters that best explain `votes` on `segments`. The order of the votes does not matter.

    Args:
        per: what a segment's R is: its reward's mean per step, or the sum.
        holdout: share of the pairs of segments that is kept from the fit, drawn with `seed`.

    Raises:
        UsageError: a vote names a segment that does not exist, or `holdout` is not in [0, 1) or leaves no pair.
        RewardFails: the reward or its gradient is not finite on these segments, or an operation fails.
    """
    tally = votes.tally()
    if int(tally.b.max()) >= len(segments):
        raise UsageError(f"a vote names segment {int(tally.b.max())} of {len(segments)}", hint="number them from 0")
    if not 0 <= holdout < 1 or round(holdout * len(tally.a)) >= len(tally.a):
        raise UsageError(f"holding {holdout} of {len(tally.a)} pairs out leaves none", hint="hold out less")
    train, held_out = tally.split(holdout, seed)
    model = _Model(program, segments, per)
    defaults = torch.zeros(len(model.names), dtype=torch.float64)
    pay = model.pay(defaults)
    start = _start(pay, train)
    [before] = _minimized(lambda v: _loss(pay, v[0], start, train), start[None])
    best = _minimized(
        lambda v: _loss(model.pay(v[:-1]), v[-1], start, train) + _pull(v[:-1]), torch.cat([defaults, before[None]])
    )
    theta, log_beta = best[:-1], best[-1]
    new_pay = model.pay(theta)

    def likelihood(of: Tally) -> Likelihood:
        old, new = _log_likelihood(pay, before, of), _log_likelihood(new_pay, log_beta, of)
        return Likelihood(float(old), float(new), float((of.for_a + of.for_b).sum()))

    fitted = _intervals(model, theta, log_beta, train)
    return Fit(
        parameters={
            name: fitted.get(name) or _untouched(program, name)
            for name in program.parameters
            if name not in program.structural
        },
        beta=float(log_beta.exp()),
        train=likelihood(train),
        held_out=None if held_out is None else likelihood(held_out),
    )


def _untouched(program: RewardProgram, name: str) -> FittedParameter:
    """A parameter that the reward does not read."""
    low, high = sorted(float(end) for end in _values(torch.tensor(program.parameters[name]), _SPREAD))
    reason = SHAPING_ONLY if name in tunable(program) else NOT_READ
    return FittedParameter(program.parameters[name], low, high, reason)


class _Model:
    """R of every segment as a function of theta (p,): the logs of the parameters over their defaults.

    A parameter with default 0 has no log: theta is the parameter itself.
    """

    def __init__(self, program: RewardProgram, segments: Segments, per: Per) -> None:
        self._program, self._segments = program, segments
        self.per: Per = per
        read = {entry.name for entry in program.graph.reward.inputs if entry.source == "parameter"}
        self.names = [name for name in tunable(program) if name in read]
        self._defaults = torch.tensor([program.parameters[name] for name in self.names], dtype=torch.float64)

    def values(self, theta: Tensor) -> Tensor:
        """(p,) parameters."""
        return _values(self._defaults, theta)

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
        """(R, p): derivatives of `rewards`, forwards through the graph."""
        columns = []
        for direction in torch.eye(len(theta), dtype=torch.float64):
            with forward_ad.dual_level():
                slope = forward_ad.unpack_dual(self.rewards(forward_ad.make_dual(theta, direction))).tangent
            columns.append(torch.zeros(int(self._segments.lengths.sum())) if slope is None else slope)
        return torch.stack(columns, dim=1).double() if columns else torch.zeros((0, 0), dtype=torch.float64)

    def acts(self, theta: Tensor, which: int) -> bool:
        """Whether differences between segments change when one parameter does, within the range of variants."""
        now, moved = self.pay(theta), theta.clone()
        for step in (PRIOR, -PRIOR):
            moved[which] = theta[which] + step
            change = self.pay(moved) - now
            if float(change.std(correction=0)) > 1e-6 * float(now.abs().max()):
                return True
        return False


def _values(defaults: Tensor, theta: Tensor) -> Tensor:
    return torch.where(defaults == 0, theta, defaults * theta.exp())


def _start(pay: Tensor, tally: Tally) -> Tensor:
    """Log of the beta at which the typical difference is 1."""
    if not bool(pay.isfinite().all()):
        raise RewardFails("the reward is not finite on some of the segments")
    typical = float(_differences(pay, tally).square().mean().sqrt())
    return torch.tensor(-math.log(typical) if typical > 0 else 0.0, dtype=torch.float64)


def _differences(pay: Tensor, tally: Tally) -> Tensor:
    """(K,): R_a - R_b."""
    return pay[torch.from_numpy(tally.a)] - pay[torch.from_numpy(tally.b)]


def _log_likelihood(pay: Tensor, log_beta: Tensor, tally: Tally) -> Tensor:
    z = log_beta.exp() * _differences(pay, tally)
    return (torch.from_numpy(tally.for_a) * logsigmoid(z) + torch.from_numpy(tally.for_b) * logsigmoid(-z)).sum()


def _loss(pay: Tensor, log_beta: Tensor, start: Tensor, tally: Tally) -> Tensor:
    return ((log_beta - start) / BETA_PRIOR).square() / 2 - _log_likelihood(pay, log_beta, tally)


def _pull(theta: Tensor) -> Tensor:
    return (theta / PRIOR).square().sum() / 2


def _minimized(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """The minimum near `start`: theta, and log beta as the last entry.

    Raises: RewardFails: the loss or its gradient is not finite at the start.
    """
    from scipy.optimize import minimize  # deferred: takes half a second to import

    def value_and_gradient(at: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.from_numpy(at.copy()).requires_grad_()
        value = loss(x)
        [gradient] = torch.autograd.grad(value, x)
        if bool(value.detach().isfinite()) and bool(gradient.isfinite().all()):
            return float(value.detach()), gradient.numpy()
        return _FORBIDDEN, np.zeros_like(at)

    if value_and_gradient(start.numpy())[0] == _FORBIDDEN:
        raise RewardFails(
            "the gradient of the reward by its parameters is not finite on some of the segments",
            hint="add a small constant under square roots and in denominators, or try variants instead of a fit",
        )
    reach = np.array([*[REACH * PRIOR] * (len(start) - 1), REACH * BETA_PRIOR])
    bounds = np.stack([start.numpy() - reach, start.numpy() + reach], axis=1)
    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8}
    found = minimize(value_and_gradient, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return torch.from_numpy(found.x)


def _intervals(model: _Model, theta: Tensor, log_beta: Tensor, tally: Tally) -> dict[str, FittedParameter]:
    """What the votes tell about each parameter that the reward reads."""
    if not model.names:
        return {}
    rewards, slopes = model.rewards(theta).double(), model.slopes(theta)
    by_parameter = torch.stack([_differences(model.collect(slope), tally) for slope in slopes.T], dim=1)
    z = log_beta.exp() * _differences(model.collect(rewards), tally)
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
    around, spread = torch.where(told, theta, 0), torch.where(told, Z_95 * variance.sqrt(), _SPREAD[1])
    ends = torch.stack([model.values(around - spread), model.values(around + spread)]).sort(dim=0).values
    return {
        name: FittedParameter(float(value), float(low), float(high), reason)
        for name, value, (low, high), reason in zip(model.names, model.values(theta), ends.T, reasons, strict=True)
    }


def _reason(model: _Model, theta: Tensor, which: int, moving: bool, variance: Tensor, untold: Tensor) -> str:
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
