"""Success: slower than 0.005 m/step within 5 cm of -0.35 m for half of the 200 steps and at the end.
Fitness: minus the mean distance in metres, twice over for steps missing because the car ran into the flag."""

HORIZON = 200
PLACE, TOLERANCE = -0.35, 0.05  # metres
SLOW = 0.005  # metres a step; the fastest is 0.07
SHARE = 0.5
FLAG = 0.45


def step(features, previous):
    off = (features["position"] - PLACE).abs()
    return {"off": off, "held": (off < TOLERANCE) & (features["velocity"].abs() < SLOW)}


def episode(sums, last):
    missed = HORIZON - sums["length"]
    held = (sums["held"] / HORIZON >= SHARE) & (last["held"] > 0)
    return -(sums["off"] + 2 * missed * (FLAG - PLACE)) / HORIZON, held
