"""Arms beside a cylinder that rests on the goal, for the critic's direction probe."""

import numpy as np

GOAL, TABLE = (0.45, -0.05, -0.323), -0.275


def goal_states(n, rng):
    qpos, qvel = np.zeros((n, 11)), rng.uniform(-0.1, 0.1, (n, 11))
    qpos[:, :7] = np.array([0.0, 0.5, 0.0, -0.5, 0.0, -0.5, 0.0]) + rng.uniform(-0.5, 0.5, (n, 7))
    qpos[:, 7:9] = rng.uniform(-0.03, 0.03, (n, 2))  # of the cylinder, y first
    qvel[:, 7:] = 0.0
    goal = np.tile(GOAL, (n, 1))
    object = np.stack([GOAL[0] + qpos[:, 8], GOAL[1] + qpos[:, 7], np.full(n, TABLE)], 1)
    tip = object + rng.uniform((-0.15, -0.15, 0.0), (0.0, 0.0, 0.05), (n, 3))
    return {"qpos": qpos, "qvel": qvel, "xpos:tips_arm": tip, "xpos:object": object, "xpos:goal": goal}
