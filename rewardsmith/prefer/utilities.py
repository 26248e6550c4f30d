"""How good each item is, from raters' choices: Luce's model, with ties and with picks of the worst.

An item i has a utility u_i. A group T of tied items is picked among S with a probability proportional to
exp(t_|T| + mean of u over T), summed over all groups of S of the sizes that occur (Davidson 1970 for pairs; Firth,
Kosmidis and Turner 2019); a pick of the worst has -u in the place of u. Comparisons of two are Bradley and Terry's
model, rankings Plackett's. A wide normal prior keeps utilities finite where an item won always; the likelihood is
concave, so that the order of votes, unlike with Elo's ratings, changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rewardsmith.errors import UsageError
from rewardsmith.prefer.ballots import Choice

PRIOR = 3.0  # deviation of a utility; a difference of 3 is a preference in 95 of 100 votes
MOST_GROUPS = 4096  # ways to pick among one set


class Utilities(NamedTuple):
    """Utilities of N items, in log odds: a vote prefers a to b with odds exp(u_a - u_b). Their mean is about 0.

    Attributes:
        mean: (N,), the most likely ones.
        covariance: (N, N), by Laplace's approximation.
    """

    items: tuple[str, ...]
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def ranked(self) -> tuple[str, ...]:
        """Best first; of equals, the first in the alphabet."""
        return tuple(sorted(self.items, key=lambda item: (-self.of(item), item)))

    def of(self, item: str) -> float:
        return float(self.mean[self.items.index(item)])

    def interval(self, item: str) -> tuple[float, float]:
        """95 %, of how far it is above the average item."""
        contrast = -np.full(len(self.items), 1 / len(self.items))
        contrast[self.items.index(item)] += 1
        point, reach = float(contrast @ self.mean), 1.96 * math.sqrt(float(contrast @ self.covariance @ contrast))
        return point - reach, point + reach

    def better(self, a: str, b: str) -> float:
        """How sure it is, 0 to 1, that `a` is better than `b`."""
        gap, deviation = self.gap(a, b)
        return 0.5 * (1 + math.erf(gap / deviation / math.sqrt(2)))

    def gap(self, a: str, b: str) -> tuple[float, float]:
        """u_a - u_b and its deviation."""
        i, j = self.items.index(a), self.items.index(b)
        c = self.covariance
        return float(self.mean[i] - self.mean[j]), math.sqrt(max(float(c[i, i] + c[j, j] - 2 * c[i, j]), 1e-12))


def utilities(items: Sequence[str], choices: Sequence[Choice], weights: Sequence[float] | None = None) -> Utilities:
    """The utilities that explain the choices best.

    Args:
        items: all of them; one that no choice is about has utility 0 and the prior's deviation.
        weights: of the choices, positive; 2 counts like two such choices.

    Raises: UsageError: a choice is about an unknown item, picks none or all-but-impossible many, or weights are wrong.
    """
    from scipy.optimize import minimize

    heavy = np.ones(len(choices)) if weights is None else np.asarray(weights, dtype=np.float64)
    if heavy.shape != (len(choices),) or not (np.isfinite(heavy) & (heavy > 0)).all():
        raise UsageError("every choice has a positive weight")
    model = _Model(items, choices, heavy)
    best = minimize(model.loss, np.zeros(model.size), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
    covariance = np.linalg.inv(model.curvature(best.x))
    n = len(items)
    return Utilities(tuple(items), best.x[:n], covariance[:n, :n])


class _Model:
    """Minus the log posterior of (utilities, a weight t for each size of ties above 1), and its derivatives."""

    def __init__(self, items: Sequence[str], choices: Sequence[Choice], weights: np.ndarray) -> None:
        number = {item: i for i, item in enumerate(items)}
        sizes = sorted({1} | {len(choice.picked) for choice in choices})
        self.size = len(items) + len(sizes) - 1
        rows, owner, picked = [], [], []
        for c, choice in enumerate(choices):
            among = _known(choice, number)
            ways = sum(math.comb(len(among), size) for size in sizes)
            if ways > MOST_GROUPS:
                raise UsageError(f"there are {ways:,} ways to pick among {len(among)} items", hint="show fewer")
            for group in (group for size in sizes for group in combinations(among, size)):
                row = np.zeros(self.size)
                row[list(group)] = (-1.0 if choice.worst else 1.0) / len(group)
                if len(group) > 1:
                    row[len(items) + sizes.index(len(group)) - 1] = 1.0
                if set(group) == {number[item] for item in choice.picked}:
                    picked.append(len(rows))
                rows.append(row)
                owner.append(c)
        self._rows = np.array(rows).reshape(-1, self.size)  # (R, size), of all ways to pick
        self._owner = np.array(owner, dtype=np.int64)  # (R,)
        self._picked = self._rows[picked]  # (C, size)
        self._weights = weights

    def loss(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        chances, log_total = self._chances(x)
        likely = self._weights @ (self._picked @ x - log_total)
        slope = self._weights @ self._picked - (chances * self._weights[self._owner]) @ self._rows
        return float(0.5 * x @ x / PRIOR**2 - likely), x / PRIOR**2 - slope

    def curvature(self, x: np.ndarray) -> np.ndarray:
        """(size, size), the Hessian of the loss."""
        chances, _ = self._chances(x)
        heavy = chances * self._weights[self._owner]
        means = np.zeros((len(self._weights), self.size))
        np.add.at(means, self._owner, chances[:, None] * self._rows)
        spread = self._rows.T @ (heavy[:, None] * self._rows) - means.T @ (self._weights[:, None] * means)
        return spread + np.eye(self.size) / PRIOR**2

    def _chances(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The chance of each way to pick, (R,), and the log of what they were divided by, (C,)."""
        logits, count = self._rows @ x, len(self._weights)
        top = np.full(count, -np.inf)
        np.maximum.at(top, self._owner, logits)
        raw = np.exp(logits - top[self._owner])
        total = np.bincount(self._owner, raw, minlength=count)
        return raw / total[self._owner], np.log(total) + top


