"""Success: the block is within 5 cm of the goal at the end. Fitness: minus the mean distance."""

NEAR = 0.05


def step(features, previous):
    return {"distance": features["goal_distance"]}


def episode(sums, last):
    return -sums["distance"] / sums["length"], last["distance"] < NEAR
