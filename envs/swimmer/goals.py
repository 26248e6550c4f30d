"""Swimmers that move forward, well ahead of the start, for the critic's direction probe."""

DT = 0.04


def goal_states(n, rng):
    qpos, qvel = rng.uniform(-0.5, 0.5, (n, 5)), rng.uniform(-0.5, 0.5, (n, 5))
    qpos[:, 0] = rng.uniform(4.0, 8.0, n)
    qvel[:, 0] = rng.uniform(0.2, 1.5, n)
    return {"qpos": qpos, "qvel": qvel, "before:qpos": qpos - DT * qvel}
