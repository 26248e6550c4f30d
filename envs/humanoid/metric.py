"""Success: 5 m ahead of the start, which falling (the end of the episode) prevents. Fitness: metres travelled."""

GOAL = 5.0


def step(features, previous):
    return {"x": features["position"][:, 0]}


def episode(sums, last, high):
    return last["x"], high["x"] >= GOAL
