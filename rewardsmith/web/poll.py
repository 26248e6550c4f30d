"""Raters and their questions: what each is shown, which answers count, and how sure the ranking is by now.

A page never learns a candidate's id. It knows the clips of a set by their places, and the set by a handle: a keyed hash
of rater and question, the same however often it is asked for.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise
from math import comb
from typing import NamedTuple

from pydantic import Field, ValidationError

from rewardsmith.errors import RewardsmithError, UsageError, problems_in
from rewardsmith.prefer.asking import Asked, asked_of, next_asked, standings, telling_question
from rewardsmith.prefer.ballots import Ballot, Form
from rewardsmith.prefer.utilities import MOST_GROUPS, information
from rewardsmith.prefer.votes import LONGEST_COMMENT, Question, Vote, VoteBook
from rewardsmith.types import Record, content_id
from rewardsmith.web.films import Films, episodes
from rewardsmith.web.links import Links

SURE = 0.95
MOST_AT_A_TIME = 6
OWN = "set-"  # ids of the questions that are put here start with it


class NotNow(RewardsmithError):
    """The answer came too late, or twice: the page must look again at what is asked."""


class Answer(Record):
    """What the page sends. `order`: groups of places, 0 is the first clip, best first (see `Ballot.order`)."""

    id: str = Field(pattern="^[0-9a-f]{16}$")
    asked: str = Field(max_length=64)
    form: Form
    order: tuple[tuple[int, ...], ...] = ()
    comment: str = Field(default="", max_length=LONGEST_COMMENT)


class Shown(NamedTuple):
    """A question as the page gets it."""

    handle: str
    words: str
    clips: int
    episodes: int


class Taken(NamedTuple):
    """An answer that was taken back, to start from when it is given again."""

    handle: str
    form: Form
    order: list[list[int]]
    comment: str


class Sure(NamedTuple):
    """How far the ranking by votes is decided. `rows`: (low, point, high) of each candidate, best first."""

    decided: int  # of the steps from one place to the next, those that are 95 % sure
    steps: int
    best: float  # how sure it is that the first is better than the second
    rows: list[tuple[float, float, float]]


class Poll:
    """All that raters can do in one run. Safe to use from several threads.

    Args:
        compare: candidates to compare as long as raters like, once the questions that others have put are answered.
        at_a_time: how many of them a set has, 2 to 6.
        words: what to look for, in the place of what questions say.
    """

    def __init__(
        self,
        book: VoteBook,
        films: Films,
        links: Links,
        *,
        compare: Sequence[str] = (),
        at_a_time: int = 4,
        words: str = "",
    ) -> None:
        if compare and not 2 <= at_a_time <= MOST_AT_A_TIME:
            raise UsageError(f"2 to {MOST_AT_A_TIME} clips are compared at a time, not {at_a_time}")
        self.book, self._films, self._links = book, films, links
        self.compare, self.at_a_time, self._words = tuple(sorted(compare)), at_a_time, words
        self._asking = threading.Lock()
        self._casting: dict[str, threading.Lock] = {}
        self._sure: tuple[int, Sure | None] = (0, None)

    # --- asking

    def next(self, rater: str) -> Shown | None:
        """What the rater is asked now; None while there is nothing."""
        questions, votes = self.book.questions(), self.book.votes()
        asked = next_asked(_current(questions, votes, rater), votes, rater)
        if asked is None and len(self.compare) > 1:
            with self._asking:  # else raters who are through at the same time put a set each
                questions, votes = self.book.questions(), self.book.votes()
                question = self._new_question(questions, votes, rater)
                if question is not None:
                    self.book.ask(question)
                    questions.append(question)
            asked = next_asked(_current(questions, votes, rater), votes, rater)
        return None if asked is None else self._shown(asked, rater)

    def _new_question(self, questions: Sequence[Question], votes: Sequence[Vote], rater: str) -> Question | None:
        """The most telling set that the rater has not seen: as large as wanted, else smaller, in the end pairs."""
        answered = {vote.question for vote in votes if vote.rater == rater}
        seen = {frozenset(question.items) for question in questions if question.id in answered}
        for count in range(min(self.at_a_time, len(self.compare)), 1, -1):
            items = telling_question(self.compare, votes, count=count).items
            if frozenset(items) not in seen:
                return question_of(items)
        known = standings(self.compare, votes)
        pairs = [pair for pair in combinations(self.compare, 2) if frozenset(pair) not in seen]
        return question_of(max(pairs, key=lambda pair: information(known, *pair))) if pairs else None

    def _shown(self, asked: Asked, rater: str) -> Shown:
        question = asked.question
        return Shown(
            handle=self.handle(rater, question.id, again=asked.again),
            words=self.words_of(question),
            clips=len(question.items),
            episodes=len(episodes(self._films, question.items)),
        )

    def words_of(self, question: Question) -> str:
        """What to look for."""
        return self._words or question.words

    def handle(self, rater: str, question: str, *, again: bool) -> str:
        return self._links.sign("asked", rater, question, str(again))

    def clip(self, rater: str, handle: str, place: int, episode: int) -> tuple[str, int]:
        """Candidate and seed of one film of a set. Raises: NotNow: there is no such film."""
        asked = self.find(rater, handle)
        seeds = episodes(self._films, asked.question.items)
        if not (0 <= place < len(asked.shown) and 0 <= episode < len(seeds)):
            raise NotNow("there is no such clip", hint="reload the page")
        return asked.shown[place], seeds[episode]

    def find(self, rater: str, handle: str) -> Asked:
        """The question that a handle stands for. Raises: NotNow: none of this rater's."""
        for question in self.book.questions():
            for again in (False, True):
                if self.handle(rater, question.id, again=again) == handle:
                    return asked_of(question, rater, again=again)
        raise NotNow("these clips were shown to somebody else, or in another run", hint="reload the page")

    # --- answering

    def vote(self, rater: str, answer: Answer) -> None:
        """Save an answer; the same one again changes nothing. It is on disk when this returns.

        Raises: NotNow: the rater has answered this already, or took this very answer back. UsageError: no answer.
        """
        asked = self.find(rater, answer.asked)
        vote = Vote(id=answer.id, question=asked.question.id, ballot=_ballot(asked, rater, answer), again=asked.again)
        with self._casting.setdefault(rater, threading.Lock()):
            given = [v for v in self.book.votes(vote.question) if v.rater == rater and v.again == vote.again]
            if any(v == vote for v in given):
                return
            if given:
                raise NotNow("you have answered this already, maybe in another window", hint="undo takes it back")
            self.book.cast(vote)
            if not any(v.id == vote.id for v in self.book.votes(vote.question)):
                raise NotNow("this answer was taken back", hint="give it again")

    def undo(self, rater: str, id: str) -> Taken:
        """Take back the answer `id`, which must be the rater's last.

        Raises: NotNow: it is not the last one, so that two clicks, or two windows, never take back two.
        """
        with self._casting.setdefault(rater, threading.Lock()):
            if self.last(rater) != id:
                raise NotNow("that was not your last answer", hint="look at what is asked now")
            vote = self.book.undo(rater)
            assert vote is not None
        shown, ballot = vote.ballot.shown, vote.ballot
        return Taken(
            handle=self.handle(rater, vote.question, again=vote.again),
            form=ballot.form,
            order=[[shown.index(item) for item in group] for group in ballot.order],
            comment=ballot.comment,
        )

    def last(self, rater: str) -> str | None:
        """The id of the rater's last answer that stands."""
        return next((vote.id for vote in reversed(self.book.votes()) if vote.rater == rater), None)

    # --- what has come together

    def counts(self) -> dict[str, int]:
        """Answers that stand, by rater; who has entered and given none has 0."""
        given = Counter(vote.rater for vote in self.book.votes())
        return {rater: given[rater] for rater in sorted({*self._links.raters(entered=True), *given})}

    def taken(self, name: str) -> bool:
        """Whether somebody has this name."""
        return name in self._links.raters() or any(vote.rater == name for vote in self.book.votes())

    def sure(self) -> Sure | None:
        """None where nothing is compared, or nobody has said anything of it."""
        votes = self.book.votes()
        if len(self.compare) < 2 or not any(vote.ballot.order for vote in votes):
            return None
        key = hash(tuple(vote.id for vote in votes))
        if self._sure[0] != key:
            known = standings(self.compare, votes)
            ranked = known.ranked
            better = [known.better(a, b) for a, b in pairwise(ranked)]
            intervals = [known.interval(item) for item in ranked]
            self._sure = (
                key,
                Sure(
                    decided=sum(chance >= SURE for chance in better),
                    steps=len(better),
                    best=better[0],
                    rows=[(low, (low + high) / 2, high) for low, high in intervals],
                ),
            )
        return self._sure[1]


