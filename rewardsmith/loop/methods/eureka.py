"""Eureka: evolutionary search over reward code with reward reflection (Ma et al., ICLR 2024, arXiv 2310.12931).

    for N rounds: sample K rewards from the task, or from the best reward and its reflection; train all; keep the best

Departures, and why: the next prompt shows the best candidate of all rounds, not of the last one, so that one bad round
does not poison the search; a refused candidate goes back with its findings before the round trains; what recorded
episodes show is told beside the curves (leave it out with `--feedback scalar`). Restarts are runs with other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rewardsmith.loop.search import Search
from rewardsmith.types import Order


class Eureka(Search):
    defaults: ClassVar = {"candidates": 16, "rounds": 5}  # K and N of the paper
    templates: ClassVar = "eureka"

    def ask(self, round: int) -> Sequence[Order]:
        if self.best is None:
            return [Order(edit="new")] * self.config.candidates
        return [Order(edit="restructure", parents=(self.best.id,))] * self.config.candidates
