"""Arms at rest with the fingertip on the target, for the critic's direction probe."""

import numpy as np

UPPER, LOWER = 0.1, 0.11


def goal_states(n, rng):
    shoulder, elbow = rng.uniform(-np.pi, np.pi, n), rng.uniform(0.5, 2.8, n) * rng.choice([-1, 1], n)
    forearm = shoulder + elbow
    tip = np.stack(
        [UPPER * np.cos(shoulder) + LOWER * np.cos(forearm), UPPER * np.sin(shoulder) + LOWER * np.sin(forearm)], 1
    )
    target = tip + rng.uniform(-0.008, 0.008, (n, 2))
    height = np.full((n, 1), 0.01)
    return {
        "qpos": np.concatenate([shoulder[:, None], elbow[:, None], target], 1),
        "qvel": np.zeros((n, 4)),
        "xpos:fingertip": np.concatenate([tip, height], 1),
        "xpos:target": np.concatenate([target, height], 1),
    }
