"""Episodes of policies that need no learning: doing nothing, repeating one action, going to and fro."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from rewardsmith.bank.bank import Bank
from rewardsmith.bank.record import Policy, record_bank
from rewardsmith.envs import Environment, Metric
from rewardsmith.types import ActionSpec

EPISODES = 3
MAX_HELD = 4  # of more discrete actions than this only the first is held
STROKE = 5  # steps one way before going the other
TO_AND_FRO = "to and fro"


def record_simple(env: Environment, *, seed: int, metric: Metric | None = None) -> dict[str, Bank]:
    """A few episodes of each simple policy, by what it does ("no action", "action 2 all the time", "to and fro")."""
    return {
        name: record_bank(env, episodes=EPISODES, seed=seed, policy=policy, policy_name=name, metric=metric)
        for name, policy in simple_policies(env.interface.action)
    }


def simple_policies(action: ActionSpec) -> Iterator[tuple[str, Policy]]:
    """Names and policies; none of them looks at the observation."""
    if action.kind == "continuous":
        low, high = _bounds(action)
        yield "no action", _hold(torch.zeros(action.shape).clamp(low, high))
        yield TO_AND_FRO, _alternate(low, high)
    elif action.kind == "discrete":
        count = action.n or 1
        for k in range(count if count <= MAX_HELD else 1):
            yield f"action {k} all the time", _hold(torch.tensor(k))
        if count > 1:
            yield TO_AND_FRO, _alternate(torch.tensor(0), torch.tensor(count - 1))
    else:
        nothing, most = torch.zeros(action.shape, dtype=torch.int64), torch.tensor(action.nvec) - 1
        yield "action 0 all the time", _hold(nothing)
        yield TO_AND_FRO, _alternate(nothing, most)


def _bounds(action: ActionSpec) -> tuple[Tensor, Tensor]:
    size = action.shape[0]
    return torch.tensor(action.low or (-1.0,) * size), torch.tensor(action.high or (1.0,) * size)


def _hold(action: Tensor) -> Policy:
    return lambda obs: action.expand(len(obs), *action.shape).clone()


def _alternate(first: Tensor, second: Tensor) -> Policy:
    step = itertools.count()
    return lambda obs: _hold((first, second)[next(step) // STROKE % 2])(obs)
