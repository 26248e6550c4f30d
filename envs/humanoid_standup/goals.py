"""Humanoids that stand nearly still, for the critic's direction probe."""

import numpy as np

UPRIGHT = (0.5**0.5, 0.0, 0.5**0.5, 0.0)  # turned about y until -x points up
FEET = ((0.0, -0.09, -1.128), (0.0, 0.09, -1.128))  # right and left, from the torso, with straight legs


def goal_states(n, rng):
    qpos, qvel = np.zeros((n, 24)), rng.uniform(-0.1, 0.1, (n, 23))
    qpos[:, :2] = rng.uniform(-0.5, 0.5, (n, 2))
    qpos[:, 2] = rng.uniform(1.2, 1.22, n)
    qpos[:, 3:7] = UPRIGHT
    torso = qpos[:, :3]
    return {
        "qpos": qpos,
        "qvel": qvel,
        "geom_xpos:right_foot": torso + FEET[0],
        "geom_xpos:left_foot": torso + FEET[1],
        "cfrc_ext": np.zeros((n, 14, 6)),
    }
