"""Success: turning counter-clockwise at 3 to 7 rad/s for half of the 10 s, and still turning that way at the end.
Fitness: minus the mean distance of the angular velocity from 5 rad/s."""

SPEED, TOLERANCE = 5.0, 2.0  # rad/s; gravity makes the speed vary by more than the weak motor can level out
SHARE = 0.5  # the motor takes about 2 s to get up to speed


def step(features, previous):
    speed = features["angular_velocity"]
    off = (speed - SPEED).abs()
    return {"off": off, "steady": off < TOLERANCE, "speed": speed}


def episode(sums, last):
    turning = (sums["steady"] / sums["length"] >= SHARE) & (last["speed"] > 0)
    return -sums["off"] / sums["length"], turning
