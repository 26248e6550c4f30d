"""Success: two counter-clockwise turns of the fingertip round the shoulder at 8 to 12 cm from it, where it spends 60 %
of the 1 s. Fitness: turns at that distance, minus the mean distance in decimetres from the circle."""

import math

import torch

RADIUS, TOLERANCE = 0.1, 0.02  # metres
SHARE = 0.6
TURNS = 2.0


def step(features, previous):
    (x, y), (before_x, before_y) = features["fingertip"].unbind(1), previous["fingertip"].unbind(1)
    turned = torch.atan2(before_x * y - before_y * x, before_x * x + before_y * y) / (2 * math.pi)
    off = (torch.hypot(x, y) - RADIUS).abs()
    on = off < TOLERANCE
    return {"turns": turned * on, "on": on, "off": off}


def episode(sums, last):
    circled = (sums["turns"] >= TURNS) & (sums["on"] / sums["length"] >= SHARE)
    return sums["turns"].clamp(max=TURNS) - 10 * sums["off"] / sums["length"], circled
