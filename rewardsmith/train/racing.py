"""Racing: synchronous successive halving on the clean metric, and who gets the env steps that it frees.

At every rung all candidates have trained for the same number of env steps. They are ranked by clean evaluations alone;
the weakest are dropped. After the last rung, the steps that the dropped ones leave unused train more seeds of the
finalists, so that these are told apart by more than the seeds everybody had (Jamieson and Talwalkar, "Non-stochastic
best arm identification and hyperparameter optimization", 2016, give the halving; the seeds are ours).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from rewardsmith.stats import MIN_SEEDS, Interval, interval
from rewardsmith.train.config import Schedule
from rewardsmith.types import Estimate, Measure, Member, MemberResult, RungStanding

Affords = Callable[[int], bool]


class RacingConfig(BaseModel):
    """Where a race has its rungs, whom it drops there, and what it does with the steps that this frees."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="Off: every candidate is trained to the end.")
    rungs: tuple[float, ...] = Field(
        default=(0.25, 0.5), description="Where candidates are dropped, as parts of the budget."
    )
    keep: float = Field(default=0.5, gt=0, le=1, description="The part of the candidates that is kept for certain.")
    at_most: float = Field(default=0.75, gt=0, le=1, description="The part kept at most, however close the scores are.")
    finalist_seeds: PositiveInt = Field(
        default=4, description="Seeds of a finalist at most, as far as the steps of dropped candidates pay for them."
    )

    @model_validator(mode="after")
    def _check(self) -> RacingConfig:
        if any(not 0 < r < 1 for r in self.rungs) or list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs {self.rungs} must ascend between 0 and 1")
        if self.keep > self.at_most:
            raise ValueError("keep exceeds at_most")
        return self

    def iterations(self, plan: Schedule) -> list[int]:
        """The rungs as iterations: each at the first evaluation from its part of the budget on, never at the end."""
        return sorted({plan.rung(part) for part in self.rungs} - {plan.total}) if self.enabled else []


class Rung(NamedTuple):
    """What happened at a rung, for whoever watches."""

    env_steps: int  # of each member so far
    standings: dict[str, RungStanding]  # by candidate, best first
    more_seeds: tuple[int, ...] = ()  # which every candidate that goes on trains from now on, too


class Standing(NamedTuple):
    """What candidates are ranked by; more is better in every field. Failed members weigh more than any score."""

    failed: int  # minus the number of its members that failed
    success: float
    fitness: float


def standing(members: Sequence[MemberResult]) -> Standing:
    """Mean over the members that train, of the best policy that each had so far."""
    scores = [m.kept.score for m in members if m.state == "trained" and m.kept]
    if not scores:
        return Standing(-len(members), -math.inf, -math.inf)
    success, fitness = np.mean(scores, axis=0)
    return Standing(len(scores) - len(members), float(success), float(fitness))


def judge(
    candidates: Mapping[str, Sequence[MemberResult]], config: RacingConfig, *, spared: Collection[str] = ()
) -> dict[str, RungStanding]:
    """Who goes on after a rung and why, best first.

    The best `keep` part goes on for certain. A candidate below the cut goes on while its interval overlaps that of the
    last one above it, but never more than the `at_most` part: a rung always drops some. Candidates of which no member
    trains any more are out and do not count. Those `spared` go on whatever their scores; the others race among
    themselves, as if these were not there.
    """
    alive = {c: ms for c, ms in candidates.items() if any(m.state == "trained" for m in ms)}
    standings = {c: standing(ms) for c, ms in alive.items()}
    ranked = sorted(alive, key=lambda c: (standings[c], c), reverse=True)
    racing = [c for c in ranked if c not in spared] or ranked
    most = max(1, math.floor(config.at_most * len(racing)))
    certain = min(most, max(1, math.ceil(config.keep * len(racing))))
    judged: dict[str, RungStanding] = {}
    room = most - certain
    for place, id in enumerate(ranked, start=1):
        cut = racing[certain - 1]
        measure = "success" if standings[id].success != standings[cut].success else "fitness"
        own, other = _estimate(alive[id], measure), _estimate(alive[cut], measure)
        verdict = "ahead"
        if cut in judged and id in spared:
            verdict = "spared"
        elif cut in judged:
            close = own.low <= other.high and other.low <= own.high
            verdict = "behind" if not close else "close" if room else "crowded_out"
            room -= verdict == "close"
        judged[id] = RungStanding(
            env_steps=max(m.env_steps for m in alive[id]),
            place=place,
            of=len(ranked),
            failed=-standings[id].failed,
            success=_estimate(alive[id], "success"),
            fitness=_estimate(alive[id], "fitness"),
            over=_interval(alive[id], "success").over,
            verdict=verdict,
            cut=cut,
            cut_measure=measure,
            cut_score=other,
        )
    return judged


def _estimate(members: Sequence[MemberResult], measure: Measure) -> Estimate:
    """The mean that ranks, and its interval, which protects."""
    found = _interval(members, measure)
    return Estimate(value=getattr(standing(members), measure), low=found.low, high=found.high)


def _interval(members: Sequence[MemberResult], measure: Measure) -> Interval:
    """Over seeds if there are enough, else over the episodes of their best evaluations."""
    column = 0 if measure == "success" else 1
    kept = [m.kept for m in members if m.state == "trained" and m.kept]
    if len(kept) >= MIN_SEEDS:
        return interval([k.score[column] for k in kept], of="mean")
    return interval([e[column] for k in kept for e in k.episodes], over="episodes, not seeds", of="mean")


def more_seeds(
    results: Mapping[Member, MemberResult], *, cost: int, affords: Affords, config: RacingConfig
) -> tuple[int, ...]:
    """The seeds that every finalist trains in addition, paid with steps that members left unused which are out.

    The same for all finalists, whatever their scores. None for a single finalist: it is not to be told from another.

    Args:
        results: of all members so far; finalists are the candidates of those that still train.
        cost: env steps of one member's whole training.
        affords: asked with the env steps that the whole training would then take, evaluations so far included.
    """
    training = [m for m, r in results.items() if r.state == "trained"]
    finalists = len({m.candidate for m in training})
    seeds = {m.seed for m in results}
    freed = sum(cost - r.env_steps for r in results.values() if r.state != "trained")
    if finalists < 2 or (count := min(config.finalist_seeds - len(seeds), freed // (finalists * cost))) < 1:
        return ()
    spent = sum(r.env_steps + r.eval_env_steps for r in results.values())
    ahead = sum(cost - results[m].env_steps for m in training)
    first = max(seeds) + 1
    return tuple(range(first, first + count)) if affords(spent + ahead + count * finalists * cost) else ()
