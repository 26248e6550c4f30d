"""A Gymnasium wrapper that pays the designed reward instead of the environment's own. Works with Stable-Baselines3."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import torch
from features import DESCRIPTION, HERE, FeatureReader
from gymnasium import spaces
from interpreter import ExportedReward
from torch import Tensor

ACTION: dict[str, Any] = DESCRIPTION["action"]


def make_env(
    *, params: Mapping[str, float] | None = None, gamma: float = DESCRIPTION["gamma"], **kwargs: Any
) -> gym.Env:
    """The environment that the reward was designed for, paying that reward.

    Args:
        params: values for the reward's parameters, in place of its defaults.
        gamma: discount for potential shaping; use the discount that you train with.
        kwargs: more keyword arguments for `gymnasium.make`, such as `render_mode`.
    """
    made = {"max_episode_steps": DESCRIPTION["horizon"], **DESCRIPTION["kwargs"], **kwargs}
    if (HERE / "robotics.py").is_file():  # lets Gymnasium-Robotics work with newer releases of MuJoCo
        importlib.import_module("robotics").mend_robotics()
    return DesignedReward(gym.make(DESCRIPTION["gymnasium"], **made), params=params, gamma=gamma)


class DesignedReward(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Replaces the reward of `env`.

    `info` gains `reward_components` and `native_reward`. If the reward has a memory, it is appended to the observation:
    to a one-dimensional Box as further numbers, else as a further entry of a dictionary.

    Args:
        env: an environment of the kind in environment.json.
        params: values for the reward's parameters, in place of its defaults.
        gamma: discount for potential shaping; use the discount that you train with.
    """

    def __init__(
        self, env: gym.Env, *, params: Mapping[str, float] | None = None, gamma: float = DESCRIPTION["gamma"]
    ) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, params=params, gamma=gamma)
        gym.Wrapper.__init__(self, env)
        self.reward = ExportedReward.load(HERE / "graph.json", params=params)
        self._reader = FeatureReader(env)
        self._gamma = gamma
        self._features: dict[str, Tensor] | None = None
        self.memory = self.reward.initial_memory(1)
        self._inner_space = env.observation_space
        if self.reward.uses_memory:
            self.observation_space = self._space_with_memory(self._inner_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        self._features = self._reader.read(obs, info)
        self.memory = self.reward.initial_memory(1)
        return self._with_memory(obs), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        if self._features is None:
            raise RuntimeError("call reset() before step()")
        native, seen = self._actions(action)
        obs, native_reward, terminated, truncated, info = self.env.step(native)
        features = self._reader.read(obs, info, native)
        with torch.no_grad():
            after = {**features, "terminated": torch.tensor([bool(terminated)])}
            out = self.reward(self._features, seen, after, memory=self.memory)
            reward = float(out.total)
            if self.reward.has_potential:
                ahead = 0.0 if terminated else self._gamma * float(self.reward.potential(features))
                reward += ahead - float(self.reward.potential(self._features))
        if not np.isfinite(reward):
            parts = {name: float(value) for name, value in out.components.items()}
            raise FloatingPointError(f"the reward is {reward}; its components: {parts}")
        self._features, self.memory = features, out.memory
        more = {
            "reward_components": {name: float(value) for name, value in out.components.items()},
            "native_reward": float(native_reward),
        }
        return self._with_memory(obs), reward, terminated, truncated, {**info, **more}

    def _actions(self, action: Any) -> tuple[Any, Tensor]:
        """The action for the environment, and as the reward sees it (a batch of one row)."""
        space: Any = self.env.action_space
        if ACTION["kind"] == "discrete":
            native = int(action)
            return native, torch.tensor([native - int(space.start)])
        if ACTION["kind"] == "multi_discrete":
            values = np.asarray(action).astype(space.dtype)
            start = np.asarray(getattr(space, "start", 0), dtype=np.int64)
            return values, torch.from_numpy(values.astype(np.int64) - start)[None]
        applied = np.asarray(action, dtype=np.float32).reshape(-1)
        if ACTION["low"] is not None:
            applied = np.clip(applied, np.float32(ACTION["low"]), np.float32(ACTION["high"]))
        return applied.astype(space.dtype, copy=True).reshape(space.shape), torch.from_numpy(applied.copy())[None]

    def flat_memory(self) -> np.ndarray:
        """The memory as numbers, (k,) float32, in the order in which policies see it; empty without memory."""
        parts = [self.memory[name].reshape(-1).float() for name in sorted(self.memory)]
        return torch.cat(parts).numpy() if parts else np.zeros(0, np.float32)

    def _with_memory(self, obs: Any) -> Any:
        if not self.reward.uses_memory:
            return obs
        memory = self.flat_memory()
        if isinstance(self.observation_space, spaces.Box):
            return np.concatenate([np.asarray(obs, dtype=np.float32), memory])
        if isinstance(self._inner_space, spaces.Dict):
            return {**obs, "reward_memory": memory}
        return {"observation": obs, "reward_memory": memory}

    def without_memory(self, obs: Any) -> Any:
        """The environment's own observation inside one of this wrapper's."""
        if not self.reward.uses_memory:
            return obs
        if isinstance(self.observation_space, spaces.Box):
            return obs[: self._inner_space.shape[0]] if self._inner_space.shape else obs
        if isinstance(self._inner_space, spaces.Dict):
            return {name: value for name, value in obs.items() if name != "reward_memory"}
        return obs["observation"]

    def _space_with_memory(self, space: gym.Space) -> gym.Space:
        k = len(self.flat_memory())
        extra = spaces.Box(-np.inf, np.inf, (k,), np.float32)
        if isinstance(space, spaces.Box) and len(space.shape) == 1:
            low, high = np.concatenate([space.low, extra.low]), np.concatenate([space.high, extra.high])
            return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        if isinstance(space, spaces.Dict):
            return spaces.Dict({**space.spaces, "reward_memory": extra})
        return spaces.Dict({"observation": space, "reward_memory": extra})
