"""The first thing a reader sees: did the designed reward beat the sparse one, as firmly as the seeds allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from rewardsmith.analyze.report.charts import DotRow, dot_plot, percent, short
from rewardsmith.analyze.report.curves import drawable
from rewardsmith.analyze.report.data import ReportHeadline, Scores
from rewardsmith.stats import MIN_SEEDS, Interval, decide, interval

_ROWS = (
    ("designed", "best", "Designed reward"),
    ("start", "ref", "Start reward"),
    ("sparse", "ref", "Sparse reward"),
    ("human", "human", "Human reward"),
)


class Tile(NamedTuple):
    """One reward with its score as text: `value` large, `detail` small."""

    label: str
    style: str
    value: str
    detail: str
    second: str  # the other measure, in small print


class HeadlineView(NamedTuple):
    verdict: str
    tone: str  # good, bad, open: a CSS class
    measure: str  # "success" or "fitness"
    tiles: list[Tile]
    plot: Markup


def headline_view(headline: ReportHeadline) -> HeadlineView:
    """Success where anybody has a success to show, else fitness; the other measure stays beside it."""
    present = [(key, style, label, scores) for key, style, label in _ROWS if (scores := getattr(headline, key))]
    measure = "success" if any(drawable(s) for *_, scores in present for s in scores.success) else "fitness"
    other = "fitness" if measure == "success" else "success"
    tiles = [
        Tile(label, style, *_score_text(scores, measure), second=_second(scores, other))
        for _, style, label, scores in present
    ]
    rows = [
        DotRow(label.split()[0], getattr(scores, measure), _interval(getattr(scores, measure)), style)
        for _, style, label, scores in present
    ]
    verdict, tone = verdict_of(headline)
    plot = dot_plot(rows, title=f"{measure} of each training seed", as_percent=measure == "success")
    return HeadlineView(verdict, tone, measure, tiles, plot)


def verdict_of(headline: ReportHeadline) -> tuple[str, str]:
    """One sentence and its tone. Only disjoint intervals over seeds count, on success first, then on fitness."""
    ours, theirs = headline.designed, headline.start or headline.sparse
    if theirs is None or not (theirs.success or theirs.fitness):
        return "There is no sparse reference to compare with.", "open"
    if min(_seeds(ours), _seeds(theirs)) < MIN_SEEDS:
        return f"Cannot tell yet: an answer needs at least {MIN_SEEDS} training seeds of each reward.", "open"
    answer, measure = decide(_measured(ours), _measured(theirs))
    name = "start" if headline.start else "sparse"
    if answer == "better" and never_succeeds(_finite(ours.success)):
        return f"No episode with the designed reward succeeded. It beats the {name} one on {measure} alone.", "open"
    if answer == "better":
        return f"The designed reward beats the {name} one on {measure}.", "good"
    if answer == "worse":
        return f"The designed reward does worse than the {name} one on {measure}.", "bad"
    return "Cannot tell yet: the intervals of the two rewards overlap. More training seeds would tell.", "open"


def never_succeeds(success: Sequence[float]) -> bool:
    """Whether success was measured and was 0 with every seed."""
    return bool(success) and max(success) == 0


def _seeds(scores: Scores) -> int:
    return max(len(values) for values in _measured(scores))


def _measured(scores: Scores) -> tuple[list[float], list[float]]:
    return _finite(scores.success), _finite(scores.fitness)


def _finite(scores: tuple[float, ...]) -> list[float]:
    return [s for s in scores if drawable(s)]


def _interval(scores: tuple[float, ...]) -> Interval | None:
    finite = _finite(scores)
    return interval(finite) if len(finite) >= MIN_SEEDS else None


def _score_text(scores: Scores, measure: str) -> tuple[str, str]:
    """The score as text and what stands behind it. Fewer than three seeds get no interval, only themselves."""
    values = getattr(scores, measure)
    finite = _finite(values)
    show = percent if measure == "success" else short
    if not finite:
        return "n/a", "no score was measured"
    seeds = f"{len(finite)} seed{'s' if len(finite) != 1 else ''}"
    if len(values) > len(finite):
        seeds += f" ({len(values) - len(finite)} without a score)"
    if scores.episodes:
        seeds += f", {scores.episodes} episodes each"
    estimate = _interval(values)
    if estimate is None:
        return " / ".join(show(s) for s in finite), f"{seeds}: too few for an interval"
    low, high = show(estimate.low), show(estimate.high)
    return show(estimate.point), f"95 % interval {low.removesuffix(' %')} to {high}, {seeds}"


def _second(scores: Scores, measure: str) -> str:
    if not _finite(getattr(scores, measure)):
        return ""
    value, detail = _score_text(scores, measure)
    return f"{measure} {value}, {detail.split(', ')[0]}"
