"""Packets: one file that shows the clips to a rater who has no access to the server, and the votes that come back.

A packet names no candidate. Its sets have handles, as on the page, and its clips places; the run's private file turns
both back into questions and candidates when the votes are imported.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import combinations
from typing import Any

from rewardsmith.errors import UsageError
from rewardsmith.prefer.asking import Asked, next_asked
from rewardsmith.prefer.ballots import Ballot
from rewardsmith.prefer.votes import Question, Vote, parse_votes
from rewardsmith.web.films import Films, episodes
from rewardsmith.web.poll import NotNow, Poll, newest, question_of, require_countable

SETS = 9  # and one of them again

MARK = "packet"


def make_packet(poll: Poll, films: Films, *, run: str, task: str = "", rater: str = "", sets: int = SETS) -> str:
    """The HTML of a packet. The questions that it puts are in the book of votes when this returns.

    Args:
        rater: the name its votes will carry; else the page asks for one.
        sets: how many there are, besides repetitions.

    Raises: UsageError: there is nothing to compare. RewardsmithError: a film cannot be made.
    """
    last = newest(poll.book.questions())
    questions = [last] if last else []
    questions += [question_of(items) for items in spread_sets(poll.compare, sets - len(questions), poll.at_a_time)]
    if not questions:
        raise UsageError("there is nothing to compare yet", hint="a packet needs two trained candidates, or a question")
    for question in questions:
        poll.book.ask(question)
    label = f"{MARK}-{secrets.token_hex(8)}"
    names: dict[tuple[str, int], str] = {}
    shown = []
    for asked in course(questions, label):
        seeds = episodes(films, asked.shown)
        clips = [[names.setdefault((item, seed), f"f{len(names)}") for seed in seeds] for item in asked.shown]
        handle = poll.handle(label, asked.question.id, again=asked.again)
        shown.append({"handle": handle, "words": poll.words_of(asked.question), "clips": clips})
    content = {
        "id": label,
        "run": run,
        "task": task,
        "rater": rater,
        "sets": shown,
        "films": {name: base64.b64encode(films.film(*of).read_bytes()).decode() for of, name in names.items()},
    }
    return _page(content)


def course(questions: Sequence[Question], rater: str) -> Iterator[Asked]:
    """All questions in the order in which they are put to a rater, the repetitions among them."""
    given: list[Vote] = []
    while (asked := next_asked(questions, given, rater)) is not None:
        yield asked
        ballot = Ballot(rater=rater, form="unsure", shown=asked.shown)
        given.append(Vote(question=asked.question.id, ballot=ballot, again=asked.again))


def spread_sets(items: Sequence[str], count: int, size: int) -> list[tuple[str, ...]]:
    """Up to `count` different sets, such that all pairs of items are met about equally often."""
    met: Counter[frozenset[str]] = Counter()
    found: list[tuple[str, ...]] = []
    while len(items) > 1 and len(found) < count:
        chosen = list(min(combinations(items, 2), key=lambda pair: met[frozenset(pair)]))
        while len(chosen) < min(size, len(items)):
            left = [item for item in items if item not in chosen]
            chosen.append(min(left, key=lambda item: sum(met[frozenset((item, other))] for other in chosen)))
        new = tuple(sorted(chosen))
        if new in found:
            break
        found.append(new)
        met.update(frozenset(pair) for pair in combinations(new, 2))
    return found


def votes_of(poll: Poll, data: Any) -> list[Vote]:
    """The votes in a packet's votes.json, or in any other file of votes (see `parse_votes`).

    Raises: UsageError: it is nothing of the kind, or of another run.
    """
    if not (isinstance(data, dict) and MARK in data):
        return parse_votes(data)
    label, rater, given = data.get(MARK), data.get("rater"), data.get("votes")
    if not (isinstance(label, str) and isinstance(rater, str) and isinstance(given, list)):
        raise UsageError("this is no file of votes", hint="give the votes.json that the packet's page saved")
    return parse_votes({"votes": [_named(poll, label, rater, number, vote) for number, vote in enumerate(given, 1)]})


def unanswered(poll: Poll, votes: Sequence[Vote]) -> list[Vote]:
    """Without answers to what their raters have answered already, here or further up: the first answer stands.

    Raises: UsageError: one cannot be counted.
    """
    stands = {(vote.rater, vote.question, vote.again): vote.id for vote in poll.book.votes()}
    for vote in votes:
        require_countable(vote.ballot)
    return [vote for vote in votes if stands.setdefault((vote.rater, vote.question, vote.again), vote.id) == vote.id]


def _named(poll: Poll, label: str, rater: str, number: int, vote: Any) -> dict[str, Any]:
    """A packet's answer with the names of what it is about."""
    try:
        asked = poll.find(label, vote["asked"])
        order = [[asked.shown[place] for place in group if place >= 0] for group in vote["order"]]
        ballot = {
            "rater": rater,
            "form": vote["form"],
            "shown": asked.shown,
            "order": order,
            "comment": vote["comment"],
        }
        return {"id": vote["id"], "question": asked.question.id, "again": asked.again, "ballot": ballot}
    except NotNow:
        raise UsageError(f"vote {number} is about clips of another run", hint="import it where it was made") from None
    except (KeyError, TypeError, IndexError):
        raise UsageError(f"vote {number} is damaged", hint="ask the rater for the file again") from None


def _page(content: dict[str, Any]) -> str:
    page, style, *scripts = (
        files("rewardsmith.web").joinpath("page", name).read_text(encoding="utf-8")
        for name in ("page.html", "page.css", "packet.js", "page.js")
    )
    found = re.search("<!-- body -->(.*)<!-- end -->", page, re.DOTALL)
    assert found is not None
    script = "".join(scripts)
    data = json.dumps(content).replace("<", "\\u003c")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; media-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        "<title>Which is better? · rewardsmith</title>\n"
        f'<link rel="icon" href="data:,">\n<style>{style}</style>\n</head>\n<body>{found[1]}'
        f'<script type="application/json" id="packet">{data}</script>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
