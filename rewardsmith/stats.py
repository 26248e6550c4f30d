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
_BOUNDS = [0.025, 0.975]
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
    low, high = np.quantile(_trimmed_mean(draws, cut), _BOUNDS)
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
    return first_difference([_interval_or_none(s) for s in ours], [_interval_or_none(s) for s in theirs])


def first_difference(ours: Sequence[Interval | None], theirs: Sequence[Interval | None]) -> Decision:
    """`decide` for intervals that are known: of (success, fitness), None where there is none."""
    for measure, a, b in zip(("success", "fitness"), ours, theirs, strict=True):
        if a is not None and b is not None and (answer := compare(a, b)) != "cannot tell yet":
            return Decision(answer, measure)
    return Decision("cannot tell yet")


def _interval_or_none(scores: Sequence[float]) -> Interval | None:
    return interval(scores) if len(scores) >= MIN_SEEDS else None


# --- several tasks ----------------------------------------------------------------------------------------------------

TaskScores = Sequence[float] | Sequence[Sequence[float]]
"""Scores of one task: (seeds,), or (repetitions, seeds) where the whole design was repeated."""


def stratified(tasks: Sequence[TaskScores], *, seed: int = 0) -> Interval:
    """IQM over all scores of all tasks, with a stratified percentile bootstrap 95 % interval.

    Each task is resampled by itself (Agarwal et al. 2021, section 4). The fresh seeds of one repetition train the same
    reward and so are no independent sample of a method: repetitions are resampled first, then the seeds within each.

    Args:
        tasks: scores on a scale that the tasks share, such as `human_normalized`. Higher is better.

    Raises: StatisticsError: no task, or one with fewer than three seeds in all.
    """
    groups = [_repetitions(task) for task in tasks]
    if not groups:
        raise StatisticsError("the interquartile mean over no tasks is undefined")
    rng = np.random.default_rng(seed)
    point = iqm(np.concatenate([scores for group in groups for scores in group]))
    draws = np.concatenate([_resampled(group, rng) for group in groups], axis=1)
    low, high = np.quantile(_trimmed_mean(draws, 0.25), _BOUNDS)
    return Interval(point, float(low), float(high), sum(len(s) for group in groups for s in group), "seeds")


def probability_of_improvement(a: Sequence[TaskScores], b: Sequence[TaskScores], *, seed: int = 0) -> Interval:
    """How likely a score of `a` exceeds one of `b` on the same task: 0.5 is no difference, 1 always.

    The mean over tasks of P(X > Y) + P(X = Y) / 2, which is the Mann-Whitney U statistic over the number of pairs
    (Agarwal et al. 2021, section 4.3), with a bootstrap interval as in `stratified`.

    Args:
        a, b: scores of the same tasks in the same order; each task on any scale of its own.

    Raises: StatisticsError: no task, not the same number of tasks, or a task with fewer than three seeds in all.
    """
    if not a or len(a) != len(b):
        raise StatisticsError(f"there are {len(a)} tasks on one side and {len(b)} on the other: nothing to pair")
    pairs = [(_repetitions(x), _repetitions(y)) for x, y in zip(a, b, strict=True)]
    rng = np.random.default_rng(seed)
    point = np.mean([_exceeds(np.concatenate(x)[None], np.concatenate(y)[None])[0] for x, y in pairs])
    draws = np.mean([_exceeds(_resampled(x, rng), _resampled(y, rng)) for x, y in pairs], axis=0)
    low, high = np.quantile(draws, _BOUNDS)
    seeds = sum(len(scores) for pair in pairs for group in pair for scores in group)
    return Interval(float(point), float(low), float(high), seeds, "seeds")


def human_normalized(method: float, *, human: float, sparse: float) -> float:
    """(method - sparse) / |human - sparse|, as Eureka has it: 0 is the sparse reward and, where it is better, 1 human.

    Args:
        human, sparse: interquartile means of the reference rewards.
    """
    return (method - sparse) / abs(human - sparse)


def separable(human: Interval, sparse: Interval) -> bool:
    """Whether the references can be told apart. Where they cannot, a score normalized by their distance is noise."""
    return compare(human, sparse) != "cannot tell yet"


def _repetitions(task: TaskScores) -> list[np.ndarray]:
    """The task's scores as one array a repetition. Raises: StatisticsError: fewer than three seeds."""
    groups = [task] if len(task) and np.ndim(task[0]) == 0 else task
    arrays = [np.asarray(group, dtype=np.float64) for group in groups if len(group)]  # type: ignore[arg-type]
    seeds = sum(array.size for array in arrays)
    if seeds < MIN_SEEDS:
        raise StatisticsError(
            f"an interval over {seeds} seed(s) means nothing", hint=f"train at least {MIN_SEEDS} seeds on every task"
        )
    return arrays


def _resampled(group: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Bootstrap samples of one task's scores, (RESAMPLES, repetitions * most seeds of one)."""
    sizes = np.array([scores.size for scores in group])
    padded = np.stack([np.pad(scores, (0, sizes.max() - scores.size)) for scores in group])
    chosen = rng.integers(len(group), size=(RESAMPLES, len(group), 1))
    seeds = rng.integers(sizes[chosen], size=(RESAMPLES, len(group), sizes.max()))
    return padded[chosen, seeds].reshape(RESAMPLES, -1)


def _exceeds(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """P(X > Y) + P(X = Y) / 2 for each row of `x` (n, a) and `y` (n, b)."""
    difference = x[:, :, None] - y[:, None, :]
    return ((difference > 0) + 0.5 * (difference == 0)).mean(axis=(1, 2))
