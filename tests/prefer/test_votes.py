"""The book of votes: nothing is lost, nothing is counted twice, nothing that makes no sense gets in."""

from __future__ import annotations

import multiprocessing as mp
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rewardsmith.errors import RunError, UsageError
from rewardsmith.prefer.ballots import Ballot
from rewardsmith.prefer.votes import Question, Vote, VoteBook, parse_votes

ITEMS = ("a", "b", "c")
QUESTION = Question(id="round-1", items=ITEMS, words="Does it hop?")


def ballot(rater: str = "ann", best: str = "a", worst: str = "b", **fields) -> Ballot:
    return Ballot(rater=rater, form="best_worst", shown=ITEMS, order=((best,), (worst,)), **fields)


def vote(rater: str = "ann", best: str = "a", worst: str = "b", question: str = QUESTION.id, **fields) -> Vote:
    return Vote(question=question, ballot=ballot(rater, best, worst), **fields)


@pytest.fixture
def book(tmp_path: Path):
    with VoteBook(tmp_path / "votes.sqlite", create=True) as book:
        book.ask(QUESTION)
        yield book


def test_votes_are_there_for_the_next_reader(book: VoteBook, tmp_path: Path) -> None:
    book.cast(vote("ann"))
    book.cast(vote("bob", "c", "a"))
    with VoteBook(tmp_path / "votes.sqlite", read_only=True) as other:
        assert other.questions() == [QUESTION]
        assert [v.rater for v in other.votes()] == ["ann", "bob"]
        assert other.standing("round-1")["bob"].order == (("c",), ("a",))


def test_the_last_answer_stands_and_undo_brings_the_one_before_back(book: VoteBook) -> None:
    book.cast(vote("ann", "a", "b"))
    book.cast(vote("bob", "b", "c"))
    book.cast(vote("ann", "c", "a"))
    assert book.standing("round-1")["ann"].order == (("c",), ("a",))
    taken = book.undo("ann")
    assert taken is not None and taken.ballot.order == (("c",), ("a",))
    assert book.standing("round-1")["ann"].order == (("a",), ("b",))
    assert book.undo("ann") is not None and book.undo("ann") is None
    assert set(book.standing("round-1")) == {"bob"}


def test_a_repetition_does_not_replace_the_answer(book: VoteBook) -> None:
    book.cast(vote("ann", "a", "b"))
    book.cast(vote("ann", "b", "a", again=True))
    assert book.standing("round-1")["ann"].order == (("a",), ("b",))
    assert len(book.votes()) == 2


def test_a_vote_counts_once_however_often_it_comes(book: VoteBook) -> None:
    given = [vote("ann"), vote("bob")]
    assert book.merge(given) == 2
    assert book.merge([*given, vote("cem")]) == 1
    assert len(book.votes()) == 3


def test_a_packet_with_one_bad_vote_changes_nothing(book: VoteBook) -> None:
    good = vote("ann")
    with pytest.raises(UsageError, match="unknown question 'round-7'"):
        book.merge([good, vote("bob", question="round-7")])
    assert book.votes() == []
    book.cast(good)
    with pytest.raises(UsageError, match="with another answer"):
        book.merge([vote("eve"), good.model_copy(update={"ballot": ballot("ann", "c", "a")})])
    assert book.votes() == [good]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            Vote(question="round-1", ballot=Ballot(rater="ann", form="unsure", shown=("a", "z"))),
            "about other clips",
        ),
        (vote(" ann"), "no name of a rater"),
        (vote("a\x1b[2Jn"), "no name of a rater"),
        (vote("x" * 41), "no name of a rater"),
        (Vote(question="round-1", ballot=ballot(comment="x" * 2001)), "2,000 characters"),
    ],
)
def test_answers_that_do_not_fit_are_refused(book: VoteBook, bad: Vote, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        book.cast(bad)
    assert book.votes() == []


def test_an_id_has_one_question(book: VoteBook) -> None:
    book.ask(QUESTION)
    with pytest.raises(RunError, match="another record"):
        book.ask(Question(id="round-1", items=("a", "b")))


def test_fifty_raters_at_once_lose_nothing(book: VoteBook) -> None:
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda n: book.cast(vote(f"rater {n}")), range(50)))
    assert len(book.standing("round-1")) == 50


def _cast_many(path: str, name: str) -> None:
    with VoteBook(Path(path)) as book:
        for n in range(20):
            book.cast(vote(f"{name} {n}"))


def test_two_processes_may_write(book: VoteBook, tmp_path: Path) -> None:
    context = mp.get_context("spawn")
    writers = [context.Process(target=_cast_many, args=(str(tmp_path / "votes.sqlite"), n)) for n in ("p", "q")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(book.votes()) == 40


def test_votes_from_outside_are_read_strictly() -> None:
    mine = vote()
    assert parse_votes({"votes": [mine.model_dump(mode="json")]}) == [mine]
    for data in (None, [], {"votes": "abc"}, {"ballots": []}):
        with pytest.raises(UsageError, match="no file of votes"):
            parse_votes(data)
    with pytest.raises(UsageError, match=r"vote 2: .*one best and one worst"):
        parse_votes(
            {
                "votes": [
                    mine.model_dump(mode="json"),
                    {"question": "round-1", "ballot": {"rater": "x", "form": "best_worst", "shown": ["a", "b"]}},
                ]
            }
        )
    with pytest.raises(UsageError, match="vote 1: id"):
        parse_votes({"votes": [mine.model_dump(mode="json") | {"id": "../../etc"}]})
