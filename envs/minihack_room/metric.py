"""Success: the stairs are reached. Fitness: success minus 0.01 per step."""

STEP_COST = 0.01


def step(features, previous):
    return {"reached": features["reached_stairs"]}


def episode(sums, last):
    return last["reached"] - STEP_COST * sums["length"], last["reached"]
