"""Which candidates go on after a rung, from clean evaluations alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rewardsmith.stats import MIN_SEEDS, Interval, interval
from rewardsmith.train.config import RacingConfig
from rewardsmith.types import MemberResult


class Standing(NamedTuple):
    """A candidate at a rung; more is better in every field. Failed members weigh more than any score."""

    failed: int  # minus the number of its members that failed
    success: float
    fitness: float


def standing(members: Sequence[MemberResult]) -> Standing:
    """Mean over the members that train, at their last evaluation."""
    last = [m.curve[-1] for m in members if m.state == "trained" and m.curve]
    if not last:
        return Standing(-len(members), -math.inf, -math.inf)
    return Standing(
        len(last) - len(members), float(np.mean([p.success for p in last])), float(np.mean([p.fitness for p in last]))
    )


def survivors(candidates: Mapping[str, Sequence[MemberResult]], config: RacingConfig) -> list[str]:
    """The candidates that go on, best first.

    The best `keep` part goes on for certain. A candidate below the cut goes on while its interval overlaps that of the
    last one above it, but never more than the `at_most` part: a rung always drops some. Candidates of which no member
    trains any more are out and do not count.
    """
    alive = {c: ms for c, ms in candidates.items() if any(m.state == "trained" for m in ms)}
    ranked = sorted(alive, key=lambda c: (standing(alive[c]), c), reverse=True)
    if len(ranked) < 2:
        return ranked
    most = max(1, math.floor(config.at_most * len(ranked)))
    certain = min(most, max(1, math.ceil(config.keep * len(ranked))))
    cut = alive[ranked[certain - 1]]
    contested = [c for c in ranked[certain:] if _overlap(alive[c], cut)]
    return [*ranked[:certain], *contested[: most - certain]]


def _overlap(a: Sequence[MemberResult], b: Sequence[MemberResult]) -> bool:
    """Whether the number that decides between two candidates cannot tell them apart."""
    deciding = 0 if standing(a).success != standing(b).success else 1
    first, second = _interval(a, deciding), _interval(b, deciding)
    return first is not None and second is not None and first.low <= second.high and second.low <= first.high


def _interval(members: Sequence[MemberResult], column: int) -> Interval | None:
    """Over seeds if there are enough, else over the episodes of the last evaluations. Column 0 success, 1 fitness."""
    trained = [m for m in members if m.state == "trained" and m.last_episodes]
    if not trained:
        return None
    if len(trained) >= MIN_SEEDS:
        return interval([float(np.mean([e[column] for e in m.last_episodes])) for m in trained])
    return interval([e[column] for m in trained for e in m.last_episodes], over="episodes, not seeds")
