"""Refine: a reward that works, and a wish. What is there is changed as little as possible.

round 1: small changes of the given reward; later: small changes of the best, or larger ones where nothing helped,
which includes that no episode meets every wish
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rewardsmith.loop.search import Search
from rewardsmith.loop.summary import START
from rewardsmith.types import Order


class Refine(Search):
    defaults: ClassVar = {"candidates": 6, "rounds": 1}

    def ask(self, round: int) -> Sequence[Order]:
        count = self.config.candidates
        if round == 1:
            start = Order(edit="new", id=START, code=self.config.from_reward or "")
            return [start, *[Order(edit="tweak", parents=(START,))] * count]
        best = self.best.id if self.best and self.best.success else START
        edit = "restructure" if best == START else "tweak"
        return [Order(edit=edit, parents=(best,))] * count
