"""NetHack's map as numbers: what the glyphs around the agent mean, as batched functions for packs.

A glyph is NetHack 3.6's number for everything that can be drawn on a square of its map. Distances are in moves, which
may be diagonal.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

REACH = 5
"""How many squares a crop shows in each direction from the agent, which stands in the middle."""

OUTSIDE = 5990
"""Stands for squares beyond the edge of the map; no glyph has this number."""

STONE, LAST_WALL, IRON_BARS, TREE = 2359, 2370, 2376, 2377
FLOOR, STAIRS_UP, STAIRS_DOWN = 2378, 2382, 2383

DIRECTIONS = ((0, -1), (1, 0), (0, 1), (-1, 0), (1, -1), (1, 1), (-1, 1), (-1, -1))
"""East and south of one step in the order of MiniHack's moves: N, E, S, W, NE, SE, SW, NW."""

OBJECT_CLASSES = 18
"""NetHack's object classes: 2 weapons, 3 armour, 4 rings, 5 amulets, 6 tools, 7 food, 8 potions, 9 scrolls,
10 spellbooks, 11 wands, 12 coins, 13 gems, 14 rocks, 15 iron balls, 16 chains, 17 venom."""


_SIDE = 2 * REACH + 1
_NOWHERE = _SIDE * _SIDE
_OFFSETS = np.array([(i % _SIDE - REACH, i // _SIDE - REACH) for i in range(_NOWHERE)] + [(0, 0)], np.float32)
_DISTANCES = np.abs(_OFFSETS[:_NOWHERE]).max(1)
_NEIGHBOURS = np.array([(REACH + south) * _SIDE + REACH + east for east, south in DIRECTIONS])
_SOLID = np.zeros(OUTSIDE + 1, bool)
_SOLID[STONE : LAST_WALL + 1] = _SOLID[IRON_BARS] = _SOLID[TREE] = _SOLID[OUTSIDE] = True

# NumPy inside: a world asks these after every step for a few rows, where torch takes twice as long.


def nearest(crop: Tensor, glyph: int) -> tuple[Tensor, Tensor]:
    """Where the nearest square showing `glyph` lies in crops (M, 11, 11) on the CPU: squares east and south of the
    agent (M, 2) float32, zero where there is none, and whether there is one (M,) bool."""
    shows = crop.numpy().reshape(-1, _NOWHERE) == glyph
    seen = shows.any(1)
    square = np.where(shows, _DISTANCES, _SIDE).argmin(1)
    return torch.from_numpy(_OFFSETS[np.where(seen, square, _NOWHERE)]), torch.from_numpy(seen)


def blocked(crop: Tensor) -> Tensor:
    """Whether the eight squares around the agent, crops (M, 11, 11) on the CPU, hold a wall, stone, a tree, bars or the
    edge of the map: (M, 8) bool, in the order of DIRECTIONS. Unlit squares that nobody has seen yet look like stone."""
    return torch.from_numpy(_SOLID[crop.numpy().reshape(-1, _NOWHERE)[:, _NEIGHBOURS]])


def class_counts(classes: Tensor) -> Tensor:
    """How many stacks of each object class the agent carries: (M, 18) int64 from NLE's `inv_oclasses` (M, 55)."""
    counts = torch.zeros(len(classes), OBJECT_CLASSES + 1, dtype=torch.int64, device=classes.device)
    counts.scatter_add_(1, classes.long(), torch.ones_like(classes, dtype=torch.int64))
    return counts[:, :OBJECT_CLASSES]  # NLE fills its list up with one more class
