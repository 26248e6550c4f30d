"""The page: what was found as HTML that stands alone, with the numbers that its script reads."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from rewardsmith.analyze.report.charts import percent, short
from rewardsmith.analyze.report.html import render_html, resource
from rewardsmith.analyze.report.text import clean, code_block, diff_block
from rewardsmith.analyze.video import encode_png
from rewardsmith.loop.inspecting.changes import Changes
from rewardsmith.loop.inspecting.episodes import SHAPING, TOTAL, Episode
from rewardsmith.loop.inspecting.measures import Paid, Share
from rewardsmith.loop.inspecting.slices import Dots, Grids, Slices
from rewardsmith.reward.program import RewardProgram
from rewardsmith.types import Finding

_HERE = "rewardsmith.loop.inspecting"
_REPORT = "rewardsmith.analyze.report"
COLUMNS = 400  # of a chart; a step is no narrower than its share, and of more steps each column shows the extremes
WIDTH, HEIGHT = 1000.0, 100.0  # of a chart, in units of its own
DIVERGING = (
    (176, 70, 20),
    (228, 140, 70),
    (250, 214, 180),
    (247, 246, 243),
    (178, 210, 240),
    (80, 145, 205),
    (22, 82, 150),
)
SEQUENTIAL = (
    (68, 1, 84),
    (70, 50, 127),
    (54, 92, 141),
    (39, 127, 142),
    (31, 161, 135),
    (74, 194, 109),
    (159, 218, 58),
    (253, 231, 37),
)
UNKNOWN = (150, 150, 150)
LEVELS = 65_534  # of a grid's numbers in the page
NO_NUMBER = 65_535
READ_ON = {"STARC": 2.0, "EPIC": 1.0, "DARD": 1.0}


class Other(NamedTuple):
    """The reward it is compared with."""

    label: str
    code: str
    paid: Sequence[Paid]
    changes: Changes


class Content(NamedTuple):
    """Everything the page shows."""

    label: str
    env: str
    about: str
    code: str
    program: RewardProgram
    episodes: Sequence[Episode]
    paid: Sequence[Paid]
    components: Sequence[Share]
    unexplained: float
    slices: Slices | None
    findings: Sequence[Finding]
    other: Other | None
    sums: Sequence[object]
    notes: Sequence[str]
    gamma: float


class Track(NamedTuple):
    """One row of an episode's chart."""

    name: str
    number: int  # of the row
    chart: Markup
    high: str
    low: str
    sum: str
    other_sum: str
    style: str  # "" for both rewards, or "gone": only the other reward has it


def page_of(content: Content) -> str:
    """One HTML file that needs nothing but a browser. Every text in `content` may be hostile."""
    return render_html(
        resource(_HERE, "template.html.j2"),
        style=resource(_REPORT, "style.css") + resource(_HERE, "page.css"),
        script=resource(_HERE, "page.js"),
        media=True,
        data=_data(content),
        c=content,
        code=code_block(content.code),
        films=[_uri("video/mp4", episode.film) if episode.film else None for episode in content.episodes],
        tracks=[list(_tracks(content, number)) for number in range(len(content.episodes))],
        ends=[_end(episode) for episode in content.episodes],
        still=_still(content.slices) if content.slices else None,
        mode=_first(content.slices) if content.slices else 0,
        diff=diff_block(content.other.code, content.code) if content.other else None,
        distances=list(_distances(content.other.changes)) if content.other else [],
        moved=list(_moved(content)) if content.other else [],
        percent=percent,
        signed=signed,
        TOTAL=TOTAL,
        SHAPING=SHAPING,
    )


def signed(value: float | None) -> str:
    """A number of three digits, with a minus sign that is one."""
    if value is None or not np.isfinite(value):
        return "n/a"
    text = short(value) if abs(value) >= 1000 else f"{value or 0.0:.3g}"
    return text.replace("-", "\u2212")


# --- episodes -------------------------------------------------------------------------------------------------------


def _rows(content: Content) -> list[str]:
    """The total, the components as the table of shares has them, and those that only the other reward has."""
    names = [share.name for share in content.components]
    return [*names, *(name for name in (content.other.paid[0] if content.other else ()) if name not in names)]


