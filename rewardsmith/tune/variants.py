"""The same reward with other numbers: variants of its parameters, and which of them are worth training."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.bank import Bank
from rewardsmith.errors import UsageError
from rewardsmith.reward.program import RewardProgram
from rewardsmith.tune.agreement import Agreement, MetricOrder
from rewardsmith.tune.segments import RewardFails, Segments

WIDEST = 4.0  # a variant's number is between this part and this multiple of the default
DIGITS = 3  # significant
TIED = 0.02  # agreements that differ by less say nothing about which is better
SAME = 0.01  # a distance between rewards (of at most 1) at which training both teaches nothing new
DISTANCE_ROWS = 4096

Parameters = dict[str, float]


class Variant(NamedTuple):
    """Parameters of a reward (structural ones left out), and the agreement; None where that is inconclusive."""

    parameters: Parameters
    agreement: Agreement | None


class Screening(NamedTuple):
    """What `screen` kept, best first; `inconclusive` says why the episodes could not tell ("" where they could)."""

    kept: tuple[Variant, ...]
    inconclusive: str


def tunable(program: RewardProgram) -> list[str]:
    """Names of the parameters that can be changed without tracing again and that the reward or potential reads."""
    functions = [program.graph.reward, *([program.graph.potential] if program.graph.potential else [])]
    read = {entry.name for function in functions for entry in function.inputs if entry.source == "parameter"}
    return [name for name in program.parameters if name in read and name not in program.structural]


def variants(program: RewardProgram, count: int, rng: np.random.Generator) -> list[Parameters]:
    """At most `count` different settings of the tunable parameters, the defaults first.

    Each number is log-uniform between a quarter of its default and four times it, sign kept; together they cover the
    ranges evenly (a Latin hypercube). A default of 0 has no scale: it stays 0 in about half of the variants and is
    +-0.25 to +-4 in the others. Fewer than `count` come back where nothing can be tuned or numbers coincide.

    Raises: UsageError: `count` is below 1.
    """
    from scipy.stats.qmc import LatinHypercube  # deferred: takes half a second to import

    if count < 1:
        raise UsageError(f"{count} variants make no sense", hint="ask for at least 1")
    names = tunable(program)
    found = [{name: program.parameters[name] for name in names}]
    if names:
        for point in LatinHypercube(len(names), rng=rng).random(count - 1):
            found.append({name: _moved(program.parameters[name], u) for name, u in zip(names, point, strict=True)})
    return list({tuple(setting.values()): setting for setting in found}.values())


def _moved(default: float, u: float) -> float:
    """The number at place `u` in [0, 1) of the range around a default."""
    if default == 0:
        if 0.25 <= u < 0.75:
            return 0.0
        default, u = (-1.0, 4 * u) if u < 0.25 else (1.0, 4 * u - 3)
    return rounded(default * WIDEST ** (2 * u - 1))


def rounded(value: float) -> float:
    """With as many digits as a person wants to read in a reward file."""
    return float(f"{value:.{DIGITS}g}")


def screen(program: RewardProgram, bank: Bank, *, count: int, keep: int, rng: np.random.Generator) -> Screening:
    """Of `count` variants, at most `keep` whose ranking of the bank's episodes agrees best with the metric.

    Among those whose agreement is tied, the one farthest from those already kept is taken, the defaults first. One
    that pays the same up to a positive factor as one already kept is left out: trained rewards are rescaled anyway.
    Where the episodes cannot tell, all are tied. Variants that are not finite are left out.

    Raises:
        UsageError: `count` or `keep` is below 1.
        RewardFails: an operation of the reward fails on these episodes, or no variant is finite.
    """
    if keep < 1:
        raise UsageError(f"keeping {keep} variants makes no sense", hint="keep at least 1")
    segments, order = Segments.episodes(bank), MetricOrder.of(bank)
    found: list[Variant] = []
    directions: list[Tensor] = []
    for parameters in variants(program, count, rng):
        rewards = segments.rewards(program, parameters)
        if bool(rewards.isfinite().all()):
            found.append(Variant(parameters, None if order.inconclusive else order.agreement(segments, rewards)))
            directions.append(direction(rewards))
    if not found:
        raise RewardFails("the reward is not finite on recorded episodes, whatever its parameters")
    scores = np.array([variant.agreement.score if variant.agreement else 0.0 for variant in found])
    chosen = best_and_diverse(scores, torch.stack(directions), keep)
    return Screening(tuple(found[k] for k in chosen), order.inconclusive)


def direction(rewards: Tensor) -> Tensor:
    """The rewards (R,) on evenly spaced steps as a vector of length 1/2, zero if they are: distances are in [0, 1]."""
    spaced = rewards[torch.linspace(0, len(rewards) - 1, min(len(rewards), DISTANCE_ROWS)).long()].double()
    return spaced / (2 * max(float(spaced.norm()), math.ulp(0.0)))


def best_and_diverse(scores: np.ndarray, directions: Tensor, keep: int) -> list[int]:
    """Places of the best: of those tied, each time the farthest from all before it; ties there go to the first."""
    chosen: list[int] = []
    nearest = np.full(len(scores), np.inf)  # distance to the nearest one chosen
    while len(chosen) < keep and (nearest >= SAME).any():
        best = scores[nearest >= SAME].max()
        tied = (nearest >= SAME) & (scores >= best - TIED)
        chosen.append(int(np.argmax(np.where(tied, nearest, -1.0))))
        nearest = np.minimum(nearest, (directions - directions[chosen[-1]]).norm(dim=1).numpy())
    return chosen
