"""Makes a `Coverage`, what distances between rewards are measured on, from an environment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rewardsmith.bank import Bank, Policy, concatenate, random_action, record_bank
from rewardsmith.engine import alive
from rewardsmith.envs import Environment, VecWorld
from rewardsmith.reward.distances import Coverage

STATES = 512
ACTIONS = 8
SECOND_ACTIONS = 2
RECORDED = 4096  # transitions instead, where a state cannot be restored
ROWS = 16  # episodes side by side, and states tried together

Fields = dict[str, Tensor]
Saved = dict[str, np.ndarray]


def make_coverage(
    env: Environment,
    *,
    seed: int = 0,
    states: int = STATES,
    actions: int = ACTIONS,
    second_actions: int = SECOND_ACTIONS,
    policies: Sequence[Policy] = (),
) -> Coverage:
    """Random actions tried in evenly spaced states of random episodes (and of episodes of `policies`), and once more
    from where they led. Of at most `actions` discrete actions each is tried once. Deterministic for a seed.

    Where the world cannot go back to a state: recorded transitions with their one action, and no second step.
    """
    walkers: list[Policy | None] = [None, *policies]
    world = env.make_world(ROWS)
    try:
        if not world.can_restore:
            each = -(-RECORDED // len(walkers))
            return from_bank(concatenate([record_bank(env, seed=seed, transitions=each, policy=w) for w in walkers]))
        explorer = _Explorer(world, seed)
        walks = [explorer.walk(-(-states // len(walkers)), walker) for walker in walkers]
        before = {name: torch.cat([fields[name] for fields, _ in walks]) for name in walks[0][0]}
        saved = {name: np.concatenate([state[name] for _, state in walks]) for name in walks[0][1]}
        n = len(next(iter(before.values())))
        few = world.action.n if world.action.kind == "discrete" else None
        if few is not None and few <= actions:  # try each of them once
            actions, action = few, torch.arange(few).repeat(n)
        else:
            action = explorer.draw(n * actions)
        after, ended, led = explorer.attempt({k: v.repeat(actions, 0) for k, v in saved.items()}, action)
        second_action, second_obs = None, None
        if world.horizon > 1:  # else every next state is the last one
            second_action = explorer.draw(n * actions * second_actions)
            live = (~ended).repeat_interleave(second_actions)
            there = {name: value.repeat(second_actions, 0)[live.numpy()] for name, value in led.items()}
            onward, stopped, _ = explorer.attempt(there, second_action[live])
            filled = {name: value.repeat_interleave(second_actions, 0) for name, value in after.items()}
            for name, value in filled.items():
                value[live] = onward[name]
            ends = torch.zeros(len(live), dtype=torch.bool)
            ends[live] = stopped
            second_obs = world.featurize(filled) | {"terminated": ends}
            second_obs = {k: v.unflatten(0, (n, actions, second_actions)) for k, v in second_obs.items()}
            second_action = second_action.unflatten(0, (n, actions, second_actions))
        next_obs = world.featurize(after) | {"terminated": ended}
        return Coverage(
            obs=world.featurize(before),
            action=action.unflatten(0, (n, actions)),
            next_obs={name: value.unflatten(0, (n, actions)) for name, value in next_obs.items()},
            second_action=second_action,
            second_obs=second_obs,
            env_steps=explorer.env_steps,
            about=f"{actions} actions tried in each of {n} states of {_kinds(len(policies))}",
        )
    finally:
        world.close()


def from_bank(bank: Bank, limit: int = RECORDED) -> Coverage:
    """Evenly spaced recorded transitions, with the one action that was taken: less than resampled actions tell."""
    rows = torch.linspace(0, len(bank) - 1, min(limit, len(bank))).long()
    return Coverage(
        obs={name: value[rows] for name, value in bank.obs.items()},
        action=bank.action[rows][:, None],
        next_obs={name: value[rows][:, None] for name, value in bank.next_obs.items()},
        env_steps=bank.env_steps,
        about=f"{len(rows)} recorded transitions ({bank.policy}); this environment cannot go back to a state",
    )


class _Explorer:
    """Walks through episodes, keeping states, and tries actions in states that were kept. Counts every row's step."""

    def __init__(self, world: VecWorld, seed: int) -> None:
        self._world, self._rows = world, np.arange(world.num_envs)
        episodes, actions = np.random.SeedSequence(seed).spawn(2)
        self._episodes, self._actions = np.random.default_rng(episodes), np.random.default_rng(actions)
        self.env_steps = 0

    def draw(self, count: int) -> Tensor:
        """Uniformly random actions, (count, ...)."""
        return torch.stack([random_action(self._world.action, self._actions) for _ in range(count)])

    def walk(self, count: int, policy: Policy | None) -> tuple[Fields, Saved]:
        """Raw fields and saved states of `count` states, evenly spaced in time; the next step never is the last one."""
        world, kept, found = self._world, [], 0
        step_of = self._reset(self._rows, np.zeros(len(self._rows), np.int64))
        latest = max(world.horizon - 2, 0)
        stride = max(1, world.horizon * len(self._rows) // count)
        for clock in range(world.horizon * (count + 1)):
            fit = np.flatnonzero(step_of <= latest)
            if clock % stride == 0 and len(fit):
                rows = torch.from_numpy(fit)
                kept.append(({name: value[rows] for name, value in world.fields().items()}, world.get_state(fit)))
                found += len(fit)
            if found >= count:
                break
            self._step(self.draw(len(self._rows)) if policy is None else policy(world.obs))
            step_of = self._reset(np.flatnonzero((world.terminated | world.truncated).numpy()), step_of + 1)
        # all rows are kept at once, so a surplus is spread over them
        chosen = np.linspace(0, found - 1, count).astype(np.int64)
        fields = {name: torch.cat([f[name] for f, _ in kept])[torch.from_numpy(chosen)] for name in kept[0][0]}
        return fields, {name: np.concatenate([s[name] for _, s in kept])[chosen] for name in kept[0][1]}

    def attempt(self, saved: Saved, action: Tensor) -> tuple[Fields, Tensor, Saved]:
        """One action (m, ...) in each of m states: raw fields after it, whether that ended the episode, the state."""
        world, width = self._world, len(self._rows)
        fields, ends, led = [], [], []
        for start in range(0, len(action), width):
            index = np.minimum(np.arange(start, start + width), len(action) - 1)
            count = min(width, len(action) - start)
            world.set_state(self._rows, {name: value[index] for name, value in saved.items()})
            self._step(action[torch.from_numpy(index)])
            fields.append({name: value[:count].clone() for name, value in world.fields().items()})
            ends.append(world.terminated[:count].clone())
            led.append(world.get_state(self._rows[:count]))
        return (
            {name: torch.cat([part[name] for part in fields]) for name in fields[0]},
            torch.cat(ends),
            {name: np.concatenate([part[name] for part in led]) for name in led[0]},
        )

    def _step(self, action: Tensor) -> None:
        self._world.step(action)
        alive()
        self.env_steps += len(self._rows)

    def _reset(self, rows: np.ndarray, step_of: np.ndarray) -> np.ndarray:
        """Start new episodes in `rows`; returns which step each row is at."""
        self._world.reset(rows, self._episodes.integers(2**63, size=len(rows)).astype(np.uint64))
        return np.where(np.isin(self._rows, rows), 0, step_of)


def _kinds(policies: int) -> str:
    return "random episodes" + (f" and episodes of {policies} given policies" if policies else "")