def newest(questions: Sequence[Question]) -> Question | None:
    """The question that the run itself has put last."""
    return next((question for question in reversed(questions) if not question.id.startswith(OWN)), None)


def _current(questions: Sequence[Question], votes: Sequence[Vote], rater: str) -> list[Question]:
    """Without a run's questions of earlier rounds that this rater has not answered: the run has gone on since."""
    answered, last = {vote.question for vote in votes if vote.rater == rater}, newest(questions)
    return [q for q in questions if q == last or q.id.startswith(OWN) or q.id in answered]


def question_of(items: Sequence[str]) -> Question:
    """The question which of these candidates is better: the same one whoever puts it."""
    return Question(id=f"{OWN}{content_id(sorted(items))}", items=tuple(sorted(items)))


def _ballot(asked: Asked, rater: str, answer: Answer) -> Ballot:
    try:
        order = tuple(tuple(_at(asked.shown, place) for place in group) for group in answer.order)
        ballot = Ballot(rater=rater, form=answer.form, shown=asked.shown, order=order, comment=answer.comment)
    except ValidationError as error:
        raise UsageError(problems_in(error)) from None
    require_countable(ballot)
    return ballot


def require_countable(ballot: Ballot) -> None:
    """Raises: UsageError: so many clips are tied in a large set that utilities could not be found (see `utilities`)."""
    largest = max((len(group) for group in ballot.order), default=0)
    if sum(comb(len(ballot.shown), size) for size in range(1, largest + 1)) > MOST_GROUPS:
        raise UsageError(
            f"{largest} equal clips of {len(ballot.shown)} are too many to count",
            hint="tie fewer, or say best and worst",
        )


def _at(shown: Sequence[str], place: int) -> str:
    if not 0 <= place < len(shown):
        raise UsageError(f"there is no clip {place}")
    return shown[place]
