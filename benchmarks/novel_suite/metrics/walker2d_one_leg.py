"""Success: on the right foot with the left one 10 cm up for 70 % of the 8 s, never more than 0.75 m from the start,
without falling. Fitness: the share of time so, plus that on its legs, minus the metres strayed."""

HORIZON = 1000
DOWN, UP = 0.02, 0.1  # metres of clearance
SHARE = 0.7
STRAY = 0.75  # metres


def step(features, previous, terminated):
    right, left = features["foot_heights"].unbind(1)
    return {
        "one_leg": (right < DOWN) & (left > UP) & ~terminated,
        "stray": features["torso_x"].abs(),
        "fell": terminated,
    }


def episode(sums, last, high):
    up = (sums["length"] >= HORIZON) & (last["fell"] == 0)
    fitness = (sums["one_leg"] + sums["length"]) / HORIZON - high["stray"]
    return fitness, up & (sums["one_leg"] / HORIZON >= SHARE) & (high["stray"] <= STRAY)
