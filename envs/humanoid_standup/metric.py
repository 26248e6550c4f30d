"""Success: standing at the end, the torso above 1 m. Fitness: the mean height of the torso in metres."""

STANDING = 1.0


def step(features, previous):
    return {"height": features["torso_height"]}


def episode(sums, last):
    return sums["height"] / sums["length"], last["height"] > STANDING
