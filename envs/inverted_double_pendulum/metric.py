"""Success: the tip stays above 1 m for all 1000 steps. Fitness: the share of steps survived."""

HORIZON = 1000


def step(features, previous, terminated):
    return {"failed": terminated}


def episode(sums, last):
    return sums["length"] / HORIZON, (sums["length"] >= HORIZON) & (last["failed"] == 0)
