"""Small SVG charts: lines with bands, dots with intervals, sparklines. Colours are CSS classes of the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from rewardsmith.analyze.report.curves import Band, drawable
from rewardsmith.analyze.report.text import safe
from rewardsmith.stats import Interval


class Line(NamedTuple):
    """One line of a chart. `style` names a CSS class of the page: `best`, `ref`, `human`, `other`, `plain`."""

    label: str
    bands: Sequence[Band]
    style: str = "plain"
    show_band: bool = True


class Frame(NamedTuple):
    """Maps data to the pixels of a chart's inner rectangle."""

    x0: float
    x1: float
    y0: float
    y1: float
    left: float
    top: float
    width: float
    height: float

    def x(self, value: float) -> float:
        return self.left + (value - self.x0) / (self.x1 - self.x0) * self.width

    def y(self, value: float) -> float:
        return self.top + (1 - (value - self.y0) / (self.y1 - self.y0)) * self.height


def short(value: float) -> str:
    """A number for an axis or a table cell: 1,200,000 -> 1.2M, 0.0312 -> 0.031."""
    if not math.isfinite(value):
        return "n/a"
    size = abs(value)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:.3g}{unit}" if abs(scaled) < 1000 else f"{scaled:.2e}{unit}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 1e-3 or value == 0:
        return f"{value:.3g}"
    return f"{value:.0e}"


