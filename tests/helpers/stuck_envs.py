"""`tests.helpers.stuck_envs:Stuck-v0`: an environment whose steps do what the variable STUCK says, else nothing bad."""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any

import gymnasium as gym
import numpy as np

ENV = "tests.helpers.stuck_envs:Stuck-v0"
EPISODE = 10  # steps; the first one is part of building the environment


class Stuck(gym.Env):
    """Ten steps along a line, then the end."""

    steps = 0  # of all of this process

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._x, self._t = self.np_random.uniform(-1, 1), 0
        return self._seen(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        Stuck.steps += 1
        match os.environ.get("STUCK"):
            case "sleep":
                time.sleep(600)
            case "sleep later" if Stuck.steps > EPISODE:
                time.sleep(600)
            case "slow once built" if Stuck.steps == EPISODE + 1:
                time.sleep(1.0)
            case "crash later" if Stuck.steps > EPISODE:
                ctypes.string_at(0)
        self._x, self._t = self._x + 0.1 * float(action[0]), self._t + 1
        return self._seen(), -abs(self._x), self._t >= EPISODE, False, {}

    def _seen(self) -> np.ndarray:
        return np.array([self._x], np.float32)


gym.register("Stuck-v0", entry_point="tests.helpers.stuck_envs:Stuck", max_episode_steps=50)
