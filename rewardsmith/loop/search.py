"""The design loop, and what a search method is: somebody who says what to try next, and is told how it went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np

from rewardsmith.config import DesignConfig
from rewardsmith.loop.outcome import Outcome
from rewardsmith.loop.steps import Steps
from rewardsmith.types import Order


class Method(Protocol):
    """A search. The same answers must give the same questions, for a resumed run asks and tells everything again."""

    def ask(self, round: int) -> Sequence[Order]:
        """What to propose in this round, from 1; nothing to do ends the search."""
        ...

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """How everything of a round ended, refused and dropped candidates included."""
        ...


class Search:
    """A method that remembers what it was told. Others need not derive from it.

    Attributes:
        defaults: settings of `DesignConfig` that this method is meant to have, where the person gives no others.
        templates: folder of its prompts.
        judged: whether it goes by what raters like, told as `Outcome.pick`, and not by scores.
        scored: what was trained to the end, best first; of equals, what was tried last.
    """

    defaults: ClassVar[Mapping[str, object]] = {}
    templates: ClassVar[str] = "rewardsmith"
    judged: ClassVar[bool] = False

    def __init__(self, config: DesignConfig) -> None:
        self.config = config
        self.scored: list[Outcome] = []

    def ask(self, round: int) -> Sequence[Order]:
        raise NotImplementedError("write `def ask(self, round)`, which returns a list of Order")

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        trained = [o for o in outcomes if o.score is not None and all(map(math.isfinite, o.score))]
        self.scored = sorted([*trained, *self.scored], key=lambda o: o.score or (0.0, 0.0), reverse=True)

    @property
    def best(self) -> Outcome | None:
        return self.scored[0] if self.scored else None

    def rng(self, round: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.config.seed, round]))


def search(method: Method, steps: Steps) -> str | None:
    """Run the search to its end, or on from where it was interrupted. Returns the id of the best candidate."""
    for round in steps.rounds():
        orders = method.ask(round)
        if not orders:
            steps.end_early(round)
            break
        proposals = steps.propose(round, orders)
        accepted = steps.complete(round, orders, steps.check_and_repair(proposals))
        chosen = steps.screen(round, accepted)
        results = steps.train(round, chosen)
        steps.analyze(round, results)
        steps.judge(round, results)
        method.tell(steps.outcomes(round))
    return steps.best_so_far()
