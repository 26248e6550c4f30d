"""A search method of one's own: every round asks for half as many rewards, all from the two best so far.

Run it from the folder that it lies in: `PYTHONPATH=. rewardsmith design hopper --method halving_method:Halving`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rewardsmith.loop.search import Search
from rewardsmith.types import Order


class Halving(Search):
    defaults: ClassVar = {"candidates": 16, "rounds": 4}  # what `design` uses unless told otherwise
    templates = "rewardsmith"  # the folder of prompts

    def ask(self, round: int) -> Sequence[Order]:
        """What to propose in this round; `self.scored` is everything trained so far, best first."""
        count = max(1, self.config.candidates // 2 ** (round - 1))
        if self.best is None:
            return [Order(edit="new", idea=i) for i in range(count)]
        if self.best.solved:
            return []  # ends the search
        parents = self.scored[:2]
        return [Order(edit="restructure", parents=(parents[i % len(parents)].id,)) for i in range(count)]
