"""Small Gymnasium environments for tests; importing this module registers them."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Walk(gym.Env):
    """A point on a line that is pushed about.

    | Num | Observation      | Min | Max | Unit         |
    |-----|------------------|-----|-----|--------------|
    | 0   | place (of point) | -9  | 9   | position (m) |
    | 1   | drift            | -1  | 1   | speed (m/s)  |
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, scale=1.0):
        self.observation_space = spaces.Box(np.array([-9, -1], np.float32), np.array([9, 1], np.float32))
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.scale = scale

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.drift = self.np_random.uniform(-1, 1), self.np_random.uniform(-0.1, 0.1)
        return self._obs(), {"x_squared": self.x**2}

    def _obs(self):
        return np.array([self.x, self.drift], np.float32)

    def step(self, action):
        if action[0] > 0.99:
            return np.full(2, np.nan, np.float32), 0.0, False, False, {}
        self.x += self.scale * float(action[0]) + self.drift + 0.01 * self.np_random.standard_normal()
        info = {
            "x_squared": self.x**2,
            "reward_native": 1.0,
            "is_success": self.x > 2,
            "name": "walk",
            "late": np.array([self.x, 1.0]),
        }
        return self._obs(), -abs(self.x), bool(abs(self.x) > 5), False, info

    def render(self):
        assert self.render_mode == "rgb_array"
        return np.full((40, 60, 3), 7, np.uint8)


class Spaces(gym.Env):
    """Returns samples of any observation space and takes any action."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        self.taken = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.taken.append(action)
        return self.observation_space.sample(), 0.0, False, False, {}


class Broken(Walk):
    """Fails on the second step."""

    def step(self, action):
        if getattr(self, "stepped", False):
            raise ValueError("the gearbox is stuck")
        self.stepped = True
        return super().step(np.zeros(1))


class NanReward(Walk):
    """Its reward divides by zero when the point goes right."""

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, float("nan") if action[0] > 0 else reward, *rest


class NoDrawing(Walk):
    """Cannot draw."""

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012


class Odd(gym.Env):
    """Ends its first episode at once; every later step returns `returned`, every later reset `start`."""

    def __init__(self, returned=None, start=None, space=None):
        self.observation_space = space or spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = spaces.Box(-1, 1, (3,), np.float32)
        self.returned, self.start = returned, start
        self.resets = self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.resets += 1
        good = self.observation_space.sample(), {}
        return good if self.resets == 1 or self.start is None else self.start

    def step(self, action):
        self.steps += 1
        return (self.observation_space.sample(), 0.0, True, False, {}) if self.steps == 1 else self.returned


for _name, _class in (
    ("Walk", Walk),
    ("Spaces", Spaces),
    ("NoDrawing", NoDrawing),
    ("NanReward", NanReward),
    ("Odd", Odd),
):
    gym.register(f"Toy{_name}-v0", _class, max_episode_steps=20)
gym.register("ToyUnlimited-v0", Walk)
gym.register("ToyBroken-v0", Broken)
gym.register("ToyThreshold-v0", Spaces, reward_threshold=5.0)
