"""Rewards with other numbers: their parents' parameters, changed as recorded episodes suggest, or as votes do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rewardsmith.design.designer import proposal_id
from rewardsmith.loop.clipping import SEEDS, bank_of_clips, load_clips
from rewardsmith.loop.parts import Parts
from rewardsmith.prefer.ballots import verdicts
from rewardsmith.prefer.votes import VoteBook
from rewardsmith.tune import RewardFails, Screening, Segments, Votes, fit, screen, with_defaults
from rewardsmith.types import Order, Proposal

VARIANTS = 64  # looked at for each parent


def tune(
    parts: Parts, round: int, orders: Sequence[tuple[int, Order]], known: Mapping[str, Proposal]
) -> list[Proposal]:
    """A variant of its parent for each of the `orders`, (sample, order); fewer where a parent has not as many.

    Parents can be tuned once they are trained: their graphs and the episodes of their policies are there then.
    """
    wanted: dict[str, list[int]] = {}
    for sample, order in orders:
        wanted.setdefault(order.parents[0], []).append(sample)
    proposals = []
    for parent, samples in wanted.items():
        if parts.blind:
            if (values := fitted_to_votes(parts, parent)) is not None:
                evidence = "what explains best how people chose among all clips so far"
                proposals.append(_changed(round, samples[0], known[parent], values, evidence))
            continue
        found = _screened(parts, round, parent, len(samples))
        if found is None:
            continue
        program = parts.load_program(parent)
        variants = [v for v in found.kept if v.parameters.items() - program.parameters.items()]
        evidence = found.inconclusive or "ranked by how they agree with the metric on recorded episodes"
        for sample, variant in zip(samples, variants, strict=False):
            proposals.append(_changed(round, sample, known[parent], variant.parameters, evidence))
    return proposals


def _changed(round: int, sample: int, parent: Proposal, values: Mapping[str, float], evidence: str) -> Proposal:
    changes = ", ".join(f"{name}={value:g}" for name, value in values.items())
    return Proposal(
        id=proposal_id(round, sample),
        round=round,
        sample=sample,
        code=with_defaults(parent.code, values),
        origin="tuned",
        edit="tune",
        parents=(parent.id,),
        thoughts=f"{parent.id} with {changes}; {evidence}.",
    )


def fitted_to_votes(parts: Parts, parent: str) -> dict[str, float] | None:
    """Parameters with which the reward pays for clips as raters chose among them, by Bradley and Terry's model.

    Each judgement of two candidates counts for every episode that both were seen in, and as one vote in all. None where
    votes say nothing about any parameter.
    """
    with VoteBook(parts.folder.votes_path, read_only=True) as book:
        said = [verdicts(vote.ballot) for vote in book.votes()]
    clips = load_clips(parts, {id for ballot in said for pair in ballot for id in pair})
    if not clips:
        return None
    bank, number = bank_of_clips(clips, parts.environment)
    votes = [
        (number[a, seed], number[b, seed], (judged + 1) / 2, 1 / len(SEEDS))
        for ballot in said
        for (a, b), judged in ballot.items()
        for seed in SEEDS
        if (a, seed) in number and (b, seed) in number
    ]
    program = parts.load_program(parent)
    if not votes or not program.parameters:
        return None
    try:
        found = fit(program, Segments.episodes(bank), Votes.of(*zip(*votes, strict=True)), holdout=0.0)
    except RewardFails as error:
        parts.say(f"{parent} is not fitted to votes: {error}")
        return None
    told = {name: found.values[name] for name, parameter in found.parameters.items() if not parameter.cannot_tell}
    return told if told.items() - program.parameters.items() else None


def _screened(parts: Parts, round: int, parent: str, count: int) -> Screening | None:
    """One more than wanted, for the numbers that the parent has may be among the best. None where nothing works."""
    rng = np.random.default_rng(np.random.SeedSequence([parts.config.seed, round, len(parent), VARIANTS]))
    try:
        return screen(parts.load_program(parent), parts.known_episodes, count=VARIANTS, keep=count + 1, rng=rng)
    except RewardFails as error:
        parts.say(f"{parent} is not tuned: {error}")
        return None
