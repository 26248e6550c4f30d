"""One shot: a dense reward from the task alone (Text2Reward, Xie et al., ICLR 2024, arXiv 2309.11489).

    sample a reward from the description of environment and task; train it

Departures: the environment is described by its table of features rather than by class stubs; with more than one
candidate the best of them counts, all written without knowing of each other. The paper's interactive rounds, in which
a person says what to improve, are `rewardsmith refine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rewardsmith.loop.search import Search
from rewardsmith.types import Order


class OneShot(Search):
    defaults: ClassVar = {"candidates": 1, "rounds": 1}
    templates: ClassVar = "oneshot"

    def ask(self, round: int) -> Sequence[Order]:
        return [Order(edit="new")] * self.config.candidates if round == 1 else []
