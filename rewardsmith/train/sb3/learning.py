"""One seed in one process: trained on the exported wrapper, measured by the clean evaluator along the way."""

from __future__ import annotations

import importlib
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rewardsmith.engine import Pulse
from rewardsmith.envs import resolve_env
from rewardsmith.errors import RunError
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.store.atomic import write_bytes
from rewardsmith.train.evaluate import EpisodeScores, evaluate
from rewardsmith.train.goals import load_metric
from rewardsmith.train.job import member_folder
from rewardsmith.train.keeping import keep, measured_again
from rewardsmith.train.normalize import CLIP, OBS_EPS
from rewardsmith.train.policy import Policy, PolicyInfo, load_policy
from rewardsmith.train.rewards import memory_width
from rewardsmith.train.sb3.config import ALGORITHMS, algorithm_class
from rewardsmith.train.sb3.driver import Sb3Job
from rewardsmith.train.sb3.weights import finite, policy_of
from rewardsmith.train.seeding import fresh_root, generator
from rewardsmith.types import CurvePoint, MemberResult

MOST_REMEMBERED = 1_000_000  # transitions in a replay buffer, Stable-Baselines3's own default


class Failed(Exception):
    """The candidate or the environment ended the training; `state` is the member's, which names who."""

    def __init__(self, state: str, error: str) -> None:
        super().__init__(error)
        self.state = state


def train_seed(job: Sb3Job) -> MemberResult:
    """Train one seed from its start. It is seeded and single-threaded, so that doing it again ends the same.

    Raises:
        EnvironmentFault: the environment cannot be built, or the metric is broken.
        RunError: the graph cannot be read, or the disk is full.
    """
    torch.set_num_threads(1)
    began = time.monotonic()
    seed = _Seed(job)
    state, error = "trained", ""
    try:
        seed.train()
    except Failed as failure:
        state, error = failure.state, str(failure)
    finally:
        seed.close()
    return seed.result.model_copy(update={"state": state, "error": error, "wall_s": time.monotonic() - began})


