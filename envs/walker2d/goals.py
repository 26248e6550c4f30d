"""Standing walkers that move forward fast, well ahead of the start, for the critic's direction probe."""

DT = 0.008


def goal_states(n, rng):
    qpos, qvel = rng.uniform(-0.05, 0.05, (n, 9)), rng.uniform(-0.5, 0.5, (n, 9))
    qpos[:, 0] = rng.uniform(6.0, 12.0, n)
    qpos[:, 1] = rng.uniform(1.2, 1.4, n)
    qvel[:, 0] = rng.uniform(1.5, 3.0, n)
    return {"qpos": qpos, "qvel": qvel, "before:qpos": qpos - DT * qvel}
