"""Statistics over few seeds, against answers known by hand, scipy, and simulated experiments."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, mannwhitneyu, trim_mean

from rewardsmith.errors import StatisticsError
from rewardsmith.stats import (
    Interval,
    first_difference,
    human_normalized,
    interval,
    probability_of_improvement,
    separable,
    stratified,
)


def seeds(point: float, half: float) -> Interval:
    return Interval(point, point - half, point + half, 5, "seeds")


def test_the_stratified_point_is_the_iqm_of_all_scores() -> None:
    assert stratified([[0, 1, 2, 100], [3, 4, -100, 5]]).point == np.mean([1, 2, 3, 4])
    assert stratified([[0, 1, 2, 100], [3, 4, -100, 5]]).n == 8


def test_one_task_without_repetitions_gives_the_plain_interval() -> None:
    scores = np.random.default_rng(0).normal(size=12)
    ours, plain = stratified([scores]), interval(scores)
    assert ours.point == plain.point
    assert np.allclose(ours[1:3], plain[1:3], atol=0.12)
    theirs = bootstrap(
        (scores,), lambda x, axis: trim_mean(x, 0.25, axis=axis), method="percentile", n_resamples=20_000, rng=0
    ).confidence_interval
    assert np.allclose(ours[1:3], theirs, atol=0.06)


def test_tasks_are_resampled_by_themselves() -> None:
    """Every sample has the three zeros and the three ones of its tasks, so that nothing varies."""
    assert stratified([[0, 0, 0], [1, 1, 1]])[:3] == (0.5, 0.5, 0.5)
    assert interval([0, 0, 0, 1, 1, 1]).low < 0.5


def test_seeds_of_one_repetition_are_no_independent_sample() -> None:
    """Three designs that differ, each trained with seeds that agree: pooling would claim to know far more."""
    repeated = [[0.0, 0.1, 0.0, 0.1, 0.0], [1.0, 1.1, 1.0, 1.1, 1.0], [2.0, 2.1, 2.0, 2.1, 2.0]]
    nested, pooled = stratified([repeated]), stratified([np.ravel(repeated)])
    assert nested.point == pooled.point
    assert nested.low < 0.2 < pooled.low
    assert pooled.high < 1.9 < nested.high


def test_repetitions_may_have_lost_seeds() -> None:
    estimate = stratified([[[1.0, 1.0], [1.0, 1.0, 1.0], []]])
    assert estimate[:4] == (1.0, 1.0, 1.0, 5)


@pytest.mark.parametrize("nested", [False, True])
def test_intervals_cover_the_truth_about_as_often_as_they_say(nested: bool) -> None:
    """Percentile intervals of few seeds are known to be narrow; two levels as one would be far too narrow."""
    rng, hits, tries = np.random.default_rng(0), 0, 150
    for _ in range(tries):
        if nested:
            tasks = [rng.normal(size=(6, 1)) + 0.2 * rng.normal(size=(6, 5)) for _ in range(2)]
        else:
            tasks = [rng.normal(size=10) for _ in range(3)]
        found = stratified(tasks)
        hits += found.low <= 0 <= found.high
    assert 0.85 <= hits / tries <= 0.995


def test_the_probability_of_improvement_counts_pairs_and_half_the_ties() -> None:
    assert probability_of_improvement([[3, 4, 5]], [[0, 1, 2]])[:3] == (1.0, 1.0, 1.0)
    assert probability_of_improvement([[1, 1, 1]], [[1, 1, 1]])[:3] == (0.5, 0.5, 0.5)
    # of 9 pairs, 3 are 1 > 0 and 6 are ties
    assert probability_of_improvement([[0, 0, 1]], [[0, 0, 0]]).point == pytest.approx(6 / 9)
    both = probability_of_improvement([[3, 4, 5], [0, 0, 1]], [[0, 1, 2], [0, 0, 0]])
    assert both.point == pytest.approx((1 + 6 / 9) / 2)
    assert both.low < both.point < both.high


def test_the_probability_of_improvement_is_mann_whitneys() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 6, size=9), rng.integers(0, 6, size=7)
    expected = mannwhitneyu(a, b).statistic / (9 * 7)
    assert probability_of_improvement([a], [b]).point == pytest.approx(expected)
    assert probability_of_improvement([b], [a]).point == pytest.approx(1 - expected)


def test_human_normalized_is_0_for_sparse_and_1_for_human() -> None:
    assert human_normalized(10.0, human=30.0, sparse=10.0) == 0
    assert human_normalized(30.0, human=30.0, sparse=10.0) == 1
    assert human_normalized(50.0, human=30.0, sparse=10.0) == 2
    assert human_normalized(5.0, human=-10.0, sparse=0.0) == 0.5, "the distance counts, not its direction"


def test_references_are_separable_only_where_their_intervals_are_disjoint() -> None:
    assert separable(seeds(3, 1), seeds(0, 1))
    assert separable(seeds(0, 1), seeds(3, 1))
    assert not separable(seeds(3, 2), seeds(0, 2))
    assert not separable(seeds(3, 1), seeds(0, 1)._replace(over="episodes, not seeds"))


def test_success_decides_before_fitness_and_only_where_it_is_known() -> None:
    worse, better = seeds(0, 0.1), seeds(1, 0.1)
    assert first_difference([better, worse], [worse, better]) == ("better", "success")
    assert first_difference([worse, worse], [worse, better]) == ("worse", "fitness")
    assert first_difference([None, better], [worse, worse]) == ("better", "fitness")
    assert first_difference([None, None], [worse, worse]) == ("cannot tell yet", "")


@pytest.mark.parametrize("tasks", [[], [[]], [[1.0, 2.0]], [[1.0, 2.0, 3.0], [[1.0], [2.0]]]])
def test_too_little_data_is_refused(tasks) -> None:
    with pytest.raises(StatisticsError):
        stratified(tasks)


@pytest.mark.parametrize(("a", "b"), [([], []), ([[1, 2, 3]], []), ([[1, 2, 3]], [[1, 2]])])
def test_tasks_that_cannot_be_paired_are_refused(a, b) -> None:
    with pytest.raises(StatisticsError):
        probability_of_improvement(a, b)