def _known(choice: Choice, number: dict[str, int]) -> list[int]:
    unknown = sorted(set(choice.among) - number.keys())
    if unknown:
        raise UsageError(f"a choice is about {unknown[0]!r}, which is not among the items")
    if not choice.picked or len(choice.picked) > len(choice.among) or not set(choice.picked) <= set(choice.among):
        raise UsageError("a choice picks some of the items that it is among")
    return [number[item] for item in choice.among]


# --- what to ask next ------------------------------------------------------------------------------------------------

_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(20)


def information(known: Utilities, a: str, b: str) -> float:
    """What a vote between `a` and `b` is expected to tell about them, in bits: 0 to 1 (BALD, Houlsby et al. 2011)."""
    gap, deviation = known.gap(a, b)
    chances = 1 / (1 + np.exp(-(gap + deviation * _NODES)))
    odds = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
    return float(_entropy(odds @ chances) - odds @ _entropy(chances))


def _entropy(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def ask_next(known: Utilities, count: int = 2) -> tuple[str, ...]:
    """The `count` items whose comparison tells most: the best pair, then whatever adds most to those chosen.

    Raises: UsageError: there are not so many items.
    """
    if not 2 <= count <= len(known.items):
        raise UsageError(f"{count} of {len(known.items)} items cannot be compared")
    told = {pair: information(known, *pair) for pair in combinations(known.items, 2)}
    chosen = list(max(told, key=lambda pair: told[pair]))
    while len(chosen) < count:
        left = [item for item in known.items if item not in chosen]
        gains = {i: sum(told[p] for c in chosen for p in ((i, c), (c, i)) if p in told) for i in left}
        chosen.append(max(left, key=lambda item: gains[item]))
    return tuple(chosen)
