"""Success: within 45 degrees of lying on its back, slower than 0.5 m/s and 1 rad/s, for 60 % of the 50 s and at the
end. Fitness: the share of time so, plus how far over it is on average (-1 on its feet, 1 on its back)."""

import math

import torch

OVER = math.cos(math.radians(45))
SLOW, SLOW_TURN = 0.5, 1.0  # m/s, rad/s
SHARE = 0.6


def step(features, previous):
    over = -torch.cos(features["torso_pitch"])
    still = (features["forward_velocity"].abs() < SLOW) & (features["torso_pitch_velocity"].abs() < SLOW_TURN)
    return {"over": over, "lying": (over > OVER) & still}


def episode(sums, last):
    share = sums["lying"] / sums["length"]
    return share + sums["over"] / sums["length"], (share >= SHARE) & (last["lying"] > 0)
