"""Success: the cylinder's middle is on the goal's disc at the end. Fitness: minus the mean distance to its middle."""

NEAR = 0.08


def step(features, previous):
    return {"distance": features["goal_distance"]}


def episode(sums, last):
    return -sums["distance"] / sums["length"], last["distance"] < NEAR
