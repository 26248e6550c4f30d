"""Blocks at rest on the goal with the gripper beside them, for the critic's direction probe."""

import numpy as np

START, TABLE = (1.342, 0.749), 0.425


def goal_states(n, rng):
    goal = np.concatenate([START + rng.uniform(-0.15, 0.15, (n, 2)), np.full((n, 1), TABLE)], 1)
    block = goal + rng.uniform(-0.02, 0.02, (n, 3)) * (1.0, 1.0, 0.0)
    angle = rng.uniform(-np.pi, np.pi, n)
    gripper = block + 0.05 * np.stack([np.cos(angle), np.sin(angle), np.zeros(n)], 1)
    seen = np.zeros((n, 25))
    seen[:, :9] = np.concatenate([gripper, block, block - gripper], 1)
    return {"obs.achieved_goal": block, "obs.desired_goal": goal, "obs.observation": seen}
