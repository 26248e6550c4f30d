"""What is written beside pictures says what was paid."""

from __future__ import annotations

import numpy as np
import pytest

from rewardsmith.clips.clip import Clip
from rewardsmith.clips.panel import (
    BACK,
    COSTS,
    LINE,
    MAX_BARS,
    MIN_WIDTH,
    NUMBER,
    PAD,
    PAYS,
    TOTAL,
    Panel,
    _font,
    caption,
    fitting,
    number,
)

WIDTH = 256


def clip_of(components, *, shown=None, dt=0.1, ended="goes on", paid=True) -> Clip:
    components = {name: np.array(values, np.float32) for name, values in components.items()}
    steps = len(next(iter(components.values())))
    return Clip(
        env="tiny", seed=0, dt=dt, fps=10.0, ended=ended,
        shown=np.arange(steps + 1) if shown is None else np.array(shown),
        action=np.zeros((steps, 1), np.float32), features={}, states={},
        total=sum(components.values()) if paid else None, components=components if paid else {},
    )  # fmt: skip


def line(panel: Panel, frame: int, row: int) -> np.ndarray:
    """The pixels of a line of text or bar (LINE, WIDTH, 3); 0 is the time."""
    drawn = panel.draw(frame, WIDTH)
    assert drawn.shape == (panel.height, WIDTH, 3) and drawn.dtype == np.uint8
    return drawn[PAD + row * LINE : PAD + (row + 1) * LINE]


def bar(panel: Panel, frame: int, row: int, color) -> np.ndarray:
    """Columns of a bar of that colour."""
    return np.flatnonzero((line(panel, frame, row) == color).all(2).any(0))


def test_bars_show_sign_and_size_on_one_scale() -> None:
    values = {"speed": [1.0, 2.0, 4.0, 4.0], "effort": [-1.0, -1.0, -1.0, -1.0], "idle": [0.0] * 4}
    panel = Panel(clip_of(values))
    whole = bar(panel, 4, 2, PAYS)
    middle = whole[0] - 1
    shares = [(4, 3, COSTS, 1), (4, 1, TOTAL, 3), (1, 2, PAYS, 1), (2, 2, PAYS, 2), (3, 2, PAYS, 4)]
    for frame, row, color, share in shares:
        drawn = bar(panel, frame, row, color)
        assert len(drawn) == pytest.approx(len(whole) * share / 4, abs=0.5)
        assert (drawn < middle).all() if color == COSTS else (drawn > middle).all()
    assert not len(bar(panel, 4, 4, PAYS)) and not len(bar(panel, 4, 4, COSTS))
    assert not len(bar(panel, 1, 1, TOTAL))  # 1 - 1
    assert not any(len(bar(panel, 0, row, color)) for row in (1, 2, 3) for color in (PAYS, COSTS, TOTAL))


def test_a_frame_shows_the_mean_since_the_frame_before() -> None:
    skipping = Panel(clip_of({"speed": [1.0, 3.0, 6.0, 2.0, 5.0]}, shown=[0, 2, 4, 5]))
    each = Panel(clip_of({"speed": [2.0, 4.0, 5.0]}))
    for frame in (1, 2, 3):
        assert np.array_equal(line(skipping, frame, 2), line(each, frame, 2))


def test_one_rare_bonus_does_not_hide_the_rest() -> None:
    panel = Panel(clip_of({"speed": [1.0] * 40, "bonus": [0.0] * 39 + [100.0]}))
    speed, bonus = bar(panel, 40, 2, PAYS), bar(panel, 40, 3, PAYS)
    assert np.array_equal(speed, bonus) and len(speed) > 20


@pytest.mark.parametrize("values", [[np.nan, 1.0], [np.inf, 1.0], [np.nan, np.nan], [0.0, 0.0], [1e-30, 1e30]])
def test_numbers_of_all_kinds_are_drawn(values) -> None:
    panel = Panel(clip_of({"odd": values, "also": [-1.0, 1.0]}))
    for frame in range(3):
        panel.draw(frame, WIDTH)
    if np.isnan(values[0]):
        assert not len(bar(panel, 1, 2, PAYS)) and (line(panel, 1, 2)[:, -NUMBER:] != BACK).any()


def test_time_and_end_are_told() -> None:
    values = {"speed": [1.0, 1.0]}
    ended, goes_on = (Panel(clip_of(values, ended=ended)) for ended in ("terminated", "goes on"))
    assert not np.array_equal(line(ended, 0, 0), line(ended, 1, 0))
    assert np.array_equal(line(ended, 1, 0), line(goes_on, 1, 0))
    assert not np.array_equal(line(ended, 2, 0), line(goes_on, 2, 0))
    assert Panel(clip_of(values, paid=False)).height < 2 * LINE + 2 * PAD


def test_of_many_components_the_largest_are_shown() -> None:
    many = Panel(clip_of({f"part_{k}": [float(k)] * 3 for k in range(10)}))
    assert many.height == Panel(clip_of({f"part_{k}": [1.0] * 3 for k in range(MAX_BARS)})).height + LINE
    assert list(many._values) == ["total", *(f"part_{k}" for k in range(10 - MAX_BARS, 10))]


@pytest.mark.parametrize("width", [2, 17, 64, 160, 640])
def test_pictures_of_any_width(width) -> None:
    panel = Panel(clip_of({"speed": [1.0, -1.0]}))
    picture = np.full((10, width, 3), 200, np.uint8)
    whole = panel.below(picture, 1)
    assert whole.shape == (10 + panel.height, max(width, MIN_WIDTH), 3)
    assert (whole[:10] == 200).all(2).sum() == 10 * width


def test_texts_are_cut_in_the_middle_and_cleaned() -> None:
    assert fitting("speed", 100) == "speed"
    cut = fitting("penalty_for_the_left_foot", 80)
    assert cut.startswith("penal") and cut.endswith("foot") and ".." in cut and _font(11.0).getlength(cut) <= 80
    assert fitting("a\x1b[31m\n\u202eb", 500) == "a [31m  b"
    assert len(fitting("x" * 10**6, 10**7)) <= 200
    assert caption("r1-0", 60, 16).shape == (16, 60, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.0, "+1"), (-12.34, "-12.3"), (0.0123, "+0.0123"), (-0.00456, "-0.0046"),
        (2e-05, "+2e-05"), (-123456.0, "-1e+05"), (12345.0, "+1.2e+04"), (-1e-300, "-1e-300"), (np.nan, "nan"),
        (-np.inf, "-inf"),
    ],
)  # fmt: skip
def test_numbers_are_short(value, text) -> None:
    assert number(value) == text
    assert _font(11.0).getlength(text) <= NUMBER
