"""An environment whose picture kills the process that draws it until a file says that it shall not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Deadly(gym.Env):
    """A point that stays where it is, and prints."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, tamed: str = "") -> None:
        self.observation_space = self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self._tamed = Path(tamed)
        print("made")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}

    def render(self):
        if not self._tamed.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full((40, 60, 3), 7, np.uint8)


gym.register("Deadly-v0", Deadly, max_episode_steps=6)
