"""Votes between segments, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rewardsmith.errors import UsageError


@dataclass(frozen=True)
class Votes:
    """V votes: was segment `a` better than segment `b`?

    Attributes:
        a, b: (V,) int64 numbers of segments.
        outcome: (V,) float64: 1 where `a` is better, 0 where `b` is, 0.5 where neither is.
        weight: (V,) float64, positive; a weight of 2 counts like two such votes.
    """

    a: np.ndarray
    b: np.ndarray
    outcome: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, a: ArrayLike, b: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None = None) -> Self:
        """Check and convert.

        Raises:
            UsageError: there is no vote, shapes differ, a segment is compared with itself, or a value is not allowed.
        """
        first, second = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
        won = np.asarray(outcome, dtype=np.float64)
        heavy = np.ones_like(won) if weight is None else np.asarray(weight, dtype=np.float64)
        if first.ndim != 1 or not len(first) or len({first.shape, second.shape, won.shape, heavy.shape}) > 1:
            raise UsageError("votes need four lists of the same length", hint="give at least one vote")
        if (first == second).any() or min(first.min(), second.min()) < 0:
            raise UsageError("a vote is between two different segments, numbered from 0", hint="leave such votes out")
        if not np.isin(won, (0.0, 0.5, 1.0)).all():
            raise UsageError("the outcome of a vote is 1 (a is better), 0 (b is better) or 0.5", hint="use these only")
        if not (np.isfinite(heavy) & (heavy > 0)).all():
            raise UsageError("the weight of a vote is a positive number", hint="leave out votes that should not count")
        return cls(first, second, won, heavy)

    def __len__(self) -> int:
        return len(self.a)

    def tally(self) -> Tally:
        """All votes on the same two segments together; the same whatever the order of votes and of `a` and `b`."""
        turned = self.a > self.b
        low, high = np.where(turned, self.b, self.a), np.where(turned, self.a, self.b)
        won = np.where(turned, 1 - self.outcome, self.outcome)
        order = np.lexsort((self.weight, won, high, low))
        pairs, pair = np.unique(np.stack([low, high])[:, order], axis=1, return_inverse=True)
        weight, share = self.weight[order], won[order]
        pair = pair.reshape(-1)
        return Tally(pairs[0], pairs[1], np.bincount(pair, weight * share), np.bincount(pair, weight * (1 - share)))


class Tally(NamedTuple):
    """K different pairs of segments, sorted, and the weight of the votes for each side.

    Attributes:
        a, b: (K,) int64 numbers of segments.
        for_a, for_b: (K,) float64; a tie counts half on both sides.
    """

    a: np.ndarray
    b: np.ndarray
    for_a: np.ndarray
    for_b: np.ndarray

    def among(self, segments: np.ndarray) -> Tally:
        """The same with numbers into `segments` (S,), sorted, instead of those that it holds."""
        return self._replace(a=np.searchsorted(segments, self.a), b=np.searchsorted(segments, self.b))

    def differences(self, pay: Tensor) -> Tensor:
        """(K,): R_a - R_b of what segments are paid, (S,)."""
        return pay[torch.from_numpy(self.a)] - pay[torch.from_numpy(self.b)]

    def split(self, share: float, seed: int) -> tuple[Tally, Tally | None]:
        """All but `share` of the pairs, and these, drawn at random; None where that is less than one pair."""
        count = round(share * len(self.a))
        if count < 1:
            return self, None
        shuffled = np.random.default_rng(seed).permutation(len(self.a))
        kept, held_out = np.sort(shuffled[count:]), np.sort(shuffled[:count])
        return Tally(*(column[kept] for column in self)), Tally(*(column[held_out] for column in self))
