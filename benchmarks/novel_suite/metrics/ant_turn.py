"""Success: two whole turns to the left within the 50 s, never more than 1.5 m from the start nor on its side.
Fitness: turns to the left, at most two, plus the share of time survived, minus a tenth of the metres strayed."""

import math

import torch

HORIZON = 1000
TURNS = 2.0
STRAY = 1.5  # metres
LEVEL = 0.3  # 1 is level, 0 on its side


def step(features, previous, terminated):
    (x, y), (before_x, before_y) = features["heading"].unbind(1), previous["heading"].unbind(1)
    return {
        "turns": torch.atan2(before_x * y - before_y * x, before_x * x + before_y * y) / (2 * math.pi),
        "stray": features["position"].norm(dim=1),
        "upright": features["upright"],
        "fell": terminated,
    }


def episode(sums, last, low, high):
    up = (sums["length"] >= HORIZON) & (last["fell"] == 0) & (low["upright"] > LEVEL)
    turned = (sums["turns"] >= TURNS) & (high["stray"] <= STRAY)
    return sums["turns"].clamp(max=TURNS) + sums["length"] / HORIZON - 0.1 * high["stray"], up & turned
