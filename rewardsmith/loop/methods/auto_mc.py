"""Auto MC-Reward: designer, critic, trajectory analyzer (Li et al., CVPR 2024, arXiv 2312.09238).

    until success is complete: design (or revise) a reward; let a critic review it, three times at most; train;
    look at the failed episodes and say what went wrong

The critic is executed checks first, then a review by a language model; the analyzer is computed facts, summed up by a
language model. `sign_only` has the runtime own the sizes, as in the paper: sgn(sparse) + 0.1 sgn(dense). Departures:
revisions start from the best reward so far; training starts from scratch, not from an imitation policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rewardsmith.loop.search import Search
from rewardsmith.types import Order


class AutoMC(Search):
    defaults: ClassVar = {
        "candidates": 1,
        "rounds": 4,
        "review_rounds": 3,
        "summaries": True,
        "stop_when_solved": True,  # until success is complete
    }
    templates: ClassVar = "auto_mc"

    def ask(self, round: int) -> Sequence[Order]:
        if self.best is None:
            return [Order(edit="new")] * self.config.candidates
        return [Order(edit="restructure", parents=(self.best.id,))] * self.config.candidates
