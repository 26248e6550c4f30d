"""Grippers at rest on the goal, for the critic's direction probe."""

import numpy as np

START = (1.342, 0.749, 0.535)


def goal_states(n, rng):
    goal = START + rng.uniform(-0.15, 0.15, (n, 3))
    gripper = goal + rng.uniform(-0.02, 0.02, (n, 3))
    still = np.zeros((n, 7))
    return {
        "obs.achieved_goal": gripper,
        "obs.desired_goal": goal,
        "obs.observation": np.concatenate([gripper, still], 1),
    }
