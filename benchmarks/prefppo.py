"""PrefPPO: PPO trains with a reward that is learned meanwhile, from an oracle's comparisons of what its policy does.

After Christiano et al. (2017, arXiv 1706.03741) and the baseline of B-Pref (Lee et al. 2021, arXiv 2111.03026), but for
its exploration before the first question. Questions are spread evenly over the training, the first come after the first
rollout. They are about the pairs of segments that the ensemble disagrees on most, of several times as many drawn evenly
from the last rollouts. A segment is 25 steps of an episode, or fewer where the episode terminates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.envs import Environment
from rewardsmith.prefer.learned import Comparisons, LearnedReward, Segments, joined
from rewardsmith.reward.program import RewardOutput
from rewardsmith.train import PpoConfig
from rewardsmith.train.policy import Policy
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.train.rewards import Program
from rewardsmith.types import Member

SEGMENT = 25  # steps
RECENT = 10  # rollouts that questions are about
POOL = 4  # pairs drawn for each one that is asked about


class Rollout(NamedTuple):
    """T steps in N environments, and what they are worth to the oracle."""

    inputs: Tensor  # (T, N, width), see `LearnedReward.inputs`
    worth: Tensor  # (T, N)
    terminated: Tensor  # (T, N) bool
    cut: Tensor  # (T, N) bool: another episode begins after this step though nothing terminated


class Watched:
    """A learned reward in training: it pays what it learned, and keeps the last rollouts for questions about them."""

    uses_memory = False
    has_potential = False

    def __init__(self, learned: LearnedReward, oracle: Program, config: PpoConfig) -> None:
        self.learned, self._oracle = learned, oracle
        self._shape = (config.rollout_steps, config.num_envs)
        self.rollouts: deque[Rollout] = deque(maxlen=RECENT)
        self.asked: list[Comparisons] = []
        self._right: list[tuple[float, int]] = []  # of each set of new pairs: the accuracy, and of how many
        self.potential, self.initial_memory = learned.potential, learned.initial_memory

    def __call__(
        self, obs: Mapping[str, Tensor], action: Tensor, next_obs: Mapping[str, Tensor], *, memory: Any = None
    ) -> RewardOutput:
        """The trainer calls it once a rollout, on T * N rows, step by step, and some to fill up."""
        rolled = lambda value: value[: self._shape[0] * self._shape[1]].unflatten(0, self._shape)
        state = lambda features: rolled(self.learned.inputs(features, torch.zeros_like(action)))
        before, after, terminated = state(obs), state(next_obs), rolled(next_obs["terminated"])
        cut = torch.zeros_like(terminated)
        cut[:-1] = (after[:-1] != before[1:]).any(2) & ~terminated[:-1]
        worth = rolled(self._oracle(obs, action, next_obs).total)
        self.rollouts.append(Rollout(rolled(self.learned.inputs(obs, action)), worth, terminated, cut))
        return self.learned(obs, action, next_obs)

    def query(self, count: int, rng: np.random.Generator) -> None:
        """Ask about `count` pairs of segments, and learn from all that was ever asked."""
        if self.learned.members:
            pool = answered(self.rollouts, POOL * count, rng)
            if (accuracy := self.learned.accuracy(pool)) is not None:
                self._right.append((accuracy, int((pool.preferred != 0.5).sum())))
            chosen = self.learned.disagreement(pool.first, pool.second).topk(count).indices
            pairs = Comparisons(pool.first.at(chosen), pool.second.at(chosen), pool.preferred[chosen])
        else:
            pairs = answered(self.rollouts, count, rng)
        self.asked.append(pairs)
        self.learned.fit(joined(self.asked))

    def outcome(self, policy: Policy) -> Learned:
        asked, right = joined(self.asked).preferred, sum(accuracy * count for accuracy, count in self._right)
        decided = sum(count for _, count in self._right)
        return Learned(policy, len(asked), right / decided if decided else None, float((asked == 0.5).float().mean()))


def answered(rollouts: Iterable[Rollout], count: int, rng: np.random.Generator) -> Comparisons:
    """Pairs of segments, drawn evenly, with the oracle's answers.

    Raises: RuntimeError: no episode is long enough for a segment, and none terminated.
    """
    inputs, worth, terminated, cut = (torch.stack(part) for part in zip(*rollouts, strict=True))  # (R, T, N, ...)
    ends = (terminated | cut).unfold(1, SEGMENT, 1)  # (R, T - SEGMENT + 1, N, SEGMENT)
    steps = torch.arange(SEGMENT)
    length = torch.where(ends.any(3), ends.int().argmax(3) + 1, SEGMENT)
    # An episode that its time limit cut short would look like one that ended badly: such segments are not shown.
    ended_itself = terminated.unfold(1, SEGMENT, 1).gather(3, (length - 1)[..., None])[..., 0]
    usable = torch.nonzero((length == SEGMENT) | ended_itself)
    if not len(usable):
        raise RuntimeError(f"no episode has a segment of {SEGMENT} steps")
    sides, sums = [], []
    for _ in range(2):
        r, t, n = usable[torch.from_numpy(rng.integers(len(usable), size=count))].T[..., None]
        counted = steps < length[r, t, n]
        sides.append(Segments(inputs[r, t + steps, n], counted))
        sums.append((worth[r, t + steps, n] * counted).sum(1))
    return Comparisons(sides[0], sides[1], (torch.sign(sums[0] - sums[1]) + 1) / 2)


def timetable(queries: int, iterations: int, sessions: int) -> dict[int, int]:
    """How much is asked after which iteration (from 1): evenly, and all of it."""
    sessions = min(queries, iterations, sessions)
    shares = [b - a for a, b in pairwise(queries * i // sessions for i in range(sessions + 1))]
    return {1 + iterations * i // sessions: share for i, share in enumerate(shares)}


class Learned(NamedTuple):
    """What came of one number of queries.

    Attributes:
        accuracy: on new pairs, drawn evenly, before any of them was asked about; None where all are ties. The oracle's
            answers to those that were not asked about serve this figure alone.
        ties: share of the queries.
    """

    policy: Policy
    queries: int
    accuracy: float | None
    ties: float


def learn_while_training(
    environment: Environment, config: PpoConfig, oracle: Program, queries: Sequence[int], *, seed: int, sessions: int
) -> list[Learned]:
    """One policy for each number of queries, all trained in lockstep for the budget of `config`.

    Args:
        oracle: the reward program that it prefers by. Without memory.
        sessions: how often it is asked, at most.

    Raises: RuntimeError: a training failed, or episodes are too short for segments.
    """
    names = [f"prefppo_{count}" for count in queries]
    watched = [Watched(LearnedReward(environment.interface, seed=seed), oracle, config) for _ in queries]
    world = environment.make_world(len(names) * config.num_envs)
    members = [Member(name, seed) for name in names]
    population = PopulationPPO(world, config, members, dict(zip(names, watched, strict=True)), root=0)
    plans = [timetable(count, config.iterations, sessions) for count in queries]
    rngs = [np.random.default_rng([seed, count]) for count in queries]
    population.restart_episodes()
    for iteration in range(1, config.iterations + 1):
        population.iterate()
        if population.failures:
            raise RuntimeError(f"{environment.name}: {population.failures}")
        for reward, plan, rng in zip(watched, plans, rngs, strict=True):
            if iteration in plan:
                reward.query(plan[iteration], rng)
    policies = [population.policy(i, environment.spec) for i in range(len(names))]
    world.close()
    return [reward.outcome(policy) for reward, policy in zip(watched, policies, strict=True)]
