"""Raters who disagree: a few groups of taste, and how much of each is in every rater (after PAL, arXiv 2406.08469).

Group k has a utility g_k of every item; rater r mixes them, u_r = sum over k of softmax(w_r)_k g_k, and prefers a to b
with probability sigmoid(u_r(a) - u_r(b)). As in PAL-A, the groups are shared and a rater adds only K numbers, so that
a few answers place a new one. Departures: a group's utility is a table over items, or a weighted sum of their features,
in place of a network over texts, and everything is fitted at once by maximum posterior likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rewardsmith.errors import UsageError

PRIOR = 3.0  # deviation of a utility, or of a weight of standardized features
MIXING = 2.0  # deviation of w: 0 mixes all groups evenly, large values are one group alone
STARTS = 5
FOLDS = 5

Judged = Mapping[tuple[str, str], int]
"""Verdicts by pair of items: 1 the first is better, -1 the second is, 0 tied."""


class Groups(NamedTuple):
    """K groups of taste over N items, and R raters.

    Attributes:
        utilities: (K, N) float64.
        mixing: (R, K), shares that sum to 1.
        likelihood: mean log likelihood of a verdict; guessing has -0.693.
    """

    items: tuple[str, ...]
    raters: tuple[str, ...]
    utilities: np.ndarray
    mixing: np.ndarray
    likelihood: float

    def of(self, rater: str) -> np.ndarray:
        """(N,) utilities of a rater."""
        return self.mixing[self.raters.index(rater)] @ self.utilities

    @property
    def group(self) -> tuple[int, ...]:
        """The group that each rater has most of."""
        return tuple(int(k) for k in self.mixing.argmax(1))

    @property
    def collapsed(self) -> bool:
        """Whether some group is hardly anybody's: its share is under 1 % of all raters."""
        return bool((self.mixing.mean(0) < 0.01).any())

    def place(self, judged: Judged) -> np.ndarray:
        """(K,): how a new rater mixes the groups, which stay as they are. Raises: UsageError: no verdict."""
        votes = _votes(self.items, {"new": judged})
        found = _minimize(
            lambda w: _loss(torch.from_numpy(self.utilities), w, votes), [torch.zeros(1, len(self.utilities))]
        )
        return torch.softmax(found[0], 1)[0].numpy()


class _Votes(NamedTuple):
    rater: Tensor  # (V,) int64
    a: Tensor  # (V,) int64
    b: Tensor  # (V,) int64
    share: Tensor  # (V,) float64: 1 a is better, 0 b is, 0.5 tied


def groups(
    items: Sequence[str],
    judged: Mapping[str, Judged],
    count: int,
    *,
    features: Tensor | None = None,
    seed: int = 0,
) -> Groups:
    """The best of several fits from random starts; `count` = 1 is what all raters have in common.

    Args:
        judged: verdicts of each rater.
        features: (N, F) of the items; with them a group's utility is a weighted sum, so that it says something of
            items that nobody has judged.

    Raises: UsageError: no verdict, an unknown item, or features that do not fit.
    """
    votes = _votes(items, judged)
    basis = _basis(items, features)
    draw = torch.Generator().manual_seed(seed)
    best: tuple[float, list[Tensor]] | None = None
    for _ in range(STARTS if count > 1 else 1):
        weights = torch.randn(count, basis.shape[1], generator=draw, dtype=torch.float64)
        mixing = torch.randn(len(judged), count, generator=draw, dtype=torch.float64) if count > 1 else None
        start = [weights, torch.zeros(len(judged), 1, dtype=torch.float64) if mixing is None else mixing]
        found = _minimize(lambda g, w: _loss(g @ basis.T, w, votes) + _normal(g, PRIOR), start)
        loss = float(_loss(found[0] @ basis.T, found[1], votes) + _normal(found[0], PRIOR))
        if best is None or loss < best[0]:
            best = loss, found
    assert best is not None
    weights, mixing = best[1]
    table = weights @ basis.T
    likelihood = float(_log_likelihood(table, mixing, votes).mean())
    return Groups(tuple(items), tuple(judged), table.numpy(), torch.softmax(mixing, 1).numpy(), likelihood)


