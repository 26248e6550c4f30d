"""The default method: diverse first rounds, families that compete, small steps once it nearly works, tuned numbers.

round 1: K rewards, each from another idea
later: of K, a quarter new ideas; the others descend from the better half, the better the likelier: by a change of
structure, by crossing two of them, by small changes, or by numbers alone, which recorded episodes suggest
once success is common: one round of small changes only
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rewardsmith.config import DesignConfig
from rewardsmith.loop.outcome import Outcome
from rewardsmith.loop.search import Search
from rewardsmith.types import Order

FRESH = 0.25  # of a later round
TUNED = 0.125
CROSSED = 0.2  # of what descends from somebody
FALLOFF = 0.5  # how much less likely the next best is a parent


class Rewardsmith(Search):
    """See the module."""

    def __init__(self, config: DesignConfig) -> None:
        super().__init__(config)
        self._rested = True  # whether a round of anything but small changes has passed since the last of these

    def ask(self, round: int) -> Sequence[Order]:
        count = self.config.candidates
        if self.best is None:
            return [Order(edit="new", idea=i) for i in range(count)]
        rng = self.rng(round)
        best = Order(edit="tweak", parents=(self.best.id,))
        tuned = [Order(edit="tune", parents=(self.best.id,))] * int(TUNED * count)
        if self.best.nearly and self._rested:
            self._rested = False
            return [best, *tuned, *(self._tweak(rng) for _ in range(count - 1 - len(tuned)))]
        self._rested = True
        others = [self._descend(rng, idea) for idea in range(count, 2 * count - 1 - len(tuned))]
        return [best, *tuned, *others]

    def _tweak(self, rng: np.random.Generator) -> Order:
        return Order(edit="tweak", parents=(self._parent(rng).id,))

    def _descend(self, rng: np.random.Generator, idea: int) -> Order:
        if rng.random() < FRESH:
            return Order(edit="new", idea=idea)
        parent, other = self._parent(rng), self._parent(rng)
        if other.id != parent.id and rng.random() < CROSSED:
            return Order(edit="crossover", parents=(parent.id, other.id))
        return Order(edit="restructure", parents=(parent.id,))

    def _parent(self, rng: np.random.Generator) -> Outcome:
        """One of the better half."""
        half = self.scored[: max(2, (len(self.scored) + 1) // 2)]
        odds = FALLOFF ** np.arange(len(half))
        return half[rng.choice(len(half), p=odds / odds.sum())]
