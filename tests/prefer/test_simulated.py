"""Simulated raters make the mistakes that they are meant to make, as often as they are meant to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rewardsmith.errors import UsageError
from rewardsmith.prefer.ballots import Form
from rewardsmith.prefer.simulated import SimulatedRater

RETURNS = {"a": 0.0, "b": 1.0, "c": 2.0, "d": 4.0}
STEPS = {item: [value / 4] * 4 for item, value in RETURNS.items()}
SHOWN = tuple(RETURNS)


def polls(rater: SimulatedRater, shown=SHOWN, form: Form = "best_worst", count=4000):
    rng, seen = np.random.default_rng(0), rater.see(STEPS)
    return [rater.answer(seen, shown, rng, form) for _ in range(count)]


def test_the_oracle_is_right() -> None:
    assert polls(SimulatedRater(), count=1)[0].order == (("d",), ("a",))
    assert polls(SimulatedRater(), form="ranking", count=1)[0].order == (("d",), ("c",), ("b",), ("a",))


def test_a_temperature_makes_boltzmanns_choices() -> None:
    rater = SimulatedRater(temperature=0.5)
    seen = rater.see(STEPS)
    assert np.std(list(seen.values())) == pytest.approx(1.0)
    odds = np.exp(np.array([seen[i] for i in SHOWN]) / 0.5)
    picked = [ballot.order[0][0] for ballot in polls(rater)]
    for item, expected in zip(SHOWN, odds / odds.sum(), strict=True):
        assert picked.count(item) / len(picked) == pytest.approx(expected, abs=0.025)


def test_mistakes_happen_as_often_as_they_are_meant_to() -> None:
    ballots = polls(SimulatedRater(mistakes=0.1), shown=("a", "d"))
    assert np.mean([ballot.order[0] == ("a",) for ballot in ballots]) == pytest.approx(0.1, abs=0.015)
    wrong = [ballot.order[0][0] for ballot in polls(SimulatedRater(mistakes=0.3)) if ballot.order[0] != ("d",)]
    shares = [wrong.count(item) / len(wrong) for item in "abc"]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05), "any other is as likely"


def test_bad_clips_are_skipped_and_close_ones_tied() -> None:
    skipping = SimulatedRater(skip=0.6)
    assert polls(skipping, shown=("a", "b"), count=1)[0].form == "unsure"
    assert polls(skipping, shown=("a", "d"), count=1)[0].form == "best_worst"
    tying = SimulatedRater(equal=0.8)
    assert polls(tying, form="ranking", count=1)[0].order == (("d",), ("b", "c"), ("a",))
    assert polls(tying, shown=("b", "c"), count=1)[0].form == "unsure"


def test_who_forgets_judges_by_the_end() -> None:
    steps = {"early": [5.0, 5.0, 0.0, 0.0], "late": [0.0, 0.0, 1.0, 3.0]}
    rng = np.random.default_rng(0)
    for rater, best in ((SimulatedRater(), "early"), (SimulatedRater(memory=0.3), "late")):
        assert rater.answer(rater.see(steps), ("early", "late"), rng).order[0] == (best,)


def test_impossible_raters_and_values_are_refused() -> None:
    for field, value in [("mistakes", 1.5), ("memory", 0.0), ("temperature", -1.0), ("skip", 2.0), ("equal", -0.1)]:
        with pytest.raises(UsageError):
            replace(SimulatedRater(), **{field: value})
    with pytest.raises(UsageError, match="'x'"):
        SimulatedRater().see({"x": [float("nan")]})
