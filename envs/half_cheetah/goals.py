"""Level cheetahs running forward fast, well ahead of the start, for the critic's direction probe."""

DT = 0.05


def goal_states(n, rng):
    qpos, qvel = rng.uniform(-0.1, 0.1, (n, 9)), rng.uniform(-1.0, 1.0, (n, 9))
    qpos[:, 0] = rng.uniform(50.0, 100.0, n)
    qvel[:, 0] = rng.uniform(2.0, 5.0, n)
    return {"qpos": qpos, "qvel": qvel, "before:qpos": qpos - DT * qvel}
