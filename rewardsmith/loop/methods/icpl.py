"""ICPL: in-context preference learning (Yu et al., arXiv 2410.17233). People say which policies they like.

    for N rounds: sample rewards until K of them are executable; train all; people see what the policies do and name
    the best and the worst; the next prompt builds on the best and keeps away from the worst

Fitness is in no prompt: what is told are the traces of both rewards, what was preferred before, and what changed.
Departures, and why: the best of the rounds before is shown beside the K new ones, and the votes of all rounds say what
is best, so that a bad round or a mistaken vote loses nothing; what people write reaches the prompt; a refused reward
goes back with its findings before another is asked for; policies of failed trainings are not shown; one reward of each
later round is the preferred one with its numbers fitted to all votes, for which no model is asked (`fit_votes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rewardsmith.config import DesignConfig
from rewardsmith.loop.outcome import Outcome
from rewardsmith.loop.search import Search
from rewardsmith.types import Order


class ICPL(Search):
    defaults: ClassVar = {
        "candidates": 6,
        "rounds": 5,
        "seeds": 1,
        "feedback": "human",
        "guarantee": True,
        "fit_votes": True,
    }
    templates: ClassVar = "icpl"
    judged: ClassVar = True

    def __init__(self, config: DesignConfig) -> None:
        super().__init__(config)
        self._liked: tuple[str, ...] = ()  # the best so far, and the worst of the last round

    def ask(self, round: int) -> Sequence[Order]:
        if not self._liked:
            return [Order(edit="new")] * self.config.candidates
        fitted = [Order(edit="tune", parents=self._liked)] * self.config.fit_votes
        asked = self.config.candidates - len(fitted)
        return [*fitted, *[Order(edit="restructure", parents=self._liked)] * asked]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        best = [o.id for o in outcomes if o.pick == "best"] or list(self._liked[:1])
        worst = [o.id for o in outcomes if o.pick == "worst"]
        self._liked = tuple(best + worst) if best else ()
