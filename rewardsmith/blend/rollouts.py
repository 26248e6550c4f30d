"""Rollouts of one policy, with the advantage of every part of a reward apart: they add up as the parts do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rewardsmith.blend.actor import Actor
from rewardsmith.envs import VecWorld
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train.config import PpoConfig
from rewardsmith.train.normalize import ObsNormalizer
from rewardsmith.train.recorder import FieldRecorder
from rewardsmith.train.rewards import pay
from rewardsmith.train.seeding import EpisodeSeeds
from rewardsmith.train.update import advantages


class Rollout(NamedTuple):
    """T steps of N environments; M = T * N rows where nothing else is said."""

    x: Tensor  # (M, inputs), normalized observations
    raw: Tensor  # (M, A), actions as the head drew them
    reward: Tensor  # (T, K, N), of K parts
    done: Tensor  # (T, N) bool
    next_x: Tensor  # (T, N, inputs), after each step, before any reset
    terminated: Tensor  # (T, N) bool
    finished: Tensor  # (E,) returns of the first part over the episodes that ended in this rollout


class Sampler:
    """Runs a policy in a world, rollout after rollout; episodes go on from one to the next."""

    def __init__(
        self, world: VecWorld, actor: Actor, parts: Sequence[RewardProgram], config: PpoConfig, seed: int
    ) -> None:
        self._world, self._actor, self._parts, self._config = world, actor, parts, config
        self._recorder = FieldRecorder(config.rollout_steps, world.num_envs)
        self._normalizer = ObsNormalizer(1, world.obs_dim, "cpu")
        self._seeds = EpisodeSeeds(seed, [seed], world.num_envs)
        self._noise = np.random.default_rng([seed, 1])
        self._returns = torch.zeros(world.num_envs)
        self._reset(np.arange(world.num_envs))

    def _reset(self, rows: np.ndarray) -> None:
        self._world.reset(rows, self._seeds.draw(rows))

    def collect(self, theta: Tensor) -> Rollout:
        """The next rollout, by the policy with these weights."""
        world, steps = self._world, self._config.rollout_steps
        head, shape = self._actor.head, (steps, world.num_envs)
        noise = torch.from_numpy(head.noise(self._noise, *shape))
        seen = torch.zeros(*shape, world.obs_dim)
        after = torch.zeros_like(seen)
        raw = torch.zeros(*shape, head.action_width)
        terminated, done = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        self._recorder.start()
        for t in range(steps):
            self._recorder.record(t, world.fields())
            seen[t] = world.obs
            out, log_std = self._actor(theta, self._normalized(world.obs))
            raw[t] = head.mode(out + head.scale_noise(noise[t][None], log_std))[0]
            world.step(head.applied(raw[t]))
            after[t], terminated[t], done[t] = world.obs, world.terminated, world.terminated | world.truncated
            if len(ended := world.ended()):
                self._recorder.record_final(t, torch.from_numpy(ended), world.fields())
                self._reset(ended)
        self._recorder.record(steps, world.fields())
        reward = self._pay(head.applied(raw), terminated)
        rollout = Rollout(
            self._normalized(seen.flatten(0, 1)), raw.flatten(0, 1), reward, done, self._normalized(after), terminated,
            self._finished(reward[:, 0], done),
        )  # fmt: skip
        self._normalizer.update(seen.flatten(0, 1)[None])
        return rollout

    def _normalized(self, x: Tensor) -> Tensor:
        return self._normalizer(x.flatten(0, -2)[None]).view(x.shape) if self._config.normalize_obs else x

    def _pay(self, action: Tensor, terminated: Tensor) -> Tensor:
        """Rewards (T, K, N) of all parts."""
        transitions = self._recorder.transitions(self._world)
        before, after = ({k: v.flatten(0, 1) for k, v in frame.items()} for frame in transitions)
        after["terminated"] = terminated.flatten()
        paid = [pay(part, before, action.flatten(0, 1), after).total for part in self._parts]
        return torch.stack([total.view(terminated.shape) for total in paid], 1)

    def _finished(self, reward: Tensor, done: Tensor) -> Tensor:
        """Returns of the episodes that ended, from rewards (T, N)."""
        found = []
        for paid, ended in zip(reward, done, strict=True):
            self._returns += paid
            found.append(self._returns[ended])
            self._returns[ended] = 0
        return torch.cat(found)


class Advantages(NamedTuple):
    """Of every row, by each output of the values network: `advantage` and what the values should be, both (M, V)."""

    advantage: Tensor
    target: Tensor


def estimate(rollout: Rollout, reward: Tensor, values: nn.Module, gamma: Tensor, gae_lambda: float) -> Advantages:
    """Generalized advantages of V reward streams with discounts of their own.

    Args:
        reward: (T, V, N).
        values: network for V values, in units of a mean reward: the return times 1 - gamma.
        gamma: (V,), below 1.
    """
    steps, count, envs = reward.shape
    per_return = (1 / (1 - gamma))[:, None]
    shaped = lambda out: out.view(steps, envs, count).transpose(1, 2) * per_return
    here, there = shaped(values(rollout.x)), shaped(values(rollout.next_x.flatten(0, 1)))
    terminated, done = (flag[:, None].expand_as(reward) for flag in (rollout.terminated, rollout.done))
    # What follows an end is handed in as part of the reward, as the trainer does: nothing is carried over an end.
    bootstrap = torch.where(done & ~terminated, there, 0.0) * gamma[:, None]
    following = torch.cat([here, there[-1:]])
    found = [
        advantages(
            (reward + bootstrap)[:, [v]], following[:, [v]], done[:, [v]], gamma=float(gamma[v]), gae_lambda=gae_lambda
        )
        for v in range(count)
    ]
    advantage = torch.cat(found, 1)
    rows = lambda table: table.transpose(1, 2).flatten(0, 1)
    return Advantages(rows(advantage), rows((advantage + here) / per_return))
