"""Success: the pole is kept up, and the cart on the track, for all 500 steps. Fitness: the share of steps survived."""

HORIZON = 500


def step(features, previous, terminated):
    return {"failed": terminated}


def episode(sums, last):
    return sums["length"] / HORIZON, (sums["length"] >= HORIZON) & (last["failed"] == 0)
