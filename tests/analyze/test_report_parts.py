"""The pieces of the report: verdicts, ticks, bands, visible text, diffs."""

from __future__ import annotations

import html
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.analyze.report import ReportHeadline, Scores
from rewardsmith.analyze.report.charts import Line, line_chart, padded, percent, short, ticks
from rewardsmith.analyze.report.curves import bands, kept_scores, success
from rewardsmith.analyze.report.headline import headline_view, verdict_of
from rewardsmith.analyze.report.text import MAX_LINES, clean, code_lines, diff_lines, source_lines
from rewardsmith.analyze.report.view import duration
from rewardsmith.types import CurvePoint, MemberResult
from tests.helpers.results import kept_of

HIGH, LOW = (0.9, 0.95, 1.0, 0.92, 0.97), (0.0, 0.05, 0.0, 0.02, 0.0)


def scores(*success: float) -> Scores:
    return Scores(success=success, fitness=tuple(100 * s for s in success))


@pytest.mark.parametrize(
    ("designed", "sparse", "words", "tone"),
    [
        (scores(*HIGH), scores(*LOW), "beats the sparse one on success", "good"),
        (scores(*LOW), scores(*HIGH), "does worse than the sparse one on success", "bad"),
        (scores(*HIGH), scores(*HIGH), "Cannot tell yet: the intervals", "open"),
        (scores(0.9, 1.0), scores(*LOW), "Cannot tell yet: an answer needs at least 3", "open"),
        (scores(*HIGH), scores(0.0), "Cannot tell yet", "open"),
        (scores(*HIGH), None, "no sparse reference", "open"),
        (scores(*HIGH), Scores(), "no sparse reference", "open"),
        (scores(), scores(*LOW), "Cannot tell yet", "open"),
        (Scores(success=(1,) * 3, fitness=(9, 9, 8)), Scores(success=(1,) * 3, fitness=(1, 2, 1)), "fitness", "good"),
        (Scores(success=(0,) * 3, fitness=(9, 9, 8)), Scores(success=(0,) * 3, fitness=(1, 2, 1)), "No epis", "open"),
        (Scores(fitness=(9, 9, 8)), Scores(fitness=(1, 2, 1)), "The designed reward beats", "good"),
        (Scores(success=(math.nan,) * 4, fitness=(9, 9, 8, 9)), Scores(fitness=(1, 2, 1, 2)), "on fitness", "good"),
        (Scores(success=(math.nan, math.nan, 1.0)), scores(*LOW), "Cannot tell yet: an answer needs", "open"),
    ],
)  # fmt: skip
def test_verdict(designed, sparse, words, tone):
    sentence, got = verdict_of(ReportHeadline(designed=designed, sparse=sparse))
    assert words in sentence
    assert got == tone


def test_few_seeds_are_shown_without_an_interval():
    view = headline_view(ReportHeadline(designed=scores(0.5, 1.0), sparse=scores(0.0)))
    assert view.tiles[0].value == "50 % / 100 %"
    assert "too few for an interval" in view.tiles[0].detail
    assert "bar" not in view.plot


def test_a_headline_without_success_is_about_fitness():
    view = headline_view(
        ReportHeadline(designed=Scores(fitness=(1.0, 2.0, 3.0)), sparse=Scores(fitness=(0.0, 0.1, 0.2)))
    )
    assert view.measure == "fitness"
    assert view.tiles[0].value == "2"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234.0, "1234"), (1_200_000, "1.2M"), (40_000, "40k"), (0.03125, "0.0312"), (-39.06, "-39.1"),
     (math.nan, "n/a"), (math.inf, "n/a"), (1e-9, "1e-09"), (3e13, "3.00e+04G")],
)  # fmt: skip
def test_short(value, text):
    assert short(value) == text


def test_percent():
    assert [percent(v) for v in (0, 0.931, 1, math.nan)] == ["0 %", "93 %", "100 %", "n/a"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0.4 s"), (59, "59 s"), (204, "3 min 24 s"), (7500, "2 h 5 min"), (math.nan, "n/a")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@given(st.floats(-1e29, 1e29), st.floats(-1e29, 1e29))
def test_ticks_lie_inside_and_are_few(a, b):
    low, high = padded(min(a, b), max(a, b))
    assert low < high
    got = ticks(low, high)
    slack = 1e-6 * (high - low)
    assert all(low - slack <= t <= high + slack for t in got)
    assert len(got) <= 9


def point(steps: int, value: float) -> CurvePoint:
    return CurvePoint(env_steps=steps, fitness=0, success=value, episode_length=1, episodes=1)


def of(seed: int, *curve: CurvePoint, state="trained") -> MemberResult:
    return MemberResult(candidate="a", seed=seed, state=state, env_steps=1, wall_s=1, curve=curve, kept=kept_of(curve))


def test_bands_pool_seeds_and_leave_out_what_is_not_a_number():
    a, b = of(0, point(10, 0.0), point(20, 1.0)), of(1, point(10, 0.5), point(20, math.nan))
    assert [tuple(x) for x in bands([a, b], success)] == [(10, 0.25, 0.0, 0.5, 2), (20, 1.0, 1.0, 1.0, 1)]
    assert bands([], success) == []


def test_kept_scores_count_only_seeds_trained_to_the_end():
    assert kept_scores([of(0, point(1, 1.0)), of(1, point(1, 0.0), state="dropped")]) == (1.0, 0.0)
    assert kept_scores([of(1, point(1, 0.0), state="diverged"), of(2)]) is None


def test_an_empty_chart_says_so():
    assert "no curve" in line_chart([Line("a", [])], title="t")


def test_clean_shows_what_cannot_be_seen():
    assert clean("a\x1b[31m\x00\x7f\u202e\r\nb\rc\td") == "a␛[31m␀␡\\u202e\nb\nc\td"
    assert clean("x" * 50, limit=10).startswith("x" * 10 + "\n[... 40 more")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120))
def test_highlighting_keeps_every_line(code):
    shown = [html.unescape(re.sub("<[^>]*>", "", str(line))) for line in code_lines(code)]
    assert shown == source_lines(code)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["a = 1", "b = 2", "", "c"]), max_size=12),
    st.lists(st.sampled_from(["a = 1", "b = 2", "", "d"]), max_size=12),
)
def test_a_diff_holds_all_removed_and_added_lines(old, new):
    a, b = "\n".join(old), "\n".join(new)
    lines = diff_lines(a, b)
    kept = sum(line.kind == "same" for line in lines)
    removed, added = (sum(line.kind == kind for line in lines) for kind in ("removed", "added"))
    if source_lines(a) == source_lines(b):
        assert lines == []
    else:
        assert removed + added > 0
        assert removed - added == len(source_lines(a)) - len(source_lines(b))
        assert kept <= min(len(source_lines(a)), len(source_lines(b)))


def test_a_huge_source_is_cut():
    assert len(source_lines("\n" * 50_000)) == MAX_LINES + 1
    assert len(diff_lines("\n" * 50_000, "x\n" * 25_000)) > 0