def percent(value: float) -> str:
    """0.931 -> 93 %; `n/a` where it is not a number."""
    return f"{100 * value:.0f} %" if math.isfinite(value) else "n/a"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers inside [low, high], about `count` of them."""
    width = high - low
    if not (math.isfinite(width) and width > 0):
        return [low]
    rough = width / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) if step > 1e-9 else i * step for i in range(first, last + 1)]


def padded(low: float, high: float) -> tuple[float, float]:
    """A range with a little air that never has zero width."""
    room = 0.06 * (high - low)
    if not room > 1e-12 * max(abs(low), abs(high), 1e-30):
        room = abs(low) * 0.1 if abs(low) > 1e-30 else 1.0
    return low - room, high + room


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    size: tuple[int, int] = (460, 250),
    y_range: tuple[float, float] | None = None,
    as_percent: bool = False,
    compact: bool = False,
) -> Markup:
    """Lines over env steps with a band from the lowest to the highest seed. Later lines are drawn on top.

    Without any point it is an empty frame that says so. `compact` leaves out the x labels (small multiples).
    """
    width, height = size
    drawn = [line for line in lines if line.bands]
    left, right, top, bottom = (40, 8, 8, 18) if compact else (46, 12, 10, 34)
    points = [b for line in drawn for b in line.bands]
    if not points:
        return svg(
            width,
            height,
            title,
            Markup('<text class="none" x="{}" y="{}">no curve</text>').format(width / 2, height / 2),
        )
    spread = [b for line in drawn if line.show_band for b in line.bands] or points
    low, high = y_range or padded(min(b.low for b in spread + points), max(b.high for b in spread + points))
    last = max(b.x for b in points)
    frame = Frame(0.0, last if last > 0 else 1.0, low, high, left, top, width - left - right, height - top - bottom)
    parts = [_grid(frame, as_percent=as_percent, compact=compact)]
    parts += [_band(frame, line) for line in drawn if line.show_band]
    parts += [_line(frame, line, as_percent=as_percent) for line in drawn]
    return svg(width, height, title, Markup("").join(parts))


def _grid(frame: Frame, *, as_percent: bool, compact: bool) -> Markup:
    right, bottom = frame.left + frame.width, frame.top + frame.height
    parts = []
    for value in ticks(frame.y0, frame.y1, 3 if compact else 4):
        y = frame.y(value)
        label = percent(value) if as_percent else short(value)
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(number(frame.left), number(y), number(right)))
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
                number(frame.left - 6), number(y + 3.5), label
            )
        )
    for value in ticks(frame.x0, frame.x1, 2 if compact else 5):
        anchor = "end" if frame.x(value) > right - 14 else "start" if compact and value == 0 else "middle"
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                number(frame.x(value)), number(bottom + 14), anchor, short(value)
            )
        )
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(number(frame.left), number(bottom), number(right)))
    if not compact:
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="end">env steps per seed</text>').format(
                number(right), number(bottom + 29)
            )
        )
    return Markup("").join(parts)


def _band(frame: Frame, line: Line) -> Markup:
    if len(line.bands) < 2 or all(b.n < 2 for b in line.bands):
        return Markup("")
    there = [f"{number(frame.x(b.x))} {number(_clip(frame, b.high))}" for b in line.bands]
    back = [f"{number(frame.x(b.x))} {number(_clip(frame, b.low))}" for b in reversed(line.bands)]
    return Markup('<path class="band {}" d="M{}Z"/>').format(line.style, "L".join(there + back))


def _line(frame: Frame, line: Line, *, as_percent: bool) -> Markup:
    end = line.bands[-1]
    value = percent(end.mean) if as_percent else short(end.mean)
    about = safe(f"{line.label}: {value} at {end.x:,.0f} env steps ({end.n} seed{'s' if end.n != 1 else ''})")
    return Markup('<g class="series"><title>{}</title>{}</g>').format(about, _stroke(frame, line))


def _stroke(frame: Frame, line: Line) -> Markup:
    path = "L".join(f"{number(frame.x(b.x))} {number(_clip(frame, b.mean))}" for b in line.bands)
    end = line.bands[-1]
    stroke = Markup('<path class="line {}" d="M{}"/>').format(line.style, path) if len(line.bands) > 1 else Markup("")
    dot = Markup('<circle class="dot {}" cx="{}" cy="{}" r="2.6"/>').format(
        line.style, number(frame.x(end.x)), number(_clip(frame, end.mean))
    )
    return stroke + dot


def _clip(frame: Frame, value: float) -> float:
    return frame.y(min(max(value, frame.y0), frame.y1))


class DotRow(NamedTuple):
    """One row of a dot plot: a score for each seed, and their interval where one may be stated."""

    label: str
    scores: Sequence[float]
    interval: Interval | None
    style: str


def dot_plot(rows: Sequence[DotRow], *, title: str, as_percent: bool) -> Markup:
    """Seeds as dots and the interval as a bar, one row each, on one axis (0 to 100 % with `as_percent`)."""
    finite = [s for row in rows for s in row.scores if drawable(s)]
    if not finite:
        return Markup("")
    width, row_height, left, right, top = 460, 48, 76, 20, 4
    height = top + row_height * len(rows) + 24
    low, high = (-0.02, 1.02) if as_percent else padded(min(finite), max(finite))
    frame = Frame(low, high, 0, 1, left, top, width - left - right, row_height * len(rows))
    parts = []
    for value in ticks(low, high, 4):
        x, label = number(frame.x(value)), percent(value) if as_percent else short(value)
        parts.append(Markup('<path class="grid" d="M{} {}V{}"/>').format(x, top, height - 22))
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(x, height - 8, label)
        )
    for index, row in enumerate(rows):
        y = top + row_height * (index + 0.5)
        parts.append(Markup('<text class="rowname" x="0" y="{}">{}</text>').format(number(y + 4), safe(row.label)))
        parts.append(_dots(frame, row, y, as_percent=as_percent))
    return svg(width, height, title, Markup("").join(parts))


def _dots(frame: Frame, row: DotRow, y: float, *, as_percent: bool) -> Markup:
    parts = []
    if row.interval is not None:
        x0, x1 = frame.x(row.interval.low), frame.x(row.interval.high)
        parts.append(
            Markup('<rect class="bar {}" x="{}" y="{}" width="{}" height="18" rx="9"/>').format(
                row.style, number(min(x0, x1) - 5), number(y - 9), number(abs(x1 - x0) + 10)
            )
        )
        parts.append(
            Markup('<path class="mid {}" d="M{} {}v30"/>').format(
                row.style, number(frame.x(row.interval.point)), number(y - 15)
            )
        )
    seen: dict[str, int] = {}
    for score in sorted(s for s in row.scores if drawable(s)):
        x = number(frame.x(score))
        stack = seen[x] = seen.get(x, -1) + 1  # equal scores side by side, so that every seed can be counted
        offset = (stack + 1) // 2 * (6 if stack % 2 else -6)
        value = percent(score) if as_percent else short(score)
        parts.append(
            Markup('<circle class="seed {}" cx="{}" cy="{}" r="4"><title>{}</title></circle>').format(
                row.style, x, number(y + offset), value
            )
        )
    return Markup("").join(parts)


def sparkline(points: Sequence[Band], *, style: str, y_range: tuple[float, float], last: float) -> Markup:
    """A line without axes for a table cell, on scales shared by the table; nothing where there is no point."""
    if not points:
        return Markup("")
    frame = Frame(0.0, max(last, points[-1].x, 1.0), *y_range, 2, 3, 92, 18)
    return Markup('<svg class="spark" viewBox="0 0 96 24" aria-hidden="true">{}</svg>').format(
        _stroke(frame, Line("", points, style))
    )


def number(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def svg(width: float, height: float, title: str, body: Markup, *, style: str = "") -> Markup:
    """A chart of this size; `style` names a further CSS class."""
    return Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        f"chart {style}".strip(), number(width), number(height), safe(title), body
    )