class _Seed:
    """A training on its way. `result` says how far it has come."""

    def __init__(self, job: Sb3Job) -> None:
        self._job, self._config = job, job.config
        self._environment = resolve_env(job.env.name, kwargs=dict(job.env.kwargs))
        self._metric = load_metric(self._environment, job.goal)
        self.pulse = Pulse()
        self._world = self._environment.make_world(job.config.eval_episodes)
        self._world.step = self.pulse.after(self._world.step)
        graph = _read_graph(job.graph)
        width = memory_width(RewardProgram(parse_graph(graph, self._environment.interface)))
        self._info = PolicyInfo(
            env=job.env,
            action=self._environment.interface.action,
            obs_dim=self._world.obs_dim,
            memory_width=width,
            hidden=(),
            rescale_actions=False,
            candidate=job.member.candidate,
            seed=job.member.seed,
            memory_graph=graph if width else "",
        )
        self._folder = member_folder(job.out, job.member)
        self.result = MemberResult(
            candidate=job.member.candidate, seed=job.member.seed, state="trained", env_steps=0, wall_s=0.0
        )
        self._note()

    def train(self) -> None:
        """Raises: Failed: it could not be trained to the end."""
        config, algorithm = self._config, ALGORITHMS[self._config.algo]
        seed = int(generator(self._job.seed_root, self._job.member.seed, "init").integers(2**31))
        vec = VecNormalize(
            DummyVecEnv([self._make_env] * config.num_envs),
            norm_reward=config.normalize_reward,
            gamma=config.gamma,
            clip_obs=CLIP,
            epsilon=OBS_EPS,
        )
        arguments = dict(config.arguments)
        if not algorithm.on_policy:  # memory is taken in advance, and never filled beyond the budget
            arguments.setdefault("buffer_size", min(MOST_REMEMBERED, config.env_steps))
        model = algorithm_class(config.algo)("MlpPolicy", vec, gamma=config.gamma, seed=seed, device="cpu", **arguments)
        model.set_logger(Logger(None, []))  # its own would leave an empty folder behind among the temporary ones
        step = config.num_envs * (model.n_steps if algorithm.on_policy else 1)
        total = max(1, config.env_steps // step) * step
        watch = _Watch(self, [total * i // config.evaluations for i in range(1, config.evaluations)])
        try:
            model.learn(total, callback=watch)
        except ValueError as error:  # raised by torch's distributions for parameters that are not finite
            if finite(policy_of(model, vec, config.algo, self._info)):
                raise
            raise Failed("diverged", "the policy's weights stopped being finite") from error
        finally:
            vec.close()
        self.measure(model, watch)
        self._measure_kept()

    def _make_env(self) -> gym.Env:
        exported = str(self._job.exported)
        if exported not in sys.path:
            sys.path.insert(0, exported)  # its modules import each other by their bare names
        wrapper, features = importlib.import_module("gym_wrapper"), importlib.import_module("features")
        env = wrapper.make_env(gamma=self._config.gamma)
        return PolicyView(env, features.flatten_observation, self._info.obs_dim + self._info.memory_width)

    def measure(self, model: Any, watch: _Watch) -> None:
        """Add a point to the curve; save the policy if it is the best. Raises: Failed: it is not finite any more."""
        env_steps = int(model.num_timesteps)
        info = self._info.model_copy(update={"env_steps": env_steps})
        policy = policy_of(model, model.get_vec_normalize_env(), self._config.algo, info)
        if not finite(policy):
            self.result = self.result.model_copy(update={"env_steps": env_steps})
            raise Failed("diverged", "the policy's weights stopped being finite")
        scores = self._scores(policy, self._job.seed_root)
        components, reward = watch.means()
        point = CurvePoint(
            env_steps=env_steps,
            fitness=float(scores.fitness.mean()),
            success=float(scores.success.mean()),
            episode_length=float(scores.length.mean()),
            episodes=len(scores.fitness),
            components=components,
            reward=reward,
        )
        kept = keep(self.result.kept, scores, env_steps)
        if kept.env_steps == env_steps:
            policy.save(self._folder / "policy.safetensors")
        curve = (*self.result.curve, point)
        self.result = self.result.model_copy(update={"env_steps": env_steps, "curve": curve, "kept": kept})
        self._note()

    def _measure_kept(self) -> None:
        """Measure the kept policy on episodes that it was not chosen by."""
        scores = self._scores(load_policy(self._folder / "policy.safetensors"), fresh_root(self._job.seed_root))
        self.result = self.result.model_copy(update={"kept": measured_again(self.result.kept, scores)})

    def _scores(self, policy: Policy, seed: int) -> EpisodeScores:
        (scores,) = evaluate(
            self._environment,
            self._metric,
            [policy],
            episodes=self._config.eval_episodes,
            seed=seed,
            world=self._world,
        )
        self.result = self.result.model_copy(
            update={
                "eval_env_steps": self.result.eval_env_steps + scores.env_steps,
                "episodes": self.result.episodes + len(scores.fitness),
                "broken_episodes": self.result.broken_episodes + scores.broken,
            }
        )
        return scores

    def _note(self) -> None:
        """Write the curve where others follow it; at the start, over that of a training that was killed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(point.model_dump_json() + "\n" for point in self.result.curve)
        write_bytes(self._folder / "metrics.jsonl", lines.encode())

    def close(self) -> None:
        self._world.close()


class _Watch(BaseCallback):
    """Measures at the given env steps, and keeps the means of what the reward paid since the last time."""

    def __init__(self, seed: _Seed, points: list[int]) -> None:
        super().__init__()
        self._seed, self._points = seed, points
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._reward, self._rows = 0.0, 0

    def _on_step(self) -> bool:
        self._seed.pulse.beat()
        infos = self.locals["infos"]
        for info in infos:
            for name, value in info["reward_components"].items():
                self._sums[name] += value
            self._reward += info["designed_reward"]
        self._rows += len(infos)
        if self._points and self.num_timesteps >= self._points[0]:
            self._points = [p for p in self._points if p > self.num_timesteps]
            self._seed.measure(self.model, self)
        return True

    def means(self) -> tuple[dict[str, float], float]:
        """Per step since the last call: the components, and the reward in its own scale."""
        rows = max(1, self._rows)
        means = {name: value / rows for name, value in self._sums.items()}, self._reward / rows
        self._sums.clear()
        self._reward, self._rows = 0.0, 0
        return means


class PolicyView(gym.Wrapper):
    """The exported environment as our policies see it: flat, with the reward's memory behind; choices count from 0.

    Faults of the reward and of the environment leave it as `Failed`.
    """

    def __init__(self, env: gym.Env, flatten: Any, inputs: int) -> None:
        super().__init__(env)
        self._exported: Any = env
        self._flatten = flatten
        self.observation_space = spaces.Box(-np.inf, np.inf, (inputs,), np.float32)
        space: Any = env.action_space
        self._start = np.asarray(getattr(space, "start", 0))
        if isinstance(space, spaces.Discrete):
            self.action_space = spaces.Discrete(space.n)
        elif isinstance(space, spaces.MultiDiscrete):
            self.action_space = spaces.MultiDiscrete(space.nvec)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        try:
            obs, info = self.env.reset(seed=seed, options=options)
        except Exception as error:  # a boundary: whatever an environment raises
            raise Failed("crashed_env", f"{type(error).__name__}: {error}") from error
        return self._seen(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if not isinstance(self.action_space, spaces.Box):
            action = action + self._start
        try:
            obs, reward, terminated, truncated, info = self.env.step(action)
        except FloatingPointError as error:  # the wrapper's word for a reward that is not finite
            raise Failed("crashed_reward", str(error)) from error
        except Exception as error:  # a boundary, as above
            raise Failed("crashed_env", f"{type(error).__name__}: {error}") from error
        return self._seen(obs), reward, terminated, truncated, {**info, "designed_reward": float(reward)}

    def _seen(self, obs: Any) -> np.ndarray:
        own = self._flatten(self._exported.without_memory(obs))
        return np.concatenate([own, self._exported.flat_memory()]).astype(np.float32)


def _read_graph(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot read the reward graph {path}: {error.strerror}", hint="check it again first") from error
