"""Pendulums that stand upright, nearly still, for the critic's direction probe."""

import numpy as np


def goal_states(n, rng):
    angle, speed = rng.uniform(-0.08, 0.08, n), rng.uniform(-0.3, 0.3, n)
    return {"obs": np.stack([np.cos(angle), np.sin(angle), speed], 1).astype(np.float32)}
