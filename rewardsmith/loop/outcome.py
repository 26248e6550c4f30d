"""What a search method is told of a proposal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rewardsmith.types import Proposal

NEAR = 0.5  # success from which a reward is nearly right
SOLVED = 0.99


@dataclass(frozen=True)
class Outcome:
    """How a proposal ended: `score` is (success, fitness) by the clean evaluator, None if not trained to the end.

    Attributes:
        has_success: False where the goal knows no success, so that only fitness says something.
        pick: whether raters liked it best or least of what they were shown, where they judge (method icpl).
    """

    proposal: Proposal
    score: tuple[float, float] | None = None
    has_success: bool = True
    pick: Literal["best", "worst"] | None = None

    @property
    def id(self) -> str:
        return self.proposal.id

    @property
    def success(self) -> float:
        return self.score[0] if self.score else 0.0

    @property
    def nearly(self) -> bool:
        """Success is common, and not yet complete."""
        return self.has_success and NEAR <= self.success < SOLVED

    @property
    def solved(self) -> bool:
        """Success is complete in the episodes that rank it, which are few; `stop_when_solved` looks at more."""
        return self.has_success and self.success >= SOLVED
