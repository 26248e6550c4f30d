"""Landers at rest on the pad, for the critic's direction probe."""

import numpy as np


def goal_states(n, rng):
    body = np.zeros((n, 6))
    body[:, 0] = 10.0 + rng.uniform(-1.5, 1.5, n)
    body[:, 1] = 400 / 30 / 4 + 18 / 30 + rng.uniform(-0.02, 0.0, n)
    body[:, 4] = rng.uniform(-0.02, 0.02, n)
    return {
        "body": body,
        "legs": np.ones((n, 2), bool),
        "engines": np.zeros((n, 2)),
        "awake": np.zeros(n, bool),
        "game_over": np.zeros(n, bool),
    }
