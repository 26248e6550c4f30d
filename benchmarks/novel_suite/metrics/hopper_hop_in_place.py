"""Success: five hops that lift the sole 5 cm within the 8 s, never more than 0.75 m from the start, without falling.
Fitness: the share of time on its leg, plus the share of five hops, minus the metres strayed."""

HORIZON = 1000
HOPS = 5
LIFT = 0.05  # metres
STRAY = 0.75  # metres


def step(features, previous, terminated):
    hop = (previous["foot_height"] < LIFT) & (features["foot_height"] >= LIFT)
    return {"hop": hop, "stray": features["torso_x"].abs(), "fell": terminated}


def episode(sums, last, high):
    up = (sums["length"] >= HORIZON) & (last["fell"] == 0)
    fitness = sums["length"] / HORIZON + sums["hop"].clamp(max=HOPS) / HOPS - high["stray"]
    return fitness, up & (sums["hop"] >= HOPS) & (high["stray"] <= STRAY)
