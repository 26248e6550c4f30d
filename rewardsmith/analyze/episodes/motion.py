"""How an episode passed that neither succeeded nor failed: idle, stuck, oscillating, or simply out of time."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rewardsmith.analyze.episodes.watched import Columns, Watched

Manner = Literal["idle", "stuck", "oscillating", "time_out"]

STILL = 0.05  # of the usual speed: below it nothing moves
SELDOM, OFTEN = 0.05, 0.5  # shares of steps
AWAY = 0.5  # deviations of a feature: who covers more, however slowly, is not at rest
SHORTEST = 12  # steps; there is nothing to tell of shorter episodes
ROUNDS = 8.0  # path over extent: there and back four times
DRIFT = 0.2  # net change over path, of any one feature: more is going somewhere


def manners(watched: Watched) -> list[Manner]:
    """For each episode, (E,), how it passed."""
    speeds = _speeds(watched)
    usual = _usual_speed(watched, speeds)
    found: list[Manner] = []
    for episode in range(watched.bank.episodes):
        rows = watched.bank.rows(episode)
        found.append(manner(watched.states[rows] / watched.scale, speeds[rows] > STILL * usual, watched.columns))
    return found


def manner(states: Tensor, moving: Tensor, columns: Columns) -> Manner:
    """How one episode of L steps passed.

    Args:
        states: (L, C) scaled features.
        moving: (L,) bool.
    """
    length = len(states)
    if length < SHORTEST or not states.shape[1]:
        return "time_out"
    if _share(moving[length // 10 :]) < SELDOM and _covered(states) < AWAY:
        return "idle"
    if _share(moving[-length // 3 :]) < SELDOM and _covered(states[-length // 3 :]) < AWAY:
        return "stuck"
    return "oscillating" if _goes_in_circles(states[length // 2 :], columns) else "time_out"


def _goes_in_circles(states: Tensor, columns: Columns) -> bool:
    """Whether the states cover the same ground again and again and no feature gets anywhere.

    A running gait is periodic too: there some rate (a unit per second) keeps its sign.
    """
    changes = states.diff(dim=0)
    path = changes.abs().sum(0)
    moved = path > 1e-6
    if not moved.any():
        return False
    drift = (states[-1] - states[0]).abs()[moved] / path[moved]
    rates = torch.tensor([unit.endswith("/s") for unit in columns.units])[moved]
    size = states[:, moved].abs().mean(0).clamp(min=1e-9)
    steady = (states[:, moved].mean(0).abs() / size)[rates]
    extent = (states.amax(0) - states.amin(0)).norm()
    rounds = changes.norm(dim=1).sum() / extent.clamp(min=1e-9)
    return bool(rounds >= ROUNDS and (drift <= DRIFT).all() and (steady <= DRIFT).all())


def _speeds(watched: Watched) -> Tensor:
    """(M,) how much each step changes the features: root mean square over the scaled columns."""
    return _step_sizes(watched.states, watched.columns.of(watched.bank.obs), watched.scale)


def _usual_speed(watched: Watched, speeds: Tensor) -> float:
    """Median speed of random actions; where there are none, that of the fastest tenth of the episodes' own steps."""
    if watched.random is None or watched.random_states is None:
        return float(speeds.quantile(0.9)) if len(speeds) else 0.0
    return float(_step_sizes(watched.random_states, watched.columns.of(watched.random.obs), watched.scale).median())


def _step_sizes(after: Tensor, before: Tensor, scale: Tensor) -> Tensor:
    if not after.shape[1]:
        return torch.zeros(len(after), dtype=torch.float64)
    return ((after - before) / scale).square().mean(1).sqrt()


def _covered(states: Tensor) -> float:
    """The widest range that any feature covers."""
    return float((states.amax(0) - states.amin(0)).max())


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())
