"""Raters of two opposite tastes are told apart; a new one is placed with few answers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from rewardsmith.errors import UsageError
from rewardsmith.prefer.groups import groups, held_out

ITEMS = tuple(f"clip{i:02}" for i in range(16))
PAIRS = tuple(combinations(ITEMS, 2))


class Crowd:
    """Half of the raters like speed, half like saving energy; fast clips cost energy."""

    def __init__(self, raters: int = 12, answers: int = 40, *, seed: int = 0, opposite: bool = True) -> None:
        self.rng = np.random.default_rng(seed)
        speed = self.rng.normal(size=len(ITEMS))
        energy = -speed + 0.3 * self.rng.normal(size=len(ITEMS))
        self.features = torch.from_numpy(np.stack([speed, energy], 1))
        self.tastes = (2 * speed, 2 * energy if opposite else 2 * speed)
        self.taste = {f"rater{i:02}": i % 2 for i in range(raters)}
        self.judged = {rater: self.answer(taste, answers) for rater, taste in self.taste.items()}

    def answer(self, taste: int, count: int) -> dict[tuple[str, str], int]:
        utility = dict(zip(ITEMS, self.tastes[taste], strict=True))
        chosen = [PAIRS[i] for i in self.rng.choice(len(PAIRS), count, replace=False)]
        chances = [1 / (1 + np.exp(utility[b] - utility[a])) for a, b in chosen]
        return {pair: 1 if self.rng.random() < p else -1 for pair, p in zip(chosen, chances, strict=True)}

    def accuracy(self, utilities: np.ndarray, taste: int) -> float:
        """Share of all pairs that the utilities order as the taste does."""
        truth = self.tastes[taste]
        pairs = list(combinations(range(len(ITEMS)), 2))
        return float(np.mean([(utilities[a] > utilities[b]) == (truth[a] > truth[b]) for a, b in pairs]))


def adjusted_rand(first, second) -> float:
    """Hubert and Arabie (1985)."""
    table = np.zeros((max(first) + 1, max(second) + 1))
    for a, b in zip(first, second, strict=True):
        table[a, b] += 1
    pairs = lambda counts: (counts * (counts - 1) / 2).sum()
    both, rows, columns, all_ = pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), pairs(table.sum())
    expected = rows * columns / all_
    return float((both - expected) / ((rows + columns) / 2 - expected))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("with_features", [False, True])
def test_two_opposite_tastes_are_recovered(seed, with_features) -> None:
    crowd = Crowd(seed=seed)
    features = crowd.features if with_features else None
    two, one = (groups(ITEMS, crowd.judged, count, features=features) for count in (2, 1))
    assert adjusted_rand(two.group, tuple(crowd.taste.values())) == 1.0
    assert not two.collapsed
    right = [np.mean([crowd.accuracy(fit.of(r), t) for r, t in crowd.taste.items()]) for fit in (two, one)]
    assert right[0] >= right[1] + 0.15 and right[0] > 0.85, "15 points better than one taste for all"
    assert held_out(ITEMS, crowd.judged, 2, features=features) > held_out(ITEMS, crowd.judged, 1, features=features)


def test_one_taste_is_not_taken_for_two() -> None:
    crowd = Crowd(opposite=False)
    assert held_out(ITEMS, crowd.judged, 1) > held_out(ITEMS, crowd.judged, 2)


def test_a_new_rater_is_known_after_ten_answers() -> None:
    few, many = [], []
    for seed in range(5):
        crowd = Crowd(seed=seed)
        two = groups(ITEMS, crowd.judged, 2)
        for taste in (0, 1):
            few.append(crowd.accuracy(two.place(crowd.answer(taste, 10)) @ two.utilities, taste))
            many.append(crowd.accuracy(two.place(crowd.answer(taste, 100)) @ two.utilities, taste))
    assert np.mean(few) >= np.mean(many) - 0.05


def test_names_and_order_of_raters_do_not_matter() -> None:
    crowd = Crowd()
    turned = dict(reversed(crowd.judged.items()))
    one, other = groups(ITEMS, crowd.judged, 2), groups(ITEMS, turned, 2)
    assert one.likelihood == pytest.approx(other.likelihood, abs=1e-4)
    assert one.of("rater03") == pytest.approx(other.of("rater03"), abs=0.05)


def test_bad_verdicts_are_refused() -> None:
    with pytest.raises(UsageError, match="no verdict"):
        groups(ITEMS, {"r": {}}, 2)
    with pytest.raises(UsageError, match="'z'"):
        groups(ITEMS, {"r": {("clip00", "z"): 1}}, 2)
    with pytest.raises(UsageError, match="features are"):
        groups(ITEMS, {"r": {("clip00", "clip01"): 1}}, 2, features=torch.zeros(3, 2))
    with pytest.raises(UsageError, match="too few"):
        held_out(ITEMS, {"r": {("clip00", "clip01"): 1}}, 2)
