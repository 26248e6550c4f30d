"""Named features of MiniHack-Room-Random-5x5-v0, read from NLE's observation.

In the last step of an episode they describe the room as it was when the episode ended.
"""

import torch

from rewardsmith.envs.glyphs import OUTSIDE, STAIRS_DOWN, blocked, class_counts, nearest
from rewardsmith.envs.nle_world import DEATH, SUCCESS
from rewardsmith.types import FeatureSpec

COLUMN, ROW, HIT_POINTS, MAX_HIT_POINTS, TURN = 0, 1, 10, 11, 20  # in blstats
ON_STAIRS = 4  # in internal: stairs down are under the agent
UNSEEN = 10.0

FEATURES = (
    FeatureSpec(
        name="stairs_offset",
        shape=(2,),
        low=-5.0,
        high=5.0,
        unit="squares",
        about="from the agent to the stairs down, east and south; (0, 0) on them or when they are not in sight",
    ),
    FeatureSpec(
        name="stairs_distance",
        low=0.0,
        high=UNSEEN,
        unit="moves",
        about="to the stairs down, diagonal moves included; 0 on them, 10 when they are not in sight",
    ),
    FeatureSpec(name="stairs_visible", dtype="bool", about="the stairs down are in sight; false on them"),
    FeatureSpec(
        name="reached_stairs", dtype="bool", about="the agent stands on the stairs down; this ends the episode"
    ),
    FeatureSpec(name="died", dtype="bool", about="the agent is dead; this ends the episode"),
    FeatureSpec(
        name="blocked",
        shape=(8,),
        dtype="bool",
        about="a wall or solid rock is next to the agent: north, east, south, west, north-east, south-east, "
        "south-west, north-west, the order of the actions",
    ),
    FeatureSpec(name="position", shape=(2,), low=0.0, unit="squares", about="column and row of the agent on the map"),
    FeatureSpec(
        name="turn",
        low=0.0,
        unit="turns",
        about="NetHack's clock; it stands still when a step did nothing, as against a wall",
    ),
    FeatureSpec(name="hit_points", unit="points", about="12 at the start, dead at 0"),
    FeatureSpec(name="max_hit_points", unit="points", about="most the agent can have now"),
    FeatureSpec(
        name="message",
        shape=(256,),
        dtype="uint8",
        unit="characters",
        about="NetHack's message line after the step; empty after an ordinary move",
    ),
    FeatureSpec(
        name="surroundings",
        shape=(11, 11),
        dtype="int64",
        low=0,
        high=OUTSIDE,
        unit="glyphs",
        about="NetHack's glyph numbers of the squares around the agent, rows from north to south, the agent at [5, 5]: "
        "2359 rock, 2360-2370 walls, 2378 floor, 2383 stairs down, 5990 outside the map",
    ),
    FeatureSpec(
        name="inventory",
        shape=(18,),
        dtype="int64",
        low=0,
        high=55,
        unit="stacks",
        about="carried of each object class: 2 weapons, 3 armour, 4 rings, 5 amulets, 6 tools, 7 food, 8 potions, "
        "9 scrolls, 10 spellbooks, 11 wands, 12 coins, 13 gems",
    ),
)


def features(fields):
    crop, status, ended = fields["glyphs:crop"], fields["blstats"], fields["end_status"]
    offset, visible = nearest(crop, STAIRS_DOWN)
    standing = fields["internal"][:, ON_STAIRS] > 0
    return {
        "stairs_offset": offset,
        "stairs_distance": torch.where(visible | standing, offset.abs().amax(1), UNSEEN),
        "stairs_visible": visible,
        "reached_stairs": ended == SUCCESS,
        "died": ended == DEATH,
        "blocked": blocked(crop),
        "position": status[:, [COLUMN, ROW]],
        "turn": status[:, TURN],
        "hit_points": status[:, HIT_POINTS],
        "max_hit_points": status[:, MAX_HIT_POINTS],
        "message": fields["message"],
        "surroundings": crop,
        "inventory": class_counts(fields["inv_oclasses"]),
    }
