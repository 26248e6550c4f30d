"""Success: slower than 0.5 rad/s within 6 degrees of 15 degrees from hanging, for half of the 10 s and at the end.
Fitness: minus the mean distance from that angle (rad) and from rest (a tenth of the speed in rad/s)."""

import math

LEAN, TOLERANCE = math.radians(15), math.radians(6)
SLOW = 0.5  # rad/s
SHARE = 0.5


def step(features, previous):
    off = (math.pi - features["angle"].abs() - LEAN).abs()
    speed = features["angular_velocity"].abs()
    return {"off": off + 0.1 * speed, "held": (off < TOLERANCE) & (speed < SLOW)}


def episode(sums, last):
    held = (sums["held"] / sums["length"] >= SHARE) & (last["held"] > 0)
    return -sums["off"] / sums["length"], held
