"""What a results table is made of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rewardsmith.stats import Answer, Interval
from rewardsmith.types import Measure, Record

Scores = tuple[tuple[float, ...], ...]
"""(repetitions, fresh seeds): the repetitions of a design, and the seeds that retrained the winner of each."""


class Measured(Record):
    """An interquartile mean, with a 95 % interval where there are seeds enough. Higher is better."""

    value: float
    low: float | None = None
    high: float | None = None
    seeds: int

    @property
    def interval(self) -> Interval | None:
        if self.low is None or self.high is None:
            return None
        return Interval(self.value, self.low, self.high, self.seeds, "seeds")

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3g} ({self.seeds} seed{'s' if self.seeds > 1 else ''}, no interval)"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


class Verdict(Record):
    """Whether one reward is better than another, and the measure that says so ("" where none does)."""

    answer: Answer
    measure: Measure | Literal[""] = ""

    def __str__(self) -> str:
        return f"{self.answer} ({self.measure})" if self.measure else self.answer


class Cost(Record):
    """What a row took: all its runs together. `wall_s` counts sessions that ended by themselves."""

    model_calls: int = 0
    tokens: int = 0
    candidates_trained: int = 0
    env_steps: int = 0
    wall_s: float = 0.0


class Row(Record):
    """One design (or reference reward) in one environment, over all its repetitions."""

    env: str
    method: str
    model: str
    variant: str
    budget: str
    group: str  # method, model, variant and budget as one text
    runs: tuple[str, ...]  # finished
    wanted: int  # runs in all
    failures: tuple[str, ...] = ()
    success: Measured | None = None
    fitness: Measured | None = None
    normalized: Measured | None = None  # human-normalized; None where human and sparse cannot be told apart
    versus: dict[str, Verdict] = Field(default_factory=dict)  # the answer against each reference
    cost: Cost = Cost()
    hardware: tuple[str, ...] = ()
    scores: dict[Measure, Scores] = Field(default_factory=dict)
    normalized_scores: Scores = ()


class Aggregate(Record):
    """Human-normalized scores of one group over the environments that count."""

    group: str
    envs: tuple[str, ...]
    normalized: Measured


class Pair(Record):
    """Two groups: whether `a` is better than `b` in each environment, and how likely it is over those that count."""

    a: str
    b: str
    answers: dict[str, Verdict]
    envs: tuple[str, ...] = ()  # behind the probability
    probability: Measured | None = None

    @property
    def answer(self) -> Answer:
        """Over environments: only an interval without 0.5 counts."""
        found = self.probability.interval if self.probability else None
        if found is None or found.low <= 0.5 <= found.high:
            return "cannot tell yet"
        return "better" if found.low > 0.5 else "worse"


class Table(Record):
    """Everything that was found out, and what was left out with the reason."""

    name: str
    rows: tuple[Row, ...]
    references: tuple[Row, ...]
    aggregates: tuple[Aggregate, ...]
    pairs: tuple[Pair, ...]
    measures: dict[str, Measure]  # by which an environment's scores are normalized
    excluded: dict[str, str]  # environment -> why it counts for no aggregate
    dropped: tuple[str, ...] = ()  # runs that the experiment file no longer asks for
