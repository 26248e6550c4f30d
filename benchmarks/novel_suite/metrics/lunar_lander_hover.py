"""Success: 3.5 to 6.5 m high, within 3 m of the pad's middle, tilted less than 0.4 rad and touching nothing for 60 % of
the 20 s, none of which is cut short. Fitness: the share of time there, minus 0.1 for each metre of mean distance."""

HORIZON = 1000
HEIGHT, TOLERANCE = 5.0, 1.5  # metres
ASIDE = 3.0  # metres; the flags are at 2
TILT = 0.4  # rad
SHARE = 0.6
FAR = 10.0  # metres that a missing step counts as


def step(features, previous):
    x, y = features["position"].unbind(1)
    touching = features["leg_contact"].any(1) | features["crashed"]
    upright = features["angle"].abs() < TILT
    there = ((y - HEIGHT).abs() < TOLERANCE) & (x.abs() < ASIDE) & upright & ~touching
    return {"there": there, "off": ((y - HEIGHT).square() + x.square()).sqrt().clamp(max=FAR), "touching": touching}


def episode(sums, last, high):
    hovered = (sums["length"] >= HORIZON) & (sums["there"] / HORIZON >= SHARE) & (high["touching"] == 0)
    off = sums["off"] + FAR * (HORIZON - sums["length"])
    return (sums["there"] - 0.1 * off) / HORIZON, hovered
