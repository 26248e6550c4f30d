"""What a rater is asked next."""

from __future__ import annotations

from collections import Counter

from rewardsmith.prefer.asking import REPEAT_EVERY, next_asked, standings, telling_question
from rewardsmith.prefer.ballots import Ballot
from rewardsmith.prefer.votes import Question, Vote

QUESTIONS = [Question(id=f"q{n}", items=tuple(f"q{n}{x}" for x in "abcd")) for n in range(30)]


def answered(asked, rater: str) -> Vote:
    best, worst = sorted(asked.shown)[0], sorted(asked.shown)[-1]
    ballot = Ballot(rater=rater, form="best_worst", shown=asked.shown, order=((best,), (worst,)))
    return Vote(question=asked.question.id, ballot=ballot, again=asked.again)


def test_every_question_is_asked_once_and_one_in_ten_again() -> None:
    votes: list[Vote] = []
    while (asked := next_asked(QUESTIONS, votes, "ann")) is not None:
        assert set(asked.shown) == set(asked.question.items)
        votes.append(answered(asked, "ann"))
    first = Counter(v.question for v in votes if not v.again)
    again = [v.question for v in votes if v.again]
    assert first == {q.id: 1 for q in QUESTIONS}
    assert len(again) == len(set(again)) == len(votes) // REPEAT_EVERY == 3


def test_a_repetition_shows_the_clips_in_another_order() -> None:
    votes: list[Vote] = []
    shown: dict[tuple[str, bool], tuple[str, ...]] = {}
    while (asked := next_asked(QUESTIONS, votes, "ann")) is not None:
        shown[asked.question.id, asked.again] = asked.shown
        votes.append(answered(asked, "ann"))
    repeated = [id for id, again in shown if again]
    assert any(shown[id, True] != shown[id, False] for id in repeated)


def test_raters_do_not_see_each_others_answers_as_theirs() -> None:
    first = next_asked(QUESTIONS, [], "ann")
    assert first is not None
    other = next_asked(QUESTIONS, [answered(first, "ann")], "bob")
    assert other is not None and other.question == first.question
    orders = {next_asked(QUESTIONS, [], f"rater {n}").shown for n in range(24)}  # type: ignore[union-attr]
    assert len(orders) > 6
    assert next_asked(QUESTIONS, [], "ann") == first


def test_an_answer_taken_back_is_asked_again() -> None:
    asked = next_asked(QUESTIONS, [], "ann")
    assert next_asked(QUESTIONS[:1], [answered(asked, "ann")], "ann") is None
    assert next_asked(QUESTIONS[:1], [], "ann") == asked


def test_the_most_telling_set_is_of_what_is_close() -> None:
    items = ("a", "b", "c", "d")
    said = [
        Vote(question="q", ballot=Ballot(rater="ann", form="ranking", shown=items, order=(("a", "b"), ("c",), ("d",))))
        for _ in range(8)
    ]
    question = telling_question(items, said, count=2)
    assert question.items == ("a", "b")
    assert telling_question(items, said, count=2).id == question.id
    assert standings(("a", "d"), said).of("a") == 0.0  # picks were among others too
    assert standings(items, said).ranked[-1] == "d"
