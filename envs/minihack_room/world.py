"""MiniHack-Room-Random-5x5-v0: what is recorded of the game, and what the policy sees of it."""

import torch

from rewardsmith.envs.glyphs import STAIRS_DOWN, blocked, nearest

FIELDS = ("glyphs:crop", "blstats", "message", "inv_oclasses", "internal", "end_status")


def observation(fields):
    crop = fields["glyphs:crop"]
    offset, seen = nearest(crop, STAIRS_DOWN)
    return torch.cat([offset / 5, seen[:, None], blocked(crop)], 1)
