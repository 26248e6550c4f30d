"""Simulated raters with the faults of people, for tests and benchmarks (after B-Pref, Lee et al., arXiv 2111.03026).

They see the fitness that people are meant to judge by eye. Nothing that designs rewards may see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.errors import UsageError
from rewardsmith.prefer.ballots import Ballot, Form


@dataclass(frozen=True)
class SimulatedRater:
    """Without faults: an oracle, which always picks what has the higher return.

    Attributes:
        temperature: of Boltzmann's choice: an item is picked with a probability proportional to
            exp(return / temperature), returns being normalized to deviation 1 over all items; 0 picks the best.
        mistakes: how often a pick is replaced by a random other one.
        skip: "cannot tell" where no shown item is above this quantile of the returns of all items.
        equal: items whose normalized returns differ by no more than this are tied (in rankings), or cannot be told
            apart (where best and worst are).
        memory: how much a step counts against the one after it, when returns are of whole episodes: below 1 the end
            of a clip counts most.
    """

    name: str = "simulated"
    temperature: float = 0.0
    mistakes: float = 0.0
    skip: float = 0.0
    equal: float = 0.0
    memory: float = 1.0

    def __post_init__(self) -> None:
        allowed = 0 <= self.mistakes <= 1 and 0 <= self.skip <= 1 and 0 < self.memory <= 1
        if not allowed or min(self.temperature, self.equal) < 0:
            raise UsageError("mistakes and skip are shares, memory is above 0 and at most 1, the others not negative")

    def see(self, steps: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """What episodes look worth to this rater: from their value at every step, each (T,), to a normalized return.

        Raises: UsageError: an episode has no steps, or a value is not finite.
        """
        returns = {}
        for item, values in steps.items():
            each = np.asarray(values, dtype=np.float64)
            if not each.size or not np.isfinite(each).all():
                raise UsageError(f"the values of {item!r} are no finite numbers")
            returns[item] = float(each @ self.memory ** np.arange(len(each))[::-1])
        deviation = float(np.std(list(returns.values()))) or 1.0
        return {item: value / deviation for item, value in returns.items()}

    def answer(
        self, seen: Mapping[str, float], shown: Sequence[str], rng: np.random.Generator, form: Form = "best_worst"
    ) -> Ballot:
        """The ballot about `shown`, by what `see` gave for all items there are."""
        worth = np.array([seen[item] for item in shown])
        limit = np.quantile(list(seen.values()), self.skip) if self.skip else -math.inf
        unsure = form == "unsure" or worth.max() < limit or (form == "best_worst" and np.ptp(worth) <= self.equal)
        if unsure:
            return Ballot(rater=self.name, form="unsure", shown=tuple(shown))
        order = self._best_worst(worth, rng) if form == "best_worst" else self._ranking(worth, rng)
        groups = tuple(tuple(shown[i] for i in group) for group in order)
        return Ballot(rater=self.name, form=form, shown=tuple(shown), order=groups)

    def _best_worst(self, worth: np.ndarray, rng: np.random.Generator) -> list[list[int]]:
        left = list(range(len(worth)))
        best = self._pick(worth, left, rng)
        left.remove(best)
        return [[best], [self._pick(-worth, left, rng)]]

    def _ranking(self, worth: np.ndarray, rng: np.random.Generator) -> list[list[int]]:
        left, groups = list(range(len(worth))), []
        while left:
            best = self._pick(worth, left, rng)
            tied = [i for i in left if i == best or abs(worth[i] - worth[best]) <= self.equal] if self.equal else [best]
            groups.append(tied)
            left = [i for i in left if i not in tied]
        return groups

    def _pick(self, worth: np.ndarray, left: Sequence[int], rng: np.random.Generator) -> int:
        values = worth[list(left)]
        noise = self.temperature * rng.gumbel(size=len(left)) if self.temperature else 0.0
        best = int(np.argmax(values + noise))
        if len(left) > 1 and rng.random() < self.mistakes:
            best = (best + 1 + int(rng.integers(len(left) - 1))) % len(left)
        return left[best]
