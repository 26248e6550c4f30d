"""Success: upright and still at the end. Fitness: the mean height of the tip."""

import torch


def step(features, previous):
    balanced = (features["angle"].abs() < 0.1) & (features["angular_velocity"].abs() < 0.5)
    return {"height": features["tip_height"], "balanced": balanced.to(torch.float64)}


def episode(sums, last):
    return sums["height"] / sums["length"], last["balanced"]
