"""Walkers on their feet at the end of the course, for the critic's direction probe."""

import numpy as np


def goal_states(n, rng):
    hull, joints = np.zeros((n, 6)), np.zeros((n, 4, 2))
    hull[:, 0] = rng.uniform(88.7, 88.9, n)
    hull[:, 1] = rng.uniform(5.0, 5.6, n)
    hull[:, 2] = rng.uniform(2.0, 5.0, n)
    hull[:, 4] = rng.uniform(-0.1, 0.1, n)
    joints[:, :, 0] = np.array([0.2, -1.0, -0.2, -0.9]) + rng.uniform(-0.1, 0.1, (n, 4))
    rays = np.cos(0.15 * np.arange(10)) * 5.33
    return {
        "hull": hull,
        "joints": joints,
        "feet": np.tile([True, False], (n, 1)),
        "lidar": np.minimum((hull[:, 1:2] - 3.33) / rays, 1.0),
        "game_over": np.zeros(n, bool),
    }
