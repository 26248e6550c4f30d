"""Recorded episodes of unlike lengths, in which each episode has a velocity and a height of its own."""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

from rewardsmith.bank import Bank
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.program import RewardProgram
from tests.reward.corpus.interface import INTERFACE, INTERFACES, transition


def make_bank(episodes: int = 60, *, longest: int = 20, seed: int = 0) -> Bank:
    """Random episodes of 1 to `longest` steps; no metric has measured them."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (episodes,), generator=draw)
    episode = torch.repeat_interleave(torch.arange(episodes), lengths)
    obs, action, next_obs = transition(len(episode), seed)
    next_obs["velocity"] += torch.randn(episodes, 3, generator=draw)[episode]
    next_obs["height"] += torch.randn(episodes, generator=draw)[episode]
    unknown = torch.full((episodes,), torch.nan, dtype=torch.float64)
    return Bank(
        obs=obs,
        action=action,
        next_obs=next_obs,
        truncated=torch.zeros(len(episode), dtype=torch.bool),
        episode=episode,
        t=torch.cat([torch.arange(int(length)) for length in lengths]),
        fitness=unknown,
        success=unknown.clone(),
        interface=INTERFACE.digest,
        env_steps=len(episode),
    )


def measured(bank: Bank, fitness: Tensor, success: Tensor | None = None) -> Bank:
    """The same episodes as a metric that gives these numbers, each (E,), would have them."""
    won = torch.zeros_like(fitness) if success is None else success
    return dataclasses.replace(bank, fitness=fitness.double(), success=won.double())


def mean_per_episode(bank: Bank, values: Tensor) -> Tensor:
    """(E,) float64 means of `values` (M,)."""
    return torch.stack([values[bank.rows(k)].double().mean() for k in range(bank.episodes)])


@functools.cache
def compiled(jail: Jail, code: str, kind: str = "continuous") -> RewardProgram:
    result = compile_reward(code, INTERFACES[kind], jail)
    assert result.program is not None, result.findings
    return result.program


def linear(jail: Jail, terms: dict[str, str], defaults: dict[str, float]) -> RewardProgram:
    """A reward that is the sum of parameters times `terms`, each named like its parameter."""
    parameters = ", ".join(f"{name}={value}" for name, value in defaults.items())
    total = " + ".join(f"{name} * {term}" for name, term in terms.items())
    code = f"def compute_reward(obs, action, next_obs, *, {parameters}):\n    total = {total}\n    return total, {{}}\n"
    return compiled(jail, code)


SPEED = 'next_obs["velocity"][:, 0]'
DRIFT = 'next_obs["velocity"][:, 1]'
HEIGHT = 'next_obs["height"]'

REMEMBERING = """
def initial_memory(n):
    return {"stage": torch.zeros(n), "steps": torch.zeros(n)}

def compute_reward(obs, action, next_obs, memory, *, stage_weight=1.0, speed_weight=1.0, threshold=0.3):
    stage = sequence(memory["stage"], next_obs["height"] > threshold, next_obs["height"] < -threshold)
    steps = memory["steps"] + 1
    staged = stage_weight * stage / steps
    moving = speed_weight * next_obs["velocity"][:, 0]
    return staged + moving, {"staged": staged, "moving": moving}, {"stage": stage, "steps": steps}
"""
