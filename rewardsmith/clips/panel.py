"""What is written beside pictures: the panel with time and the reward's components, and the lines of contact sheets."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rewardsmith.analyze.video import Frame
from rewardsmith.clips.clip import Clip

MAX_BARS = 6  # components; of more, those that pay most
LINE = 14  # pixels
PAD = 4
MIN_WIDTH = 160  # pixels, for names, bars and numbers to find room
NUMBER = 48  # pixels for one
FONT_SIZE = 11.0
MAX_TEXT = 200  # characters
FULL_BAR = 95.0  # percentile of what a component pays that fills a bar: a rare bonus shall not hide all the rest

BACK, RULE, TEXT, DIM = (24, 27, 33), (70, 76, 88), (235, 237, 240), (160, 167, 178)
PAYS, COSTS, TOTAL = (86, 160, 255), (255, 158, 66), (200, 205, 214)  # told apart without seeing red or green


class Panel:
    """Lines below a clip's frames: the time, and with a reward a bar for the total and for each component.

    A bar is what was paid per step, the mean of the steps since the frame before; to the right of the middle it pays,
    to the left it costs. All bars of a clip have one scale, but for values beyond it, which fill their side: the number
    beside the bar is always true.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        ranked = sorted(clip.components, key=lambda name: -_size(clip.components[name]))
        self._names = [name for name in clip.components if name in ranked[:MAX_BARS]]
        self._left_out = len(ranked) - len(self._names)
        paid = (
            {} if clip.total is None else {"total": clip.total, **{name: clip.components[name] for name in self._names}}
        )
        self._values = {name: _between_frames(value, clip.shown) for name, value in paid.items()}
        self._full = _full_bar(list(self._values.values()))
        lines = 1 + len(self._values) + bool(self._left_out)
        self.height = (lines * LINE + 2 * PAD + 1) // 2 * 2

    def below(self, picture: Frame, frame: int) -> Frame:
        """`picture` (H, W, 3) of that frame with the panel below it; one that is too narrow gets margins."""
        height, width = picture.shape[:2]
        if width < MIN_WIDTH:
            whole = np.full((height, MIN_WIDTH, 3), BACK, np.uint8)
            left = (MIN_WIDTH - width) // 2
            whole[:, left : left + width] = picture
            picture = whole
        return np.concatenate([picture, self.draw(frame, picture.shape[1])])

    def draw(self, frame: int, width: int) -> Frame:
        """The panel alone, (height, width, 3) uint8; `width` is `MIN_WIDTH` or more."""
        image = Image.new("RGB", (width, self.height), BACK)
        pen = ImageDraw.Draw(image)
        _write(pen, (PAD, PAD), self._clip.time_at(frame), TEXT, width // 2)
        if frame == len(self._clip.shown) - 1 and self._clip.ended != "goes on":
            _write(pen, (width - PAD, PAD), self._clip.ended, TEXT, width // 2, right=True)
        elif self._values:
            _write(pen, (width - PAD, PAD), "reward per step", DIM, width // 2, right=True)
        top = PAD + LINE
        for name, values in self._values.items():
            _bar(pen, top, width, name, None if frame == 0 else float(values[frame - 1]), self._full)
            top += LINE
        if self._left_out:
            _write(pen, (PAD, top), f"and {self._left_out} smaller ones", DIM, width)
        return np.asarray(image)


def caption(text: str, width: int, height: int, *, bold: bool = False) -> Frame:
    """A line of text on white, (height, width, 3) uint8."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    color = (20, 24, 30) if bold else (95, 102, 113)
    _write(ImageDraw.Draw(image), (1, 1), text, color, width - 2, size=FONT_SIZE + bold)
    return np.asarray(image)


def _bar(pen: ImageDraw.ImageDraw, top: int, width: int, name: str, value: float | None, full: float) -> None:
    """One line: name, bar, number. `value` None: nothing was paid yet."""
    names, numbers = round(width * 0.46), NUMBER
    left, right = names + PAD, width - numbers - PAD
    middle, half = (left + right) // 2, (right - left) // 2
    _write(pen, (PAD, top), name, TEXT if name == "total" else DIM, names - PAD)
    low, high = top + 3, top + LINE - 4
    pen.line([(left, high + 2), (right, high + 2)], fill=RULE)
    if value is None:
        return
    if np.isfinite(value):
        long = round(half * min(abs(value) / full, 1.0))
        color = TOTAL if name == "total" else PAYS if value > 0 else COSTS
        if long:
            ends = (middle + 1, middle + long) if value > 0 else (middle - long, middle - 1)
            pen.rectangle([ends[0], low, ends[1], high], color)
    pen.line([(middle, low - 1), (middle, high + 2)], fill=RULE)
    _write(pen, (width - PAD, top), number(value), TEXT, numbers, right=True)


def _write(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    color: tuple[int, int, int],
    width: int,
    *,
    right: bool = False,
    size: float = FONT_SIZE,
) -> None:
    """Text whose upper left (or with `right` its upper right) corner is `at`, cut to `width`."""
    pen.text(at, fitting(text, width, size), fill=color, font=_font(size), anchor="ra" if right else "la")


def fitting(text: str, width: int, size: float = FONT_SIZE) -> str:
    """`text` without characters that cannot be printed; if it is wider than `width` pixels, its middle is left out."""
    clean = "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT])
    kept, cut = len(clean), clean
    while kept and _font(size).getlength(cut) > width:
        kept -= 1
        cut = f"{clean[: kept - kept // 2]}..{clean[len(clean) - kept // 2 :]}"
    return cut


def number(value: float) -> str:
    """With its sign, short: "+12.3", "-0.0041", "+2e-05"."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    digits = 3 if 0.01 <= abs(value) < 1000 else 2 if 0.0001 <= abs(value) < 100_000 else 1
    return f"{value:+.{digits}g}"


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _between_frames(values: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(F - 1,) means of values (T,) over the steps between each frame and the one before."""
    return np.add.reduceat(values.astype(np.float64), shown[:-1]) / np.diff(shown)


def _size(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).mean()) if len(finite) else 0.0


def _full_bar(values: list[np.ndarray]) -> float:
    """What fills a bar."""
    sizes = [np.abs(value[np.isfinite(value)]) for value in values]
    sizes = [size for size in sizes if len(size)]
    usual = max((float(np.percentile(size, FULL_BAR, method="lower")) for size in sizes), default=0.0)
    return usual or max((float(size.max()) for size in sizes), default=0.0) or 1.0
