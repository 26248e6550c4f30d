"""Recorded episodes as a metric judges them afterwards."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rewardsmith.bank import Bank
from rewardsmith.envs import Metric, score_episodes


class Judged(NamedTuple):
    """Of E episodes with M transitions in all."""

    fitness: Tensor  # (E,) float64
    success: Tensor  # (E,) float64, 0 to 1
    lengths: Tensor  # (E,) int64, steps
    quantities: dict[str, Tensor]  # what was measured in each step, each (M,)


def judge(metric: Metric, bank: Bank) -> Judged:
    """Every episode of the bank. `metric` may not ask for native rewards or the world's info: they are not recorded."""
    lengths = torch.bincount(bank.episode, minlength=bank.episodes)
    quantities = metric.step(
        bank.next_obs,
        bank.obs,
        action=bank.action,
        native_reward=torch.zeros(len(bank)),
        terminated=bank.terminated,
    )
    return Judged(*score_episodes(metric, quantities, lengths), lengths, quantities)
