"""Utilities from choices: against closed forms, libraries' answers, simulation, and any order of votes."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from rewardsmith.errors import UsageError
from rewardsmith.prefer import utilities as module
from rewardsmith.prefer.ballots import Ballot, Choice, choices
from rewardsmith.prefer.utilities import ask_next, information, utilities


@pytest.fixture
def flat_prior(monkeypatch) -> None:
    monkeypatch.setattr(module, "PRIOR", 1e4)


def test_two_items_have_the_log_odds_of_their_votes(flat_prior) -> None:
    found = utilities("ab", [Choice(("a",), ("a", "b"))] * 30 + [Choice(("b",), ("a", "b"))] * 10)
    assert found.of("a") - found.of("b") == pytest.approx(math.log(3), abs=1e-6)
    _, deviation = found.gap("a", "b")
    assert deviation == pytest.approx(math.sqrt(1 / 30 + 1 / 10), rel=1e-5), "the deviation of a log odds"


def test_ties_of_pairs_are_davidsons(flat_prior) -> None:
    """With w, l and t of each outcome the model has as many parameters as outcomes, so that it fits them exactly."""
    pair = ("a", "b")
    votes = [Choice(("a",), pair)] * 45 + [Choice(("b",), pair)] * 20 + [Choice(pair, pair)] * 35
    model = module._Model("ab", votes, np.ones(len(votes)))
    found = utilities("ab", votes)
    assert found.of("a") - found.of("b") == pytest.approx(math.log(45 / 20), abs=1e-6)
    tie = math.log(35) - 0.5 * (math.log(45) + math.log(20))
    chances, _ = model._chances(np.array([found.of("a"), found.of("b"), tie]))
    assert sorted(np.round(chances[:3], 6)) == [0.2, 0.35, 0.45]


def test_picks_of_the_best_are_a_multinomial(flat_prior) -> None:
    among = tuple("abc")
    counts = {"a": 50, "b": 30, "c": 20}
    found = utilities(among, [Choice((i,), among) for i, n in counts.items() for _ in range(n)])
    assert np.exp(found.mean) / np.exp(found.mean).sum() == pytest.approx([0.5, 0.3, 0.2], abs=1e-6)


def test_picks_of_the_worst_mirror_those_of_the_best(flat_prior) -> None:
    among = tuple("abc")
    worst = utilities(among, [Choice((i,), among, worst=True) for i in "aaaaabbbcc"])
    best = utilities(among, [Choice((i,), among) for i in "aaaaabbbcc"])
    assert worst.mean == pytest.approx(-best.mean, abs=1e-5)
    assert worst.ranked == ("c", "b", "a")


def test_the_slope_and_the_curvature_are_those_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    votes = [
        *choices(Ballot(rater="r", form="ranking", shown=tuple("abcde"), order=(("c",), ("a", "b"), ("e",), ("d",)))),
        *choices(Ballot(rater="r", form="best_worst", shown=tuple("abcd"), order=(("c",), ("a",)))),
        Choice(("d", "e", "a"), tuple("abcde")),
    ]
    model = module._Model("abcde", votes, rng.uniform(0.5, 2.0, len(votes)))
    x = rng.normal(size=model.size)
    _, slope = model.loss(x)
    steps = np.eye(model.size) * 1e-5
    assert slope == pytest.approx([(model.loss(x + s)[0] - model.loss(x - s)[0]) / 2e-5 for s in steps], abs=1e-7)
    bend = np.array([(model.loss(x + s)[1] - model.loss(x - s)[1]) / 2e-5 for s in steps])
    assert model.curvature(x) == pytest.approx(bend, abs=1e-7)


def test_the_order_of_votes_does_not_matter() -> None:
    votes = [Choice((a,), (a, b)) for a, b in [("a", "b"), ("b", "c"), ("c", "a"), ("a", "c")]]
    found = [utilities("abc", shuffled) for shuffled in permutations(votes)]
    assert len({f.ranked for f in found}) == 1
    assert max(np.abs(f.mean - found[0].mean).max() for f in found) < 1e-7


def test_a_weight_counts_like_repeated_votes() -> None:
    votes = [Choice(("a",), ("a", "b")), Choice(("b",), ("b", "c"))]
    assert utilities("abc", votes, [3.0, 1.0]).mean == pytest.approx(
        utilities("abc", [votes[0], *votes, votes[0]]).mean, abs=1e-7
    )


def test_who_always_won_is_good_and_not_infinite() -> None:
    found = utilities("abx", [Choice(("a",), ("a", "b"))] * 5)
    assert 0 < found.of("a") < 10 and found.of("x") == pytest.approx(0)
    assert found.better("a", "b") > 0.9 and found.better("b", "a") < 0.1
    low, high = found.interval("x")
    assert low < -3 and high > 3, "nobody has judged it"


def test_intervals_cover_what_is_true() -> None:
    """In 40 simulated polls about 95 % of the intervals hold what is true."""
    rng = np.random.default_rng(1)
    items = tuple("abcdef")
    inside = []
    for _ in range(40):
        truth = rng.normal(size=6)
        votes = []
        for _ in range(40):
            shown = rng.permutation(6)[:4]
            order = shown[np.argsort(-(truth[shown] + rng.gumbel(size=4)))]
            groups = tuple((items[i],) for i in order)
            votes += choices(Ballot(rater="r", form="ranking", shown=tuple(items[i] for i in shown), order=groups))
        found = utilities(items, votes)
        for i, item in enumerate(items):
            low, high = found.interval(item)
            inside.append(low <= truth[i] - truth.mean() <= high)
    assert 0.9 <= np.mean(inside) <= 0.99


def test_bad_choices_are_refused() -> None:
    with pytest.raises(UsageError, match="'z'"):
        utilities("ab", [Choice(("a",), ("a", "z"))])
    with pytest.raises(UsageError, match="picks some"):
        utilities("ab", [Choice((), ("a", "b"))])
    with pytest.raises(UsageError, match="positive weight"):
        utilities("ab", [Choice(("a",), ("a", "b"))], [0.0])
    with pytest.raises(UsageError, match="show fewer"):
        many = tuple(map(str, range(30)))
        utilities(many, [Choice(many[:10], many)])


def test_what_to_ask_next_is_what_is_close_and_unknown() -> None:
    votes = [Choice(("a",), ("a", "b"))] * 20 + [Choice(("c",), ("c", "d")), Choice(("d",), ("c", "d"))]
    votes += [Choice(("b",), ("b", "c"))] * 3
    known = utilities("abcdx", votes)
    assert information(known, "a", "b") < 0.1 < information(known, "c", "x") <= 1
    assert "x" in ask_next(known)
    assert len(set(ask_next(known, 4))) == 4
    with pytest.raises(UsageError):
        ask_next(known, 6)


def test_asking_where_most_is_told_beats_asking_at_random() -> None:
    """After 60 votes about 8 items, over 8 polls, the order found is nearer to the true one."""
    errors = {True: [], False: []}
    items = tuple("abcdefgh")
    for poll in range(8):
        for clever, found in errors.items():
            rng = np.random.default_rng(poll)
            truth = rng.normal(size=8) * 2
            votes: list[Choice] = []
            for _ in range(60):
                pair = ask_next(utilities(items, votes)) if clever else tuple(items[i] for i in rng.permutation(8)[:2])
                gap = truth[items.index(pair[0])] - truth[items.index(pair[1])]
                won = pair[0] if rng.random() < 1 / (1 + math.exp(-gap)) else pair[1]
                votes.append(Choice((won,), pair))
            ranks = [utilities(items, votes).ranked.index(item) for item in items]
            found.append(float(np.corrcoef(ranks, -truth)[0, 1]))
    assert np.mean(errors[True]) > np.mean(errors[False])
