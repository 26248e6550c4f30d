"""What squares of NetHack's map look like: in the tiles that NLE brings along, or in the characters of its terminal.

Both are arrays with one small picture for each of NetHack's glyphs, so that a map of glyphs is a map of pictures.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rewardsmith.envs.glyphs import STONE

log = logging.getLogger(__name__)

SIDE = 16  # pixels of a square's picture
SHEET = (27, 40)  # rows and columns of NLE's sheet of tiles
FONT_SIZE = 15.0

# of the terminal, by NetHack's numbers for colours
COLORS = (
    (85, 85, 85), (205, 49, 49), (34, 160, 34), (170, 110, 40), (70, 100, 230), (188, 63, 188), (17, 168, 205),
    (200, 200, 200), (200, 200, 200), (255, 145, 50), (80, 220, 80), (245, 235, 70), (110, 150, 255),
    (240, 110, 240), (80, 230, 230), (255, 255, 255),
)  # fmt: skip
_NONE, _RED, _GREY, _WHITE = 0, 1, 7, 15
_CORPSES = ord("%")
_UNKNOWN = ord("*")  # rays, explosions and the like, which are gone with the next step
_GHOST = ord("I")


def square_pictures(game: Any) -> np.ndarray:
    """(glyphs, 16, 16, 3) uint8: tiles, or characters where NLE was built without tiles.

    Args:
        game: the `nle.nethack.Nethack` that draws.
    """
    try:
        return tiles(game)
    except Exception as error:  # a boundary: what it raises without its files depends on how it was built
        log.info("NetHack's tiles cannot be had (%s: %s), so maps are drawn in characters", type(error).__name__, error)
        return characters()


def tiles(game: Any) -> np.ndarray:
    """Tiles by glyph, (glyphs, 16, 16, 3) uint8."""
    nethack = importlib.import_module("nle.nethack")
    height, width, colors = nethack.TILE_SHAPE
    rows, columns = SHEET
    sheet = np.zeros((rows * height, columns * width, colors), np.uint8)
    game.setup_tiles()
    game.get_tileset(sheet)
    pictures = sheet.reshape(rows, height, columns, width, colors).swapaxes(1, 2).reshape(-1, height, width, colors)
    by_glyph = pictures[np.asarray(nethack.glyph2tile)]
    by_glyph[STONE] = 0
    return by_glyph


def characters() -> np.ndarray:
    """Coloured characters by glyph, (glyphs, 16, 16, 3) uint8, on black."""
    shown, drawn = glyph_characters(), {}
    for character, color in set(map(tuple, shown.tolist())):
        picture = Image.new("RGB", (SIDE, SIDE))
        pen = ImageDraw.Draw(picture)
        font = ImageFont.load_default(FONT_SIZE)
        pen.text((SIDE / 2, SIDE / 2 + 5), chr(character), fill=COLORS[color], font=font, anchor="ms")
        drawn[character, color] = np.asarray(picture)
    return np.stack([drawn[character, color] for character, color in shown.tolist()])


def glyph_characters() -> np.ndarray:
    """Character and colour of each glyph as the terminal shows them, (glyphs, 2) int64."""
    nethack = importlib.import_module("nle.nethack")
    return np.array([_character(nethack, glyph) for glyph in range(nethack.MAX_GLYPH)])


def _character(nethack: Any, glyph: int) -> tuple[int, int]:
    if glyph == STONE:
        return ord(" "), _NONE
    if nethack.glyph_is_invisible(glyph):
        return _GHOST, _GREY
    if nethack.glyph_is_warning(glyph):
        return ord("0") + nethack.glyph_to_warning(glyph), _RED
    if nethack.glyph_is_monster(glyph):
        monster = nethack.permonst(nethack.glyph_to_mon(glyph))
        return ord(nethack.class_sym.from_mlet(monster.mlet).sym), monster.mcolor
    if nethack.glyph_is_body(glyph):
        return _CORPSES, nethack.permonst(glyph - nethack.GLYPH_BODY_OFF).mcolor
    if nethack.glyph_is_statue(glyph):
        return ord(nethack.class_sym.from_mlet(nethack.permonst(glyph - nethack.GLYPH_STATUE_OFF).mlet).sym), _WHITE
    if nethack.glyph_is_object(glyph):
        thing = nethack.objclass(nethack.glyph_to_obj(glyph))
        return ord(nethack.class_sym.from_oc_class(thing.oc_class).sym), thing.oc_color
    if nethack.glyph_is_cmap(glyph):
        symbol = nethack.symdef.from_idx(nethack.glyph_to_cmap(glyph))
        return symbol.sym, symbol.color
    return _UNKNOWN, _WHITE