def held_out(
    items: Sequence[str], judged: Mapping[str, Judged], count: int, *, features: Tensor | None = None, seed: int = 0
) -> float:
    """Mean log likelihood of verdicts that were kept from the fit, a fifth of each rater's at a time.

    More groups always explain the votes they were fitted to better; whether there are several tastes shows here.
    """
    rng = np.random.default_rng(seed)
    fold = {rater: rng.permutation(np.arange(len(said)) % FOLDS) for rater, said in judged.items()}
    total, seen = 0.0, 0
    for f in range(FOLDS):
        parts: list[dict[str, Judged]] = [
            {
                r: {p: v for (p, v), k in zip(said.items(), fold[r], strict=True) if (k == f) == kept}
                for r, said in judged.items()
            }
            for kept in (False, True)
        ]
        if not any(parts[0].values()) or not any(parts[1].values()):
            continue
        fitted = groups(items, parts[0], count, features=features, seed=seed)
        votes = _votes(items, parts[1])
        table, mixing = torch.from_numpy(fitted.utilities), torch.from_numpy(fitted.mixing).log()
        total += float(_log_likelihood(table, mixing, votes).sum())
        seen += len(votes.a)
    if not seen:
        raise UsageError("too few verdicts to keep some from the fit", hint="five of a rater at least")
    return total / seen


def _votes(items: Sequence[str], judged: Mapping[str, Judged]) -> _Votes:
    number = {item: i for i, item in enumerate(items)}
    rows = [(r, a, b, v) for r, said in enumerate(judged.values()) for (a, b), v in said.items()]
    unknown = sorted({item for _, a, b, _ in rows for item in (a, b)} - number.keys())
    if unknown:
        raise UsageError(f"a verdict is about {unknown[0]!r}, which is not among the items")
    if not rows:
        raise UsageError("there is no verdict to learn from")
    rater, a, b = torch.tensor([(r, number[a], number[b]) for r, a, b, _ in rows]).T
    return _Votes(rater, a, b, torch.tensor([(v + 1) / 2 for *_, v in rows], dtype=torch.float64))


def _basis(items: Sequence[str], features: Tensor | None) -> Tensor:
    """(N, F): a group's utilities are its weights times this."""
    if features is None:
        return torch.eye(len(items), dtype=torch.float64)
    if features.dim() != 2 or len(features) != len(items) or not bool(torch.isfinite(features).all()):
        raise UsageError(f"features are (items, features) and finite, not {tuple(features.shape)}")
    deviation = features.double().std(0, correction=0)
    return (features.double() - features.double().mean(0)) / torch.where(deviation > 0, deviation, 1.0)


def _log_likelihood(table: Tensor, mixing: Tensor, votes: _Votes) -> Tensor:
    """(V,), of utilities (K, N) and mixing (R, K) before its softmax."""
    mixed = torch.softmax(mixing, 1) @ table
    gap = mixed[votes.rater, votes.a] - mixed[votes.rater, votes.b]
    return votes.share * logsigmoid(gap) + (1 - votes.share) * logsigmoid(-gap)


def _loss(table: Tensor, mixing: Tensor, votes: _Votes) -> Tensor:
    return _normal(mixing, MIXING) - _log_likelihood(table, mixing, votes).sum()


def _normal(values: Tensor, deviation: float) -> Tensor:
    return 0.5 * (values / deviation).square().sum()


def _minimize(loss: Callable[..., Tensor], start: Sequence[Tensor]) -> list[Tensor]:
    """Where `loss` of the tensors is smallest, from `start`."""
    free = [value.double().clone().requires_grad_() for value in start]
    search = torch.optim.LBFGS(free, max_iter=500, tolerance_grad=1e-7, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        value = loss(*free)
        value.backward()
        return value

    search.step(closure)
    return [value.detach() for value in free]
