"""Rewards with other numbers: their parents' parameters, changed as recorded episodes suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rewardsmith.design.designer import proposal_id
from rewardsmith.loop.parts import Parts
from rewardsmith.tune import RewardFails, Screening, screen, with_defaults
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
        found = _screened(parts, round, parent, len(samples))
        if found is None:
            continue
        program = parts.load_program(parent)
        variants = [v for v in found.kept if v.parameters.items() - program.parameters.items()]
        evidence = found.inconclusive or "ranked by how they agree with the metric on recorded episodes"
        for sample, variant in zip(samples, variants, strict=False):
            changes = ", ".join(f"{name}={value:g}" for name, value in variant.parameters.items())
            proposals.append(
                Proposal(
                    id=proposal_id(round, sample),
                    round=round,
                    sample=sample,
                    code=with_defaults(known[parent].code, variant.parameters),
                    origin="tuned",
                    edit="tune",
                    parents=(parent,),
                    thoughts=f"{parent} with {changes}; {evidence}.",
                )
            )
    return proposals


def _screened(parts: Parts, round: int, parent: str, count: int) -> Screening | None:
    """One more than wanted, for the numbers that the parent has may be among the best. None where nothing works."""
    rng = np.random.default_rng(np.random.SeedSequence([parts.config.seed, round, len(parent), VARIANTS]))
    try:
        return screen(parts.load_program(parent), parts.known_episodes, count=VARIANTS, keep=count + 1, rng=rng)
    except RewardFails as error:
        parts.say(f"{parent} is not tuned: {error}")
        return None
