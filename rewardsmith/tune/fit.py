"""Fits a reward's parameters to votes, by gradients through its graph.

The model is Bradley and Terry's (1952), as in preference learning (Christiano et al., arXiv 1706.03741): segment a is
preferred to b with probability sigmoid(beta * (R_a - R_b)). Parameters move in log space, so that they keep their
sign, under a normal prior around their defaults with the width of `variants`; beta, how decided the votes are, is
fitted too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rewardsmith.errors import UsageError
from rewardsmith.reward.program import RewardProgram
from rewardsmith.tune.model import PRIOR, Model, no_gradient
from rewardsmith.tune.segments import Per, RewardFails, Segments
from rewardsmith.tune.told import BETA_PRIOR, FittedParameter, intervals, untouched
from rewardsmith.tune.variants import rounded
from rewardsmith.tune.votes import Tally, Votes

HARDLY = 0.95  # defaults that explain votes hardly better than guessing, by this part of its likelihood
DRAWN, KEPT = 32, 2  # places looked at besides such defaults, and those of them that are started from
REACH = 3.0  # deviations that a parameter may move
_FORBIDDEN = 1e30  # loss where the reward is not finite: the line search turns back


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
        """Parameters for the program: the most likely ones, jointly, as short numbers."""
        return {name: rounded(parameter.value) for name, parameter in self.parameters.items()}


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
    voted = np.unique([tally.a, tally.b])
    train, held_out = tally.among(voted).split(holdout, seed)
    model = Model(program, segments.take(torch.from_numpy(voted)), per)
    defaults = torch.zeros(len(model.names), dtype=torch.float64)
    pay = model.pay(defaults)
    start = _start(pay, train)
    [before] = _minimized(lambda v: _loss(pay, v[0], start, train), start[None], start)

    def loss(v: Tensor) -> Tensor:
        return _loss(model.pay(v[:-1]), v[-1], start, train) + _pull(v[:-1])

    first = torch.cat([defaults, before[None]])
    guessing = math.log(0.5) * float((train.for_a + train.for_b).sum())
    starts = [first]
    if float(_log_likelihood(pay, before, train)) < HARDLY * guessing:
        starts += _elsewhere(model, train, loss, np.random.default_rng(seed))
    best = min((_minimized(loss, at, start) for at in starts), key=lambda v: float(loss(v)))
    theta, log_beta = best[:-1], best[-1]
    new_pay = model.pay(theta)

    def likelihood(of: Tally) -> Likelihood:
        old, new = _log_likelihood(pay, before, of), _log_likelihood(new_pay, log_beta, of)
        return Likelihood(float(old), float(new), float((of.for_a + of.for_b).sum()))

    fitted = intervals(model, theta, log_beta, train) if model.names else {}
    return Fit(
        parameters={
            name: fitted.get(name) or untouched(program, name)
            for name in program.parameters
            if name not in program.structural
        },
        beta=float(log_beta.exp()),
        train=likelihood(train),
        held_out=None if held_out is None else likelihood(held_out),
    )


def _start(pay: Tensor, tally: Tally) -> Tensor:
    """Log of the beta at which the typical difference is 1."""
    if not bool(pay.isfinite().all()):
        raise RewardFails("the reward is not finite on some of the segments")
    typical = float(tally.differences(pay).square().mean().sqrt())
    return torch.tensor(-math.log(typical) if typical > 0 else 0.0, dtype=torch.float64)


def _elsewhere(model: Model, tally: Tally, loss: Callable[[Tensor], Tensor], rng: np.random.Generator) -> list[Tensor]:
    """Other places to start from, (theta, log beta): the best of some drawn from the prior.

    Where the defaults explain votes worse than chance, their beta is next to 0, and no gradient leads away from there.
    """
    found: list[tuple[float, Tensor]] = []
    for theta in torch.from_numpy(rng.normal(0.0, PRIOR, (DRAWN if model.names else 0, len(model.names)))):
        try:
            at = torch.cat([theta, _start(model.pay(theta), tally)[None]])
        except RewardFails:
            continue
        found.append((float(loss(at)), at))
    return [at for _, at in sorted(found, key=lambda one: one[0])[:KEPT]]


def _log_likelihood(pay: Tensor, log_beta: Tensor, tally: Tally) -> Tensor:
    z = log_beta.exp() * tally.differences(pay)
    return (torch.from_numpy(tally.for_a) * logsigmoid(z) + torch.from_numpy(tally.for_b) * logsigmoid(-z)).sum()


def _loss(pay: Tensor, log_beta: Tensor, start: Tensor, tally: Tally) -> Tensor:
    return ((log_beta - start) / BETA_PRIOR).square() / 2 - _log_likelihood(pay, log_beta, tally)


def _pull(theta: Tensor) -> Tensor:
    return (theta / PRIOR).square().sum() / 2


def _minimized(loss: Callable[[Tensor], Tensor], start: Tensor, log_beta: Tensor) -> Tensor:
    """The minimum near `start`: theta, and log beta as the last entry, which is looked for around `log_beta`.

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
        raise no_gradient()
    reach = np.array([*[REACH * PRIOR] * (len(start) - 1), REACH * BETA_PRIOR])
    middle = np.array([*[0.0] * (len(start) - 1), float(log_beta)])
    bounds = np.stack([middle - reach, middle + reach], axis=1)
    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8}
    found = minimize(value_and_gradient, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return torch.from_numpy(found.x)
