"""Which of many rewards are worth training, asked of recorded episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.bank import Bank
from rewardsmith.errors import UsageError
from rewardsmith.reward.program import RewardProgram
from rewardsmith.tune.agreement import MetricOrder
from rewardsmith.tune.segments import RewardFails, Segments
from rewardsmith.tune.variants import best_and_diverse, direction


class Choice(NamedTuple):
    """`kept` ids, best first. `scores` are agreements with the metric in [-1, 1], None where nobody can tell.

    `inconclusive` says why the episodes could not tell rewards apart ("" where they could): then diversity decides.
    """

    kept: tuple[str, ...]
    scores: dict[str, float | None]
    inconclusive: str


def choose(programs: Mapping[str, RewardProgram], bank: Bank, *, keep: int) -> Choice:
    """The `keep` rewards whose ranking of the bank's episodes agrees best with the metric; of tied ones, unlike ones.

    Rewards that fail on these episodes, or that pay as one already kept does, come last.

    Raises: UsageError: `keep` is below 1.
    """
    if keep < 1:
        raise UsageError(f"keeping {keep} rewards makes no sense", hint="keep at least 1")
    segments, order = Segments.episodes(bank), MetricOrder.of(bank)
    scores: dict[str, float | None] = dict.fromkeys(programs)
    directions: dict[str, Tensor] = {}
    for id, program in programs.items():
        try:
            rewards = segments.rewards(program)
        except RewardFails:
            continue
        if not bool(rewards.isfinite().all()):
            continue
        directions[id] = direction(rewards)
        if not order.inconclusive and (found := order.agreement(segments, rewards)) is not None:
            scores[id] = found.score
    ids = list(directions)
    best: list[str] = []
    if ids:
        known = np.array([scores[id] or 0.0 for id in ids])
        best = [ids[k] for k in best_and_diverse(known, torch.stack(list(directions.values())), keep)]
    rest = sorted(
        (id for id in programs if id not in best), key=lambda id: (id not in directions, -(scores[id] or 0.0))
    )
    return Choice(tuple([*best, *rest][:keep]), scores, order.inconclusive)
