"""The votes of a run, in a journal of their own: what was asked, and every answer, saved at once and never rewritten.

Whoever drives the run reads it, whoever shows clips writes it, at the same time and from several processes. An answer
is taken back by a further record. Votes have ids, so that those of a packet can be merged twice without harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from rewardsmith.errors import UsageError, problems_in, unknown
from rewardsmith.prefer.ballots import Ballot
from rewardsmith.store import Journal
from rewardsmith.types import Record

R = TypeVar("R", bound=Record)

LONGEST_COMMENT = 2000
LONGEST_NAME = 40
MOST_ITEMS = 32


class Question(Record):
    """A set of clips to compare. `items` are ids of candidates; `words` say what to look for."""

    id: str = Field(min_length=1, max_length=120)
    items: tuple[str, ...] = Field(min_length=2, max_length=MOST_ITEMS)
    words: str = ""


class Vote(Record):
    """One rater's answer to a question.

    Attributes:
        again: the question was put to this rater a second time, to see how consistent the answers are.
    """

    question: str
    ballot: Ballot
    again: bool = False
    id: str = Field(default_factory=lambda: secrets.token_hex(8), pattern="^[0-9a-f]{16}$")

    @property
    def rater(self) -> str:
        return self.ballot.rater


class VoteBook:
    """A context manager, safe to use from several threads.

    Raises: RunError: the file is missing (without `create`), damaged, locked, or cannot be written.
    """

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        self._journal = Journal(path, create=create, read_only=read_only)

    # --- writing

    def ask(self, question: Question) -> None:
        """Put a question; the same one again changes nothing. Raises: RunError: another one has its id."""
        self._journal.put(f"question/{question.id}", question.model_dump(mode="json"))

    def cast(self, vote: Vote) -> None:
        """Save a vote; the same one again changes nothing. It is on disk when this returns.

        Raises: UsageError: there is no such question, the answer is about other clips, or a text is too long.
        """
        self._require_fit(vote)
        self._journal.put(f"vote/{vote.id}", vote.model_dump(mode="json"))

    def undo(self, rater: str) -> Vote | None:
        """Take back the rater's last answer that stands. Returns it; None if there is none."""
        last = next((vote for vote in reversed(self.votes()) if vote.rater == rater), None)
        if last is not None:
            self._journal.put(f"undone/{last.id}", {"vote": last.id})
        return last

    def merge(self, votes: Iterable[Vote]) -> int:
        """Save votes that were given elsewhere, all of them or none. Returns how many were new.

        Raises: UsageError: one does not fit (see `cast`), or is another vote than the one known by its id.
        """
        given = list(votes)
        known = {vote.id: vote for vote in self._all_votes()}
        for vote in given:
            self._require_fit(vote)
            if known.get(vote.id, vote) != vote:
                raise UsageError(f"the vote {vote.id} of {vote.rater!r} is known here with another answer")
        for vote in given:
            self.cast(vote)
        return len({vote.id for vote in given} - known.keys())

    def _require_fit(self, vote: Vote) -> None:
        question = self.question(vote.question)
        if set(vote.ballot.shown) != set(question.items):
            raise UsageError(f"the answer of {vote.rater!r} is about other clips than question {question.id!r}")
        if not is_name(vote.rater):
            raise UsageError(
                f"{vote.rater[: 2 * LONGEST_NAME]!r} is no name of a rater",
                hint=f"1 to {LONGEST_NAME} printable characters, without spaces around them",
            )
        if len(vote.ballot.comment) > LONGEST_COMMENT:
            raise UsageError(f"a comment has {LONGEST_COMMENT:,} characters at most")

    # --- reading

    def questions(self) -> list[Question]:
        """In the order they were put."""
        return self._read("question", Question)

    def question(self, id: str) -> Question:
        """Raises: UsageError: there is none of this id."""
        found = {question.id: question for question in self.questions()}
        if id not in found:
            raise UsageError(unknown("question", id[:120], found))
        return found[id]

    def votes(self, question: str | None = None) -> list[Vote]:
        """Those that stand, in the order they were saved; of one question, or all."""
        undone = set(self._journal.keys("undone/"))
        return [
            vote
            for vote in self._all_votes()
            if f"undone/{vote.id}" not in undone and question in (None, vote.question)
        ]

    def standing(self, question: str) -> dict[str, Ballot]:
        """Each rater's last answer to a question, those to its repetition aside."""
        return {vote.rater: vote.ballot for vote in self.votes(question) if not vote.again}

    def _all_votes(self) -> list[Vote]:
        return self._read("vote", Vote)

    def _read(self, kind: str, record: type[R]) -> list[R]:
        found: list[R] = []
        for key, payload, _ in self._journal.records(kind):
            try:
                found.append(record.model_validate(payload))
            except ValidationError as error:
                raise self._journal.damaged(f"{key}: {problems_in(error)}") from None
        return found

    def close(self) -> None:
        self._journal.close()

    def __enter__(self) -> VoteBook:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def is_name(text: str) -> bool:
    """Whether this can be a rater's name."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and text == text.strip()


def parse_votes(data: Any) -> list[Vote]:
    """Votes from JSON that came from outside, as a packet saves them: {"votes": [...]}.

    Raises: UsageError: it is nothing of the kind; the message says which vote is wrong.
    """
    votes = data.get("votes") if isinstance(data, dict) else None
    if not isinstance(votes, Sequence) or isinstance(votes, str):
        raise UsageError("this is no file of votes", hint="give the votes.json that the packet's page saved")
    found = []
    for number, vote in enumerate(votes, 1):
        try:
            found.append(Vote.model_validate(vote, strict=False))
        except ValidationError as error:
            raise UsageError(f"vote {number}: {problems_in(error)}") from None
    return found
