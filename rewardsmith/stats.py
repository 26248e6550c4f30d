"""Honest statistics over few seeds: interquartile mean, bootstrap intervals, and "cannot tell yet".

Written on numpy and scipy after Agarwal et al., "Deep RL at the edge of the statistical precipice" (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from rewardsmith.errors import StatisticsError

MIN_SEEDS = 3
RESAMPLES = 2000
Answer = Literal["better", "worse", "cannot tell yet"]


class Interval(NamedTuple):
    """A point estimate with a 95 % interval. `over` says what was resampled: training seeds, or only episodes."""

    point: float
    low: float
    high: float
    n: int
    over: Literal["seeds", "episodes, not seeds"]

    def __str__(self) -> str:
        text = f"{self.point:.3g} [{self.low:.3g}, {self.high:.3g}]"
        return text if self.over == "seeds" else f"{text} ({self.over})"


def iqm(scores: Sequence[float] | np.ndarray) -> float:
    """Interquartile mean of `scores`, shape (n,): the mean of the middle half. Higher is better.

    Raises: StatisticsError: no scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0:
        raise StatisticsError("the interquartile mean of no scores is undefined")
    return float(_trimmed_mean(values, 0.25))


def _trimmed_mean(values: np.ndarray, cut: float) -> np.ndarray:
    """Mean along the last axis without the lowest and the highest share `cut`."""
    from scipy.stats import trim_mean  # here: most processes never need it, and it takes over half a second to import

    return trim_mean(values, cut, axis=-1)


def interval(
    scores: Sequence[float] | np.ndarray,
    *,
    seed: int = 0,
    over: Literal["seeds", "episodes, not seeds"] = "seeds",
    of: Literal["iqm", "mean"] = "iqm",
) -> Interval:
    """IQM (or mean) of `scores`, shape (n,), with a percentile bootstrap 95 % interval.

    Below three seeds the interval is over episodes only, and says so: pass per-episode scores then.
    Raises: StatisticsError: fewer than three scores with `over="seeds"`, or none at all.
    """
    values = np.asarray(scores, dtype=np.float64)
    if over == "seeds" and values.size < MIN_SEEDS:
        raise StatisticsError(
            f"an interval over {values.size} seed(s) means nothing",
            hint=f"train at least {MIN_SEEDS} seeds, or report episodes with over='episodes, not seeds'",
        )
    if values.size == 0:
        raise StatisticsError("an interval of no scores is undefined")
    cut = 0.25 if of == "iqm" else 0.0
    point = float(_trimmed_mean(values, cut))
    rng = np.random.default_rng(seed)
    draws = values[rng.integers(values.size, size=(RESAMPLES, values.size))]
    low, high = np.quantile(_trimmed_mean(draws, cut), [0.025, 0.975])
    return Interval(point, float(low), float(high), values.size, over)


def same_share(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Two-sided p-value of Fisher's exact test that two shares, each (successes, trials), are the same."""
    from scipy.stats import fisher_exact  # here, as above

    found: Any = fisher_exact([[won, of - won] for won, of in (a, b)])
    return float(found.pvalue)


def compare(a: Interval, b: Interval) -> Answer:
    """Whether `a` beats `b`: only disjoint intervals over seeds count."""
    if a.over != "seeds" or b.over != "seeds":
        return "cannot tell yet"
    if a.low > b.high:
        return "better"
    if a.high < b.low:
        return "worse"
    return "cannot tell yet"


class Decision(NamedTuple):
    """Which of two rewards is better, and the measure that says so ("" where none does)."""

    answer: Answer
    measure: str = ""


def decide(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Decision:
    """Compare two rewards given as per-seed (success, fitness): by success where that decides, else by fitness."""
    for measure, a, b in zip(("success", "fitness"), ours, theirs, strict=True):
        if min(len(a), len(b)) < MIN_SEEDS:
            continue
        if (answer := compare(interval(a), interval(b))) != "cannot tell yet":
            return Decision(answer, measure)
    return Decision("cannot tell yet")
