"""`tests.helpers.lava_grid:LavaGrid-v0`: a small grid with a goal behind a wall of lava that can be walked around.

The agent sees in one direction only and may look elsewhere while it walks, as in Auto MC-Reward (arXiv 2312.09238).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

ENV = "tests.helpers.lava_grid:LavaGrid-v0"
HORIZON = 40  # steps
MAP = (
    ".......",
    "...L...",
    "...L...",
    "S..L..G",
    "S..L...",
)
VIEW = 3  # cells
NORTH, EAST, SOUTH, WEST = range(4)
MOVES = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])


def _cells(letter: str) -> np.ndarray:
    return np.array([(x, y) for y, row in enumerate(MAP) for x, cell in enumerate(row) if cell == letter])


STARTS, LAVA, GOAL = map(_cells, "SLG")
LAST = np.array([len(MAP[0]), len(MAP)]) - 1


class LavaGrid(gym.Env):
    """A grid with lava. An action is a step and a glance, each to north, east, south or west.

    Episodes end at the goal (success) and in lava (failure).
    """

    action_space = MultiDiscrete([4, 4])
    observation_space = Dict(
        {
            "position": Box(np.zeros(2, np.float32), LAST.astype(np.float32)),
            "facing": Discrete(4),
            "goal_distance": Box(0.0, float(LAST.sum()), ()),
            "lava_distance": Box(0.0, float(LAST.sum()), ()),
            "sees_lava": MultiBinary(1),
        }
    )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self._at, self._facing = self.np_random.choice(STARTS), int(self.np_random.integers(4))
        return seen(*self._at, self._facing), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        self._at, self._facing = np.clip(self._at + MOVES[action[0]], 0, LAST), int(action[1])
        now = seen(*self._at, self._facing)
        succeeded = now["goal_distance"] == 0
        return now, float(succeeded), succeeded or now["lava_distance"] == 0, False, {"is_success": succeeded}


@cache
def seen(x: int, y: int, facing: int) -> dict[str, Any]:
    """What is observed at a cell."""
    at = np.array([x, y])
    view = at + np.arange(1, VIEW + 1)[:, None] * MOVES[facing]
    return {
        "position": at.astype(np.float32),
        "facing": facing,
        "goal_distance": steps_to(at, GOAL),
        "lava_distance": steps_to(at, LAVA),
        "sees_lava": np.array([min(steps_to(cell, LAVA) for cell in view) == 0], np.int8),
    }


def steps_to(cell: np.ndarray, places: np.ndarray) -> int:
    """Steps from a cell (2,) to the nearest of `places`, (n, 2)."""
    return int(np.abs(cell - places).sum(-1).min())


gym.register("LavaGrid-v0", entry_point="tests.helpers.lava_grid:LavaGrid", max_episode_steps=HORIZON)
