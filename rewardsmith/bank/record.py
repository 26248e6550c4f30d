"""Recording a bank: whole episodes of a policy, whatever the number of rows they were run on."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rewardsmith.bank.bank import Bank
from rewardsmith.engine import alive
from rewardsmith.envs import Environment, Metric, VecWorld, score_episodes
from rewardsmith.errors import EnvironmentFault, UsageError
from rewardsmith.types import ActionSpec

log = logging.getLogger(__name__)

Policy = Callable[[Tensor], Tensor]
"""Policy observations (N, obs_dim) to actions (N, A) or (N,), clipped."""

ROWS = 16


def record_bank(
    env: Environment,
    *,
    seed: int,
    episodes: int | None = None,
    transitions: int | None = None,
    policy: Policy | None = None,
    policy_name: str = "",
    metric: Metric | None = None,
    threads: int = 1,
) -> Bank:
    """Record whole episodes: `episodes` of them, or the first ones that have `transitions` steps together.

    Which episodes a bank holds depends on the seed only, and not on their lengths beyond that: unfinished ones are
    dropped (their steps are counted in `env_steps`).

    Args:
        policy: what acts; None: uniformly random actions, drawn per episode.
        metric: measures each episode; None: the environment's default one.

    Raises:
        UsageError: neither or both of `episodes` and `transitions`, or less than one.
        EnvironmentFault: the environment fails, or its own reward is not finite.
    """
    if (episodes is None) == (transitions is None) or (episodes or transitions or 0) < 1:
        raise UsageError("a bank needs a number of episodes or of transitions", hint="give one of the two, at least 1")
    measure = metric or env.metric(None)
    world = env.make_world(min(ROWS, episodes or ROWS), threads=threads)
    try:
        recorder = _Recorder(world, seed, policy)
        while not (count := recorder.finished(episodes, transitions)):
            recorder.step()
        spans = [recorder.spans[k] for k in range(count)]
        rows = torch.cat([torch.full((end - start,), row) for row, start, end in spans])
        steps = torch.cat([torch.arange(start, end) for _, start, end in spans])
        data = {key: torch.stack([step[key] for step in recorder.steps])[steps, rows] for key in recorder.steps[0]}
        obs, next_obs = (world.featurize(_under(data, prefix)) for prefix in ("before.", "after."))
    finally:
        world.close()
    named = policy_name or ("random" if policy is None else "policy")
    _require_paid(env, data["native_reward"])
    if broken := int(data["diverged"].sum()):
        log.warning(
            "in %d of %d recorded episodes of %s (%s) the simulation broke down: an observation was not finite, or the "
            "physics blew up. They were ended there",
            *(broken, count, env.name, named),
        )
    lengths = torch.tensor([end - start for _, start, end in spans])
    episode = torch.repeat_interleave(torch.arange(count), lengths)
    quantities = measure.step(
        next_obs,
        obs,
        action=data["action"],
        native_reward=data["native_reward"],
        terminated=data["terminated"],
        info=_under(data, "info."),
    )
    fitness, success = score_episodes(measure, quantities, lengths)
    return Bank(
        obs=obs,
        action=data["action"],
        next_obs=next_obs | {"terminated": data["terminated"]},
        truncated=data["truncated"],
        episode=episode,
        t=torch.cat([torch.arange(int(length)) for length in lengths]),
        fitness=fitness,
        success=success,
        interface=env.interface.digest,
        env_steps=len(recorder.steps) * world.num_envs,
        env=env.name,
        policy=named,
        goal=measure.about,
    )


def most_recorded(transitions: int, horizon: int) -> int:
    """Env steps that recording so many `transitions` takes at most: what is dropped is younger than one episode."""
    return transitions + ROWS * horizon


def _require_paid(env: Environment, native_reward: Tensor) -> None:
    """Raises: EnvironmentFault: the environment's own reward is not finite in some recorded steps."""
    bad = native_reward[~native_reward.isfinite()]
    if len(bad):
        raise EnvironmentFault(
            f"{env.name} gave a reward that is not finite ({float(bad[0])}) in {len(bad):,} of {len(native_reward):,} "
            "recorded steps",
            hint="correct the reward that its step returns, also where nothing reads it: look for a division by zero",
        )


def _under(data: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}


class _Recorder:
    """Steps all rows together and keeps what happened; each row runs one episode after the other."""

    def __init__(self, world: VecWorld, seed: int, policy: Policy | None) -> None:
        self._world, self._seed, self._policy = world, seed, policy
        self._rngs: dict[int, np.random.Generator] = {}
        self._number = np.arange(world.num_envs)  # the episode each row runs
        self._start = np.zeros(world.num_envs, np.int64)  # and the step it began with
        self._upcoming = world.num_envs
        self.steps: list[dict[str, Tensor]] = []
        self.spans: dict[int, tuple[int, int, int]] = {}  # finished episodes: row, first step, end step
        self._reset(self._number)

    def _reset(self, rows: np.ndarray) -> None:
        streams = [np.random.SeedSequence([self._seed, int(self._number[row])]) for row in rows]
        seeds = np.array([stream.generate_state(1, np.uint64)[0] for stream in streams], np.uint64)
        self._rngs |= {int(row): np.random.default_rng(s.spawn(1)[0]) for row, s in zip(rows, streams, strict=True)}
        self._world.reset(rows, seeds)

    def step(self) -> None:
        """One step of every row."""
        world = self._world
        if self._policy is None:
            action = torch.stack([random_action(world.action, self._rngs[row]) for row in range(world.num_envs)])
        else:
            action = self._policy(world.obs)
        record = {f"before.{key}": value.clone() for key, value in world.fields().items()} | {"action": action.clone()}
        world.step(action)
        alive()
        record |= {f"after.{key}": value.clone() for key, value in world.fields().items()}
        record |= {f"info.{key}": value.clone() for key, value in world.info.items()}
        record |= {key: getattr(world, key).clone() for key in ("terminated", "truncated", "diverged", "native_reward")}
        self.steps.append(record)
        ended = np.flatnonzero((world.terminated | world.truncated).numpy())
        if len(ended) == 0:
            return
        for row in ended:
            self.spans[int(self._number[row])] = (int(row), int(self._start[row]), len(self.steps))
        self._number[ended] = np.arange(self._upcoming, self._upcoming + len(ended))
        self._upcoming += len(ended)
        self._start[ended] = len(self.steps)
        self._reset(ended)

    def finished(self, episodes: int | None, transitions: int | None) -> int:
        """How many of the first episodes are enough, or 0 while they are not all finished."""
        steps = count = 0
        while count in self.spans:
            _, start, end = self.spans[count]
            steps, count = steps + end - start, count + 1
            if count == episodes or (transitions is not None and steps >= transitions):
                return count
        return 0


def random_action(spec: ActionSpec, rng: np.random.Generator) -> Tensor:
    """One uniformly random action, (A,) or (); standard normal where an action has no bounds."""
    if spec.kind == "discrete":
        return torch.tensor(int(rng.integers(spec.n or 1)))
    if spec.kind == "multi_discrete":
        return torch.from_numpy(rng.integers(np.array(spec.nvec), dtype=np.int64))
    if spec.low is None or spec.high is None:
        return torch.from_numpy(rng.standard_normal(spec.shape).astype(np.float32))
    return torch.from_numpy(rng.uniform(spec.low, spec.high).astype(np.float32))
