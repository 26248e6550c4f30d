"""Success: the torso lower than 0.95 m (1.25 is standing) for 70 % of the 8 s, never more than 0.75 m from the start,
without falling. Fitness: the share of time that low, plus that on its leg, minus the metres strayed."""

HORIZON = 1000
LOW = 0.95  # metres; the episode ends below 0.7
SHARE = 0.7
STRAY = 0.75  # metres


def step(features, previous, terminated):
    return {
        "low": (features["torso_height"] < LOW) & ~terminated,
        "stray": features["torso_x"].abs(),
        "fell": terminated,
    }


def episode(sums, last, high):
    up = (sums["length"] >= HORIZON) & (last["fell"] == 0)
    fitness = (sums["low"] + sums["length"]) / HORIZON - high["stray"]
    return fitness, up & (sums["low"] / HORIZON >= SHARE) & (high["stray"] <= STRAY)
