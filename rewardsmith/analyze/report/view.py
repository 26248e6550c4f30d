"""Everything the template shows, worked out beforehand: the template itself decides nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from rewardsmith.analyze.race import why
from rewardsmith.analyze.report.charts import Line, line_chart, padded, percent, short, sparkline
from rewardsmith.analyze.report.curves import (
    bands,
    component,
    component_names,
    drawable,
    episode_length,
    fitness,
    kept_scores,
    success,
)
from rewardsmith.analyze.report.data import Media, ReportCandidate, ReportData
from rewardsmith.analyze.report.episodes import EpisodesView, episodes_view
from rewardsmith.analyze.report.headline import HeadlineView, headline_view
from rewardsmith.analyze.report.lineage import Node, lineage_graph
from rewardsmith.analyze.report.race import Racer, race_chart
from rewardsmith.analyze.report.text import code_block, diff_block
from rewardsmith.types import CandidateState, CurvePoint, MemberResult

GOALS = {
    "pack": "Success is measured by the environment pack's own metric, which no reward can see.",
    "metric_file": "Success is measured by a metric file that was handed in, which no reward can see.",
    "model": "Success is measured by a goal that the language model wrote from the words before any reward existed; "
    "it was accepted by a person or with --yes, then frozen.",
    "people": "Success is what people said when they compared videos.",
    "native": "No words were given: success is the environment's own success flag or return.",
}
STATES = {
    CandidateState.PROPOSED: ("proposed", "open", "not checked yet"),
    CandidateState.CHECKED: ("checked", "open", "passed the critic, not trained yet"),
    CandidateState.TRAINING: ("training", "open", "in training"),
    CandidateState.ACCEPTED: ("winner", "good", "the best reward of the run"),
    CandidateState.OUTSCORED: ("outscored", "plain", "trained to the end; another did better"),
    CandidateState.DROPPED: ("dropped", "plain", "stopped early: it was behind on the goal"),
    CandidateState.DUPLICATE: ("duplicate", "plain", "too close to a reward that was already tried"),
    CandidateState.SCREENED: ("screened", "plain", "others agree better with the metric on recorded episodes"),
    CandidateState.REFUSED: ("refused", "bad", "refused by the critic before training"),
    CandidateState.CRASHED_REWARD: ("reward crashed", "bad", "the reward failed during training"),
    CandidateState.CRASHED_ENV: ("env crashed", "bad", "the environment failed during training"),
    CandidateState.DIVERGED: ("diverged", "bad", "training under it blew up"),
    CandidateState.TIMED_OUT: ("timed out", "bad", "training took longer than allowed"),
    CandidateState.MODEL_FAILED: ("no code", "bad", "the designer's reply held no usable code"),
    CandidateState.BUDGET: ("budget", "open", "the budget was spent before its turn"),
}
ORIGINS = {
    "model": "written by a language model",
    "builtin": "composed by builtin, an evolutionary designer (not a language model)",
    "file": "handed in as a file",
    "tuned": "its parent with other numbers, which recorded episodes suggest",
    "recorded": "from a recorded model transcript (only the model's text is replayed)",
}
MAX_COMPONENTS = 24


class CandidateView(NamedTuple):
    """One candidate as the template shows it."""

    it: ReportCandidate
    anchor: str
    state: str
    tone: str
    state_about: str
    origin: str
    is_best: bool
    success: str
    fitness: str
    spark: Markup
    code: Markup
    charts: list[tuple[str, Markup]]
    components: list[tuple[str, Markup]]
    components_left_out: int
    episodes: EpisodesView | None
    members: Sequence[MemberResult]  # those that did not train to the end
    race: list[str]  # its standings, in words
    origins: list[tuple[str, str]]  # (id, anchor) of parents and of the repaired candidate
    warned: int
    refused: int


class RoundView(NamedTuple):
    name: str
    candidates: list[CandidateView]
    race: Markup
    more_seeds: bool  # whether finalists trained more seeds than the others


class Film(NamedTuple):
    kind: str
    uri: Markup
    caption: str


class WishRow(NamedTuple):
    wish: str
    shares: list[str]  # one for each compared reward


class ReportView(NamedTuple):
    """The whole page."""

    data: ReportData
    title: str
    goal: str
    headline: HeadlineView | None
    wishes: list[WishRow]
    best: CandidateView | None
    diff: Markup | None
    diff_id: str
    films: list[Film]
    overview: list[tuple[str, Markup]]
    fresh: list[tuple[str, Markup]]
    has_references: list[str]
    spark_measure: str
    rounds: list[RoundView]
    lineage: Markup
    origins: list[str]
    cost: list[tuple[str, str, str]]  # what, amount, limit


def report_view(data: ReportData) -> ReportView:
    """Work out a page from the records of a run."""
    anchors = {c.id: f"c{number}" for number, c in enumerate(data.candidates, start=1)}
    spark = _spark_scale(data)
    views = [_candidate(c, data, anchors, spark) for c in data.candidates]
    best = next((v for v in views if v.is_best), None)
    base = _diff_base(data, best.it) if best else None
    return ReportView(
        data=data,
        title=data.words or data.environment,
        goal=GOALS[data.goal_kind],
        headline=headline_view(data.headline) if data.headline else None,
        wishes=_wishes(data),
        best=best,
        diff=diff_block(base.code, best.it.code) if best and base else None,
        diff_id=base.id if base else "",
        films=[_film(m) for m in data.media],
        overview=_overview(data) if data.measured else [],
        fresh=_fresh(data),
        has_references=[name for name, members in data.references.items() if any(m.curve for m in members)],
        spark_measure=spark.measure,
        rounds=[
            _round(f"Round {r}" if r > 0 else "Start", [v for v in views if v.it.round == r])
            for r in sorted({c.round for c in data.candidates})
        ],
        lineage=lineage_graph([_node(v, anchors) for v in views], {0: "start"}),
        origins=[ORIGINS[o] for o in ORIGINS if any(c.origin == o for c in data.candidates)],
        cost=_cost(data),
    )


def _wishes(data: ReportData) -> list[WishRow]:
    """How far the compared rewards meet each wish; nothing where that was not measured."""
    if not data.wishes_met:
        return []
    success = WishRow("success (the goal and every wish)", [percent(m.success) for m in data.wishes_met])
    return [
        success,
        *(WishRow(wish, [percent(m.shares[n]) for m in data.wishes_met]) for n, (wish, _) in enumerate(data.checks)),
    ]


class SparkScale(NamedTuple):
    """What the small curves of the table show, on one scale for all candidates."""

    measure: str
    value: Callable[[CurvePoint], float]
    y_range: tuple[float, float]
    last: float  # env steps at the right end


def _spark_scale(data: ReportData) -> SparkScale:
    """Success once anybody had any, else fitness."""
    everyone = [m for c in data.candidates for m in c.members]
    last = max((point.env_steps for m in everyone for point in m.curve), default=1)
    if any(b.high > 0 for b in bands(everyone, success)):
        return SparkScale("success", success, (-0.02, 1.02), last)
    means = [b.mean for c in data.candidates for b in bands(c.members, fitness)]
    return SparkScale("fitness", fitness, padded(min(means), max(means)) if means else (0.0, 1.0), last)


def _candidate(c: ReportCandidate, data: ReportData, anchors: dict[str, str], scale: SparkScale) -> CandidateView:
    state, tone, about = STATES[c.state]
    about = c.screened or about
    scores = kept_scores(c.members) if data.measured else None
    is_best = c.id == data.best
    style = "best" if is_best else "plain"
    names = component_names(c.members)
    return CandidateView(
        it=c,
        anchor=anchors[c.id],
        state=state,
        tone=tone,
        state_about=about,
        origin=ORIGINS[c.origin],
        is_best=is_best,
        success=percent(scores[0]) if scores else "",
        fitness=short(scores[1]) if scores else "",
        spark=sparkline(
            bands(c.members if data.measured else (), scale.value), style=style, y_range=scale.y_range, last=scale.last
        ),
        code=code_block(c.code, marked={f.line for f in c.findings if f.line and f.severity != "info"}),
        charts=_curves(c, style) if data.measured else [],
        components=[
            (name, line_chart([Line(name, points, style)], title=f"component {name}", size=(220, 116), compact=True))
            for name in names[:MAX_COMPONENTS]
            if (points := bands(c.members, component(name)))
        ],
        components_left_out=max(0, len(names) - MAX_COMPONENTS),
        episodes=episodes_view(c.episodes) if c.episodes else None,
        members=[m for m in c.members if m.state != "trained"],
        race=[why(standing) for standing in c.race],
        origins=[(p, anchors.get(p, "")) for p in _made_from(c)],
        warned=sum(f.severity == "warn" for f in c.findings),
        refused=sum(f.severity == "refuse" for f in c.findings),
    )


def _round(name: str, views: list[CandidateView]) -> RoundView:
    racers = [Racer(v.it.id, v.is_best, v.state, v.it.members, v.it.race) for v in views if v.it.members]
    race = race_chart(racers, title=f"{name}: who was dropped when, and why")
    return RoundView(name, views, race, more_seeds=len({len(racer.members) for racer in racers}) > 1)


def _made_from(c: ReportCandidate) -> list[str]:
    repaired = [c.repair_of] if c.repair_of else []
    return list(dict.fromkeys([*c.parents, *repaired]))


def _curves(c: ReportCandidate, style: str) -> list[tuple[str, Markup]]:
    """Success, fitness and episode length of one candidate, as far as they were measured."""
    charts = []
    for name, value, as_percent in (
        ("Success", success, True),
        ("Fitness", fitness, False),
        ("Episode length, in steps", episode_length, False),
    ):
        if points := bands(c.members, value):
            y_range = (0.0, 1.0) if as_percent else None
            line = Line(c.id, points, style)
            charts.append(
                (name, line_chart([line], title=name, size=(320, 200), y_range=y_range, as_percent=as_percent))
            )
    return charts


def _overview(data: ReportData) -> list[tuple[str, Markup]]:
    """All candidates in one chart for success and one for fitness; the winner is drawn last."""
    last = sorted(data.candidates, key=lambda c: c.id == data.best)
    lines = [(c.id, c.members, "best" if c.id == data.best else "other") for c in last]
    return _both(lines if data.final_members else [*_references(data), *lines])


def _fresh(data: ReportData) -> list[tuple[str, Markup]]:
    """The winner and the references on the fresh seeds; nothing when the winner was not retrained."""
    return _both([*_references(data), ("designed", data.final_members, "best")]) if data.final_members else []


def _references(data: ReportData) -> list[tuple[str, Sequence[MemberResult], str]]:
    return [
        (f"{name} reference", members, "human" if name == "human" else "ref")
        for name, members in data.references.items()
    ]


def _both(curves: Sequence[tuple[str, Sequence[MemberResult], str]]) -> list[tuple[str, Markup]]:
    """(label, seeds, style) as a chart of success and one of fitness, as far as they were measured."""
    charts = []
    for name, value, as_percent in (("Success", success, True), ("Fitness", fitness, False)):
        lines = [Line(label, bands(members, value), style, style != "other") for label, members, style in curves]
        if any(line.bands for line in lines):
            y_range = (0.0, 1.0) if as_percent else None
            charts.append((name, line_chart(lines, title=name, y_range=y_range, as_percent=as_percent)))
    return charts


def _diff_base(data: ReportData, best: ReportCandidate) -> ReportCandidate | None:
    """What the winner is compared with: the one that was named, its parent, or the best of an earlier round."""
    known = {c.id: c for c in data.candidates if c.code and c.id != best.id}
    named = [data.diff_base] if data.diff_base else [*best.parents, best.repair_of]
    for id in named:
        if id in known:
            return known[id]
    earlier = [(scores, c) for c in known.values() if c.round < best.round and (scores := kept_scores(c.members))]
    earlier = [(scores, c) for scores, c in earlier if all(drawable(s) for s in scores)]
    return max(earlier, key=lambda pair: pair[0])[1] if earlier else None


def _node(view: CandidateView, anchors: dict[str, str]) -> Node:
    tone = "best" if view.is_best else "bad" if view.tone == "bad" else "plain"
    label = view.success or view.state
    c = view.it
    return Node(c.id, c.round, label, tone, f"#{anchors[c.id]}", c.parents, c.repair_of)


def _film(media: Media) -> Film:
    kind = "video/mp4" if media.kind == "mp4" else "image/png"
    return Film(media.kind, Markup(f"data:{kind};base64,{base64.b64encode(media.data).decode()}"), media.caption)


def duration(seconds: float) -> str:
    """200 -> 3 min 20 s."""
    if not drawable(seconds) or seconds < 0:
        return "n/a"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _cost(data: ReportData) -> list[tuple[str, str, str]]:
    use, limits = data.budget, data.budget.limits
    rows = [
        ("Model calls", f"{use.calls:,}", ""),
        ("Tokens", f"{use.tokens:,}", f"{limits.tokens:,}" if limits.tokens is not None else ""),
        ("Environment steps", f"{use.env_steps:,}", f"{limits.env_steps:,}" if limits.env_steps is not None else ""),
        ("Wall time", duration(use.wall_s), duration(limits.wall_s) if limits.wall_s is not None else ""),
    ]
    if use.usd is not None:
        rows.append(("Dollars", f"{use.usd:,.2f}", f"{limits.usd:,.2f}" if limits.usd is not None else ""))
    return rows
