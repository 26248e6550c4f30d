"""What each component of a reward amounts to over episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rewardsmith.loop.inspecting.episodes import SHAPING, TOTAL
from rewardsmith.types import Record

Paid = Mapping[str, np.ndarray]
"""What an episode was paid, see `pay_clip`."""


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's, over the steps in which both are finite; None where one of them does not vary."""
    there = np.isfinite(first) & np.isfinite(second)
    x, y = first[there].astype(np.float64), second[there].astype(np.float64)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


class Share(Record):
    """One component over all steps of the episodes."""

    name: str
    share: float | None  # of the sum of all components' sizes; None for the total and for shaping
    mean: float  # per step
    low: float
    high: float
    fires: float  # share of steps in which it is not zero
    broken: int  # steps in which it is not finite


def shares(paid: Sequence[Paid]) -> list[Share]:
    """The total first, then the components, those that pay most first, then shaping."""
    joined = {name: np.concatenate([episode[name] for episode in paid]).astype(np.float64) for name in paid[0]}
    finite = {name: value[np.isfinite(value)] for name, value in joined.items()}
    sizes = {name: float(np.abs(v).sum()) for name, v in finite.items() if name not in (TOTAL, SHAPING)}
    whole = sum(sizes.values())
    order = [TOTAL, *sorted(sizes, key=lambda name: -sizes[name]), *([SHAPING] if SHAPING in joined else [])]
    return [
        Share(
            name=name,
            share=None if name not in sizes else sizes[name] / whole if whole else 0.0,
            mean=float(finite[name].mean()) if len(finite[name]) else 0.0,
            low=float(finite[name].min(initial=np.inf)) if len(finite[name]) else 0.0,
            high=float(finite[name].max(initial=-np.inf)) if len(finite[name]) else 0.0,
            fires=float(np.mean(joined[name] != 0)),
            broken=len(joined[name]) - len(finite[name]),
        )
        for name in order
    ]


def unexplained(paid: Sequence[Paid]) -> float:
    """The largest difference between the total and the sum of the components, as a share of the largest total."""
    worst = size = 0.0
    for episode in paid:
        parts = [value.astype(np.float64) for name, value in episode.items() if name not in (TOTAL, SHAPING)]
        apart = np.abs(episode[TOTAL] - sum(parts, np.zeros(len(episode[TOTAL]))))
        apart = apart[np.isfinite(apart)]
        worst = max(worst, float(apart.max(initial=0.0)))
        size = max(size, float(np.abs(episode[TOTAL][np.isfinite(episode[TOTAL])]).max(initial=0.0)))
    return worst / size if size else 0.0
