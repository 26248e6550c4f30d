"""Success: the pole stays up for all 500 steps while the cart arrives at either mark twice in turn and never goes more
than half a metre past one. Fitness: the share of steps survived, plus the visits to the less visited mark."""

import torch

HORIZON = 500
MARK, NEAR, BEYOND = 0.5, 0.1, 0.5  # metres from the middle, from a mark, past a mark
VISITS = 2  # of either mark, which takes the cart through the middle at least three times


def step(features, previous, terminated):
    now, before = features["cart_position"], previous["cart_position"]
    arrival = MARK - NEAR
    return {
        "position": now,
        "right": (before < arrival) & (now >= arrival),
        "left": (before > -arrival) & (now <= -arrival),
        "middle": (before < 0) != (now < 0),
        "failed": terminated,
    }


def episode(sums, last, low, high):
    visits = torch.minimum(sums["right"], sums["left"])
    up = (sums["length"] >= HORIZON) & (last["failed"] == 0)
    between = (high["position"] <= MARK + BEYOND) & (low["position"] >= -MARK - BEYOND)
    shuttled = (visits >= VISITS) & (sums["middle"] >= 2 * VISITS - 1)
    return sums["length"] / HORIZON + visits.clamp(max=VISITS), up & between & shuttled
