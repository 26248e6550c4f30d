"""Success: within 2 cm of the target at the end. Fitness: minus the mean distance."""

NEAR = 0.02


def step(features, previous):
    return {"distance": features["distance"]}


def episode(sums, last):
    return -sums["distance"] / sums["length"], last["distance"] < NEAR
