"""Who did best in a round, where people say so: clips are shown, votes awaited, and the verdict goes into the journal.

With `--feedback proxy` the metric votes in their place, through the same book. What it votes by is told to nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase

import numpy as np

from rewardsmith.analyze.feedback import NOTHING_TRAINED, refusals
from rewardsmith.analyze.preference import Preferred, preferred_before, remarks, trace_of
from rewardsmith.design.difference import describe_difference
from rewardsmith.loop.clipping import record_clips
from rewardsmith.loop.events import VotesWanted
from rewardsmith.loop.parts import Parts
from rewardsmith.prefer.ballots import Ballot, choices
from rewardsmith.prefer.simulated import SimulatedRater
from rewardsmith.prefer.utilities import utilities
from rewardsmith.prefer.votes import Question, Vote, VoteBook
from rewardsmith.types import Feedback, Judgement, TrainingResult, Verdict, content_id

POLL_S = 0.5
SETTLE_S = 5.0  # after the last answer, in which it can be taken back

Score = tuple[float, float]


def judge(
    parts: Parts,
    round: int,
    results: Mapping[str, TrainingResult],
    *,
    before: str | None,
    scores: Mapping[str, Score],
) -> Judgement:
    """The best and the worst of a round, by votes. Whatever failed in training is neither, for nothing shows it.

    Args:
        results: of this round.
        before: the best of the rounds before, which is shown beside them.
        scores: (success, fitness) of everything that may be shown; the metric's votes go by them.
    """
    fresh = tuple(id for id, result in results.items() if result.final_scores)
    shown = (*fresh, *((before,) if before else ()))
    if len(shown) < 2:
        return Judgement(shown=shown, best=shown[0] if shown else None, decided=False)
    question = Question(id=f"round-{round}", items=shown, words=parts.task.words)
    with VoteBook(parts.folder.votes_path, create=True) as book:
        record_clips(parts, round, {id: results[id] for id in fresh})
        book.ask(question)
        if parts.config.feedback == "proxy":
            book.cast(_metrics_vote(parts, round, question, scores))
        else:
            _wait(parts, book, question)
        earlier = [b for q in book.questions() if q.id != question.id for b in book.standing(q.id).values()]
        return verdict(question, book.standing(question.id), fresh=fresh, before=before, earlier=earlier)


def verdict(
    question: Question,
    ballots: Mapping[str, Ballot],
    *,
    fresh: Sequence[str],
    before: str | None = None,
    earlier: Sequence[Ballot] = (),
) -> Judgement:
    """The best by all ballots there are, the worst of this round by this round's.

    So one mistaken vote does not put a bad reward in the place of one that won often. Where this round's ballots say
    nothing, the best so far stays, or else the first one is taken.
    """
    said = [choice for ballot in ballots.values() for choice in choices(ballot)]
    best, worst = before or fresh[0], None
    if said:
        items = sorted({*question.items, *(id for ballot in earlier for id in ballot.shown)})
        best = utilities(items, [*said, *(c for ballot in earlier for c in choices(ballot))]).ranked[0]
        ranked = utilities(question.items, said).ranked
        worst = next((id for id in reversed(ranked) if id in fresh and id != best), None)
    return Judgement(
        shown=question.items,
        best=best,
        worst=worst,
        comments=tuple(_comment(ballot, best, worst) for ballot in ballots.values() if ballot.comment),
        raters=tuple(sorted(ballots)),
        decided=bool(said),
    )


def _comment(ballot: Ballot, best: str, worst: str | None) -> str:
    """What a rater wrote, and what is behind the letters that this rater saw: the page calls clips A, B, C."""
    named = {best: "the preferred one", worst: "the rejected one"}
    letters = {letter: named.get(id, "another") for letter, id in zip(ascii_uppercase, ballot.shown, strict=False)}
    return f"{ballot.comment} ({', '.join(f'{letter}: {what}' for letter, what in letters.items())})"


def _metrics_vote(parts: Parts, round: int, question: Question, scores: Mapping[str, Score]) -> Vote:
    """The best and the worst by rank: a rater who watches closely, and picks wrongly as often as is asked for."""
    rater = SimulatedRater(mistakes=parts.config.proxy_mistakes)
    order = sorted({scores[id] for id in question.items})
    worth = {id: float(order.index(scores[id])) for id in question.items}
    rng = np.random.default_rng(np.random.SeedSequence([parts.config.seed, round]))
    ballot = rater.answer(worth, question.items, rng, "best_worst")
    return Vote(question=question.id, ballot=ballot, id=content_id([question.id, "metric"], length=16))


def _wait(parts: Parts, book: VoteBook, question: Question, *, sleep: Callable[[float], object] = time.sleep) -> None:
    """Until enough raters have answered, and a moment longer. Nothing is held meanwhile but the run's lock."""
    wanted = parts.config.raters
    if len(book.standing(question.id)) < wanted:
        parts.release()
        parts.observe(VotesWanted(parts.folder.root, question.id, len(question.items), wanted))
        while True:
            before = book.standing(question.id)
            if len(before) < wanted:
                sleep(POLL_S)
                continue
            sleep(SETTLE_S)
            if book.standing(question.id) == before:
                return


def difference(parts: Parts, round: int, earlier: str, later: str) -> str:
    """What changed from the reward preferred before to the one preferred now, in words (untrusted)."""
    if parts.config.model.llm == "builtin":
        return ""
    codes = [parts.folder.candidate(id).read_reward() for id in (earlier, later)]
    return describe_difference(parts.model, (earlier, codes[0]), (later, codes[1]), step=f"round-{round}/difference")


# --- what designers are told -----------------------------------------------------------------------------------------


def told_of_preferences(
    judgements: Sequence[Judgement],
    results: Mapping[str, TrainingResult],
    wanted: Sequence[str],
    last: Mapping[str, Verdict],
) -> list[Feedback]:
    """Traces of the rewards `wanted`, that something shall descend from; the best one with what raters wrote.

    Args:
        last: verdicts of the round before, which are told while nothing could be trained.
    """
    best = judgements[-1].best
    if best is None:
        return [Feedback(about=None, text=f"{NOTHING_TRAINED}\n\n{refusals(last)}".strip())]
    written = {best: remarks(judgements[-1].comments)}
    texts = {id: [trace_of(results[id]), written.get(id, "")] for id in wanted}
    return [Feedback(about=id, text="\n\n".join(filter(None, parts))) for id, parts in texts.items()]


def liked_before(judgements: Sequence[Judgement], results: Mapping[str, TrainingResult]) -> str:
    """What was liked best one after the other. How the last of them trained is told where its code is."""
    liked: dict[str, Preferred] = {}
    for round, found in enumerate(judgements, start=1):
        if found.decided and found.best and found.best not in liked:
            trace = "" if found.best == judgements[-1].best else trace_of(results[found.best])
            liked[found.best] = Preferred(f"{found.best}, liked best in round {round}", trace, found.difference)
    return preferred_before(list(liked.values()))
