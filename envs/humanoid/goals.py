"""Upright humanoids that walk forward, well ahead of the start, for the critic's direction probe."""

import numpy as np

DT = 0.015
FEET = ((-0.01, -0.09, -1.218), (-0.01, 0.09, -1.218))  # right and left, from the torso, with straight legs


def goal_states(n, rng):
    qpos, qvel = np.zeros((n, 24)), rng.uniform(-0.2, 0.2, (n, 23))
    qpos[:, 0] = rng.uniform(5.0, 10.0, n)
    qpos[:, 1] = rng.uniform(-0.5, 0.5, n)
    qpos[:, 2] = rng.uniform(1.295, 1.4, n)
    qpos[:, 3] = 1.0
    qvel[:, 0] = rng.uniform(0.5, 2.0, n)
    torso = qpos[:, :3]
    return {
        "qpos": qpos,
        "qvel": qvel,
        "geom_xpos:right_foot": torso + FEET[0],
        "geom_xpos:left_foot": torso + FEET[1],
        "cfrc_ext": np.zeros((n, 14, 6)),
        "subtree_com:torso": torso,
        "before:subtree_com:torso": torso - DT * qvel[:, :3],
    }