def _tracks(content: Content, number: int) -> Iterator[Track]:
    paid = content.paid[number]
    other = content.other.paid[number] if content.other else {}
    for row, name in enumerate(_rows(content)):
        own, compared = paid.get(name), other.get(name)
        values = [v[np.isfinite(v)] for v in (own, compared) if v is not None]
        joined = np.concatenate(values).astype(np.float64)
        low, high = (float(joined.min()), float(joined.max())) if len(joined) else (0.0, 0.0)
        yield Track(
            name=name,
            number=row,
            chart=_chart(name, own, compared, min(low, 0.0) if low > 0 and low < high / 3 else low, high),
            high=signed(high),
            low=signed(low) if low != high else "",
            sum=signed(float(own.astype(np.float64).sum())) if own is not None else "",
            other_sum=signed(float(compared.astype(np.float64).sum())) if compared is not None else "",
            style="" if own is not None else "gone",
        )


def _chart(name: str, own: np.ndarray | None, other: np.ndarray | None, low: float, high: float) -> Markup:
    """Lines without text: the page writes beside it, because a chart is stretched to its place."""
    if low == high:
        low, high = low - 1.0, high + 1.0
    y = lambda value: HEIGHT * (0.04 + 0.92 * (high - value) / (high - low))
    parts = []
    if low < 0 < high:
        parts.append(Markup('<path class="zero" d="M0 {}H{}"/>').format(f"{y(0.0):.1f}", int(WIDTH)))
    for values, style in ((other, "then"), (own, "now")):
        if values is not None:
            parts.append(Markup('<path class="{}" d="{}"/>').format(style, _path(values, y)))
    return Markup(
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{} in each step">{}</svg>'
    ).format(int(WIDTH), int(HEIGHT), clean(name), Markup("").join(parts))


def _path(values: np.ndarray, y: Callable[[float], float]) -> str:
    """A line through what is finite: step t, counted from 1, is at t / T of the width."""
    steps = len(values)
    if steps > 2 * COLUMNS:
        edges = np.linspace(0, steps, COLUMNS + 1).astype(int)
        points = [
            (int(at) + 1, float(values[at]))
            for a, b in pairwise(edges)
            for at in sorted({a + _least(values[a:b]), a + _least(-values[a:b])})
        ]
    else:
        points = [(step, float(value)) for step, value in enumerate(values, 1)]
    found, up = [], True
    for step, value in points:
        if not np.isfinite(value):
            up = True
            continue
        found.append(f"{'M' if up else 'L'}{WIDTH * step / steps:.1f} {y(value):.1f}")
        if up and steps <= 2 * COLUMNS:
            found.append("h0.01")  # a step alone is a point
        up = False
    return "".join(found)


def _least(values: np.ndarray) -> int:
    return int(np.argmin(np.where(np.isfinite(values), values, np.inf)))


def _end(episode: Episode) -> str:
    clip = episode.clip
    lasts = f", {clip.steps * clip.dt:.3g} s" if clip.dt else ""
    ended = {"goes on": "goes on", "time limit": "ended by the time limit"}.get(clip.ended, clip.ended)
    return f"{clip.steps:,} step{'s' if clip.steps != 1 else ''}{lasts}; {ended}"


# --- the heat map ---------------------------------------------------------------------------------------------------


def scale(values: np.ndarray) -> tuple[float, float, bool]:
    """What the ends of the colours mean, and whether the colours part at zero."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    if low < 0 < high:
        most = max(-low, high)
        return -most, most, True
    return low, high, False


def _grids(slices: Slices) -> list[Grids]:
    return [grids for grids in (slices.still, slices.moved) if grids]


def _first(slices: Slices) -> int:
    """Which grids to show first: those of still states, unless the total is the same in all of them."""
    pair = min(slices.first), max(slices.first)
    return 1 if slices.moved and np.ptp(slices.still[pair][0]) == 0 else 0


def _still(slices: Slices) -> Markup:
    """The total over the first pair, for browsers that run no scripts: an image with one pixel for each cell."""
    across, up = slices.first
    values = _grids(slices)[_first(slices)][min(across, up), max(across, up)][0]
    values = values if across < up else values.T
    low, high, parted = scale(values)
    at = np.nan_to_num((values - low) / (high - low) if high > low else np.zeros_like(values), nan=0.0)
    stops = np.array(DIVERGING if parted else SEQUENTIAL, float)
    place = at.clip(0, 1) * (len(stops) - 1)
    before = np.minimum(place.astype(int), len(stops) - 2)
    part = (place - before)[..., None]
    colors = stops[before] * (1 - part) + stops[before + 1] * part
    colors[~np.isfinite(values)] = UNKNOWN
    return _uri("image/png", encode_png(colors[::-1].round().astype(np.uint8)))


def _uri(kind: str, data: bytes) -> Markup:
    """Not text of others, and longer than that may be."""
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")


# --- what changed ---------------------------------------------------------------------------------------------------


class Distance(NamedTuple):
    name: str
    value: str
    range: str
    about: str


def _distances(changes: Changes) -> Iterator[Distance]:
    about = {
        "STARC": "0 the same best policies, 1.41 unrelated, 2 opposite; the one to read",
        "EPIC": "also looks at transitions that may be impossible",
        "DARD": "looks at what one step changes",
    }
    for name, metric in changes.distances.metrics.items():
        value = metric.matrix[0][1] if metric.matrix else None
        reason = metric.note or "; ".join(f"{who}: {why}" for who, why in metric.left_out.items())
        said = (
            about[name] if value is not None else f"cannot be computed: {reason or 'one of the two has no place in it'}"
        )
        yield Distance(name, "n/a" if value is None else f"{value:.3f}", f"0 to {READ_ON[name]:g}", said)


class Moved(NamedTuple):
    """A component's mean per step by either reward."""

    name: str
    before: str
    after: str
    state: str  # "added", "removed", "changed" or "same"


