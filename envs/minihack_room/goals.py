"""Agents on the stairs in a lit room, for the critic's direction probe."""

import numpy as np

from rewardsmith.envs.glyphs import FLOOR, STONE
from rewardsmith.envs.nle_world import SUCCESS

ROGUE = 337
SIDE, LEFT, TOP = 5, 36, 9  # of the room on the map
NOTHING = 18  # fills the rest of the inventory
CARRIED = (2, 2, 3, 8, 6, 6)


def goal_states(n, rng):
    place = rng.integers(SIDE, size=(n, 2))
    columns = np.arange(-5, 6)[None, None, :] + place[:, 0, None, None]
    rows = np.arange(-5, 6)[None, :, None] + place[:, 1, None, None]
    inside = (columns >= 0) & (columns < SIDE) & (rows >= 0) & (rows < SIDE)
    crop = np.where(inside, FLOOR, STONE).astype(np.int16)
    crop[:, 5, 5] = ROGUE
    status = np.zeros((n, 27), np.int64)
    status[:, 0], status[:, 1] = LEFT + place[:, 0], TOP + place[:, 1]
    status[:, [10, 11]] = 12
    status[:, 20] = rng.integers(1, 20, n)
    internal = np.zeros((n, 9), np.int32)
    internal[:, 4] = 1
    inventory = np.full((n, 55), NOTHING, np.uint8)
    inventory[:, : len(CARRIED)] = CARRIED
    return {
        "glyphs:crop": crop,
        "blstats": status,
        "message": np.zeros((n, 256), np.uint8),
        "inv_oclasses": inventory,
        "internal": internal,
        "end_status": np.full(n, SUCCESS),
    }
