"""Success: turning counter-clockwise at 3 to 7 rad/s for 60 % of the 10 s. Fitness: minus the mean distance of the
angular velocity from 5 rad/s."""

SPEED, TOLERANCE = 5.0, 2.0  # rad/s; gravity alone makes the speed vary by more than the weak motor can level out
SHARE = 0.6  # the rest is for getting up to speed


def step(features, previous):
    off = (features["angular_velocity"] - SPEED).abs()
    return {"off": off, "steady": off < TOLERANCE}


def episode(sums, last):
    return -sums["off"] / sums["length"], sums["steady"] / sums["length"] >= SHARE
