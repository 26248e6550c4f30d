"""Budgets asked before spending. A run holds one; retries and repairs draw on the same one."""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import Field

from rewardsmith.errors import BudgetSpent
from rewardsmith.types import Record


class BudgetLimits(Record):
    """Upper limits; None is unlimited."""

    usd: float | None = Field(
        default=None, ge=0, description="Dollars for model calls (needs prices, see --usd-per-million)."
    )
    tokens: int | None = Field(default=None, ge=0, description="Prompt plus completion tokens.")
    env_steps: int | None = Field(
        default=None, ge=0, description="Environment steps, evaluation and recording included."
    )
    wall_s: float | None = Field(default=None, ge=0, description="Seconds since the run (or its resumption) started.")


class Spent(Record):
    usd: float = 0.0
    tokens: int = 0
    env_steps: int = 0
    calls: int = 0


class Budget:
    """A ledger: `require` before spending, `spend` after. Amounts spent by earlier sessions of a run are handed in."""

    def __init__(
        self, limits: BudgetLimits, spent: Spent | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self.spent = spent or Spent()
        self._clock = clock
        self._start = clock()

    @property
    def wall_s(self) -> float:
        """Seconds since this session of the run started."""
        return self._clock() - self._start

    def require(self, *, usd: float = 0.0, tokens: int = 0, env_steps: int = 0) -> None:
        """Raises: BudgetSpent: spending this much more would exceed a limit."""
        wanted = {
            "usd": self.spent.usd + usd,
            "tokens": self.spent.tokens + tokens,
            "env_steps": self.spent.env_steps + env_steps,
            "wall_s": self.wall_s,
        }
        for kind, amount in wanted.items():
            limit = getattr(self.limits, kind)
            if limit is not None and amount > limit:
                used = self.wall_s if kind == "wall_s" else getattr(self.spent, kind)
                raise BudgetSpent(kind, used, limit, amount - used)

    def spend(self, *, usd: float = 0.0, tokens: int = 0, env_steps: int = 0, calls: int = 0) -> None:
        s = self.spent
        self.spent = Spent(
            usd=s.usd + usd, tokens=s.tokens + tokens, env_steps=s.env_steps + env_steps, calls=s.calls + calls
        )
