"""What a rater is asked next: open questions first, one in ten a second time, then whatever tells most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rewardsmith.prefer.ballots import choices
from rewardsmith.prefer.utilities import Utilities, ask_next, utilities
from rewardsmith.prefer.votes import Question, Vote
from rewardsmith.types import content_id

REPEAT_EVERY = 10  # one question in so many is put again
DISTANCE = 3  # questions at least between a question and its repetition, so that it is not simply remembered


class Asked(NamedTuple):
    """A question as one rater is shown it. `shown`: its items in an order of this rater's own."""

    question: Question
    shown: tuple[str, ...]
    again: bool = False


def next_asked(questions: Sequence[Question], votes: Sequence[Vote], rater: str) -> Asked | None:
    """The repetition that is due, else the first question that this rater has not answered; None if there is none.

    Args:
        votes: of all raters, oldest first.
    """
    own = [vote for vote in votes if vote.rater == rater]
    first = [vote.question for vote in own if not vote.again]
    repeated = {vote.question for vote in own if vote.again}
    if len(own) % REPEAT_EVERY == REPEAT_EVERY - 1:
        known = {question.id: question for question in questions}
        old = [known[id] for id in dict.fromkeys(first[:-DISTANCE]) if id not in repeated and id in known]
        if old:
            return asked_of(old[0], rater, again=True)
    left = (question for question in questions if question.id not in first)
    return next((asked_of(question, rater) for question in left), None)


def asked_of(question: Question, rater: str, *, again: bool = False) -> Asked:
    """A question as a rater is shown it, always in the same order.

    Raters see items in different orders, so that the place on the page favours none.
    """
    entropy = int(content_id([question.id, rater, again], length=16), 16)
    order = np.random.default_rng(entropy).permutation(len(question.items))
    return Asked(question, tuple(question.items[i] for i in order), again)


def telling_question(items: Sequence[str], votes: Sequence[Vote], *, count: int, words: str = "") -> Question:
    """The set of `count` items whose comparison is expected to tell most, by all votes so far.

    Raises: UsageError: there are not so many items.
    """
    known = standings(items, votes)
    chosen = sorted(ask_next(known, count))
    return Question(id=f"set-{len(votes)}-{content_id(chosen)}", items=tuple(chosen), words=words)


def standings(items: Sequence[str], votes: Sequence[Vote]) -> Utilities:
    """How good the items are by all votes about them. Picks among other items do not count."""
    known = set(items)
    return utilities(items, [c for vote in votes for c in choices(vote.ballot) if known >= set(c.among)])