def _moved(content: Content) -> Iterator[Moved]:
    assert content.other is not None
    for name in _rows(content):
        old, new = (
            np.concatenate([episode[name] for episode in paid]).astype(np.float64) if name in paid[0] else None
            for paid in (content.other.paid, content.paid)
        )
        before, after = ("" if values is None else signed(float(values.mean())) for values in (old, new))
        if old is None or new is None:
            state = "added" if old is None else "removed"
        else:
            state = "same" if np.array_equal(old, new, equal_nan=True) else "changed"
        yield Moved(name, before, after, state)


# --- what the script reads ------------------------------------------------------------------------------------------


def _data(content: Content) -> dict[str, object]:
    slices = content.slices
    axes = slices.axes if slices else ()
    names = _rows(content)
    return {
        "rows": len(names),
        "episodes": [
            {
                "steps": episode.clip.steps,
                "stride": int(episode.clip.shown[1]),
                "fps": episode.clip.fps,
                "dt": episode.clip.dt,
                "now": [_floats(paid.get(name)) for name in names],
                "then": [_floats(content.other.paid[number].get(name)) for name in names] if content.other else None,
                "features": [_floats(episode.clip.features[a.feature][(slice(None), *a.entry)]) for a in axes],
            }
            for number, (episode, paid) in enumerate(zip(content.episodes, content.paid, strict=True))
        ],
        "heat": _heat(slices) if slices else None,
    }


def _heat(slices: Slices) -> dict[str, object]:
    return {
        "axes": [
            {"label": clean(a.label), "unit": clean(a.unit), "low": float(a.grid[0]), "high": float(a.grid[-1])}
            for a in slices.axes
        ],
        "size": len(slices.axes[0].grid),
        "first": slices.first,
        "maps": [
            {f"{i},{k}": [_grid(values) for values in found] for (i, k), found in grids.items()}
            for grids in _grids(slices)
        ],
        "mode": _first(slices),
        "dots": [_dots(dots) for dots in slices.dots],
        "diverging": DIVERGING,
        "sequential": SEQUENTIAL,
        "unknown": UNKNOWN,
    }


def _dots(dots: Dots) -> dict[str, object]:
    return {"at": [_floats(row) for row in dots.at], "paid": [_floats(row) for row in dots.paid]}


def _grid(values: np.ndarray) -> dict[str, object]:
    """Whole numbers from 0 to `LEVELS` between the lowest and the highest: two bytes each, exact to 0.002 %."""
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    wide = (high - low) or 1.0
    levels = np.where(np.isfinite(values), np.round((values.astype(np.float64) - low) / wide * LEVELS), NO_NUMBER)
    return {"low": low, "high": high, "levels": _text(levels.astype("<u2"))}


def _floats(values: np.ndarray | None) -> str | None:
    return None if values is None else _text(np.asarray(values).astype("<f4"))


def _text(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def unpacked(text: str, kind: str = "<f4") -> np.ndarray:
    """What `_data` packed. `kind`: "<f4" for numbers, "<u2" for the levels of a grid."""
    return np.frombuffer(base64.b64decode(text), kind)
