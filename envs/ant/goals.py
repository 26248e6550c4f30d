"""Ants on their feet that run forward, well ahead of the start, for the critic's direction probe."""

import numpy as np

DT = 0.05
STANDING = (0.0, 0.0, 0.55, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 1.0)


def goal_states(n, rng):
    qpos, qvel = STANDING + rng.uniform(-0.1, 0.1, (n, 15)), rng.uniform(-0.5, 0.5, (n, 14))
    qpos[:, 0] = rng.uniform(10.0, 20.0, n)
    qvel[:, 0] = rng.uniform(1.0, 3.0, n)
    torso = qpos[:, :3]
    forces = np.zeros((n, 14, 6))
    return {
        "qpos": qpos,
        "qvel": qvel,
        "xpos:torso": torso,
        "before:xpos:torso": torso - DT * qvel[:, :3],
        "cfrc_ext": forces,
    }
