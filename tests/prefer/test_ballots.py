"""What a ballot says, in every form, and how far judges agree."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from rewardsmith.prefer.ballots import Ballot, Choice, agreement, choices, nominal_alpha, verdicts


def ballot(form: str, *order: str, shown: str = "abcd", rater: str = "r") -> Ballot:
    return Ballot(rater=rater, form=form, shown=tuple(shown), order=tuple(tuple(group) for group in order))  # type: ignore[arg-type]


def test_a_ranking_is_picks_of_the_best_of_those_left() -> None:
    assert choices(ballot("ranking", "b", "ac", "d")) == [
        Choice(("b",), tuple("abcd")),
        Choice(("a", "c"), tuple("acd")),
    ]


def test_all_tied_is_a_pick_of_all() -> None:
    assert choices(ballot("ranking", "abcd")) == [Choice(tuple("abcd"), tuple("abcd"))]


def test_best_and_worst_are_two_picks() -> None:
    assert choices(ballot("best_worst", "c", "a")) == [
        Choice(("c",), tuple("abcd")),
        Choice(("a",), tuple("abd"), worst=True),
    ]
    assert len(choices(ballot("best_worst", "a", "b", shown="ab"))) == 1, "of two, the best says it all"


def test_who_cannot_tell_picks_nothing() -> None:
    assert choices(ballot("unsure")) == [] and verdicts(ballot("unsure")) == {}


def test_verdicts_of_pairs() -> None:
    assert verdicts(ballot("ranking", "b", "ac", shown="abc")) == {("a", "b"): -1, ("a", "c"): 0, ("b", "c"): 1}
    said = verdicts(ballot("best_worst", "c", "a"))
    assert said == {("a", "b"): -1, ("a", "c"): -1, ("a", "d"): -1, ("b", "c"): -1, ("c", "d"): 1}
    assert ("b", "d") not in said, "nothing was said of the middle ones"


@pytest.mark.parametrize(
    ("form", "order", "shown"),
    [
        ("ranking", ["a"], "ab"),
        ("ranking", ["a", "a"], "ab"),
        ("ranking", ["a", "x"], "ab"),
        ("ranking", ["a", "", "b"], "ab"),
        ("best_worst", ["ab"], "ab"),
        ("best_worst", ["a"], "abc"),
        ("best_worst", ["a", "a"], "abc"),
        ("unsure", ["a"], "ab"),
        ("ranking", ["a"], "a"),
        ("ranking", ["a", "b"], "aab"),
        ("other", ["a", "b"], "ab"),
    ],
)
def test_ballots_that_make_no_sense_are_refused(form, order, shown) -> None:
    with pytest.raises(ValidationError):
        ballot(form, *order, shown=shown)


def test_agreement_against_a_computed_example() -> None:
    """Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example A of two observers, nominal."""
    first, second = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    units = list(zip(first, second, strict=True))
    assert nominal_alpha(units) == pytest.approx(0.095, abs=5e-4)
    judges = [{(str(i), "z"): verdict for i, verdict in enumerate(said)} for said in (first, second)]
    assert agreement(judges)[::2] == (pytest.approx(0.6), 10)


def test_agreement_does_not_depend_on_names() -> None:
    said = [{("a", "b"): 1, ("a", "c"): 1, ("b", "c"): 1}, {("a", "b"): 1, ("a", "c"): 1, ("b", "c"): -1}]
    renamed = [{("a", "b"): s["a", "b"], ("a", "c"): -s["a", "c"], ("b", "c"): s["b", "c"]} for s in said]
    assert agreement(said) == agreement(renamed)


def test_guesses_agree_by_chance() -> None:
    rng = np.random.default_rng(0)
    judges = [{(str(i), "z"): int(v) for i, v in enumerate(rng.choice([-1, 1], 500, p=[0.2, 0.8]))} for _ in range(3)]
    assert agreement(judges).alpha == pytest.approx(0.36, abs=0.06), "who leans to one side alike agrees on something"
    judges = [{(str(i), "z"): int(v) for i, v in enumerate(rng.choice([-1, 1], 500))} for _ in range(3)]
    assert agreement(judges).alpha == pytest.approx(0.0, abs=0.05)


def test_agreement_of_one_voice_is_complete_and_of_no_common_pair_unknown() -> None:
    same = verdicts(ballot("ranking", "a", "b", "c", "d"))
    assert agreement([same, same, same])[:2] == (1.0, 1.0)
    assert agreement([same]).share is None
    assert agreement([{("a", "b"): 1}, {("c", "d"): 1}]).alpha is None
    opposed = verdicts(ballot("ranking", "d", "c", "b", "a"))
    assert agreement([same, opposed]).share == 0.0
