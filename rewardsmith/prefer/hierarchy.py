"""HERON (arXiv 2309.02632): preferences from signals ranked by importance, and a reward learned from them.

Two items are compared by the most important signal first. If they differ there by more than its margin, that decides;
otherwise the next signal is looked at; a pair that no signal decides is left out. Nothing has to be weighed against
anything: multiplying a signal by a positive constant, or adding one to it, changes no comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rewardsmith.errors import UsageError

CLOSE = 1e-9  # of a signal's deviation: differences up to here are rounding


class Pairs(NamedTuple):
    """P judgements over N items. `decided` counts them by level; `ties` is the number of pairs no level decided.

    `intransitive` is the share of cycles (a beats b beats c beats a) among triples of items all of whose pairs are
    decided, NaN where there is no such triple. Margins make cycles possible.
    """

    better: Tensor  # (P,) int64
    worse: Tensor  # (P,) int64
    decided: tuple[int, ...]
    ties: int
    intransitive: float


def margins(signals: Tensor, sigma_mult: float = 1.0) -> Tensor:
    """HERON's margins (L,) for signals (N, L): 0 for the most important, for the others `sigma_mult` deviations."""
    found = sigma_mult * signals.double().std(0, correction=0)
    found[0] = 0.0
    return found


def preferences(signals: Tensor, signs: Sequence[int], margins: Tensor) -> Pairs:
    """All pairs of N items, judged level by level.

    Args:
        signals: (N, L), most important first.
        signs: 1 where more of a signal is better, -1 where less is.
        margins: (L,), in units of the signals; two items that differ by no more are equal on that level.

    Raises: UsageError: shapes do not fit, a sign is neither 1 nor -1, a margin is negative, or a signal is not finite.
    """
    _check(signals, signs, margins)
    oriented = signals.double() * torch.tensor(signs, dtype=torch.float64)
    least = torch.maximum(margins.double(), CLOSE * oriented.std(0, correction=0))
    verdict = torch.zeros(len(signals), len(signals), dtype=torch.int8)  # 1: the row's item beats the column's
    decided = []
    for signal, margin in zip(oriented.T, least, strict=True):
        difference = signal[:, None] - signal[None]
        here = (verdict == 0) & (difference.abs() > margin)
        verdict[here] = difference[here].sign().to(torch.int8)
        decided.append(int(here.sum()) // 2)
    better, worse = (verdict == 1).nonzero(as_tuple=True)
    pairs = len(signals) * (len(signals) - 1) // 2
    return Pairs(better, worse, tuple(decided), pairs - sum(decided), _intransitive(verdict))


def _check(signals: Tensor, signs: Sequence[int], margins: Tensor) -> None:
    if signals.dim() != 2 or len(signs) != signals.shape[1] or tuple(margins.shape) != tuple(signals.shape[1:]):
        raise UsageError(
            f"signals {tuple(signals.shape)}, {len(signs)} signs and margins {tuple(margins.shape)} do not fit",
            hint="signals are (items, levels); give a sign and a margin for each level",
        )
    if any(sign not in (1, -1) for sign in signs) or bool((margins < 0).any()):
        raise UsageError("signs are 1 or -1, and margins not negative")
    if not bool(torch.isfinite(signals).all()):
        raise UsageError("a signal is not finite", hint="leave such items out")


def _intransitive(verdict: Tensor) -> float:
    """Cycles among the fully decided triples, from (N, N) verdicts."""
    beats = (verdict == 1).double()
    linked = beats + beats.T
    triples = float((linked @ linked * linked).sum()) / 6
    return float((beats @ beats * beats.T).sum()) / 3 / triples if triples else float("nan")


# --- a reward from them ----------------------------------------------------------------------------------------------


class Scorer(nn.Module):
    """A learned reward: scores (...,) of features (..., F), with mean 0 and deviation 1 over what it was trained on.

    Without hidden layers it is a weighted sum of the features (plus a constant), see `weights`.
    """

    def __init__(self, features: Tensor, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        rows = features.flatten(0, -2)
        self._shift, self._scale = rows.mean(0), _nonzero(rows.std(0, correction=0))
        sizes = [rows.shape[1], *hidden, 1]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            linear = nn.Linear(inputs, outputs)
            nn.init.kaiming_uniform_(linear.weight, a=5**0.5, generator=generator)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU()] if i < len(hidden) else [linear]
        self._net = nn.Sequential(*layers)
        self._mean, self._deviation = torch.zeros(()), torch.ones(())

    def forward(self, features: Tensor) -> Tensor:
        raw = self._net((features - self._shift) / self._scale).squeeze(-1)
        return (raw - self._mean) / self._deviation

    def normalize(self, features: Tensor) -> None:
        """From now on scores have mean 0 and deviation 1 over `features` (..., F)."""
        with torch.no_grad():
            scores = self(features)
            self._mean = self._mean + self._deviation * scores.mean()
            self._deviation = self._deviation * _nonzero(scores.std(correction=0))

    def weights(self) -> Tensor:
        """(F,), of the features as they are. Raises: UsageError: the scorer has hidden layers."""
        linear = self._net[0]
        if len(self._net) > 1 or not isinstance(linear, nn.Linear):
            raise UsageError("a scorer with hidden layers has no weights of features", hint="learn with hidden=()")
        return (linear.weight[0] / self._scale / self._deviation).detach()


class Learned(NamedTuple):
    """`accuracy` is the share of the pairs that the scorer orders as judged."""

    scorer: Scorer
    accuracy: float


def learn(
    features: Tensor,
    pairs: Pairs,
    *,
    hidden: Sequence[int] = (256, 256),
    steps: int = 500,
    batch: int = 256,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> Learned:
    """A reward that orders items as the pairs do, by the Bradley-Terry model: P(a beats b) = sigmoid(R_a - R_b).

    Args:
        features: (N, F) of items that are single steps, or (N, T, F) of items that are T steps; then R is the mean
            score of an item's steps, and the scorer rates steps.
        hidden: widths; empty fits weights of the features.
        steps, batch: of Adam, and pairs in each.

    Raises: UsageError: there are no pairs, or their items have no features.
    """
    if not len(pairs.better):
        raise UsageError("no pair is decided, so there is nothing to learn from", hint="lower the margins")
    if int(torch.maximum(pairs.better, pairs.worse).max()) >= len(features):
        raise UsageError(f"the pairs name items beyond the {len(features)} that have features")
    features = features.float()
    draw = torch.Generator().manual_seed(seed)
    scorer = Scorer(features, hidden, draw)
    adam = torch.optim.Adam(scorer.parameters(), learning_rate)
    for _ in range(steps):
        chosen = torch.randint(len(pairs.better), (batch,), generator=draw)
        gap = item_scores(scorer, features[pairs.better[chosen]]) - item_scores(scorer, features[pairs.worse[chosen]])
        adam.zero_grad()
        nn.functional.softplus(-gap).mean().backward()
        adam.step()
    scorer.normalize(features)
    with torch.no_grad():
        scores = item_scores(scorer, features)
    return Learned(scorer, float((scores[pairs.better] > scores[pairs.worse]).double().mean()))


def item_scores(scorer: Scorer, features: Tensor) -> Tensor:
    """(N,) scores of items (N, F), or the mean over the T steps of items (N, T, F)."""
    return scorer(features).flatten(1).mean(1) if features.dim() == 3 else scorer(features)


def _nonzero(deviation: Tensor) -> Tensor:
    return torch.where(deviation > 0, deviation, torch.ones_like(deviation))
