"""Success: 6 m ahead of the start, which falling (the end of the episode) prevents. Fitness: metres travelled."""

GOAL = 6.0


def step(features, previous):
    return {"x": features["torso_x"]}


def episode(sums, last, high):
    return last["x"], high["x"] >= GOAL
