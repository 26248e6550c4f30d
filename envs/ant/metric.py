"""Success: 10 m ahead of the start. Fitness: metres travelled forward."""

GOAL = 10.0


def step(features, previous):
    return {"x": features["position"][:, 0]}


def episode(sums, last, high):
    return last["x"], high["x"] >= GOAL
