"""Who was dropped when and why: one row a candidate, one column a rung, and a last column for the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from rewardsmith.analyze.race import why
from rewardsmith.analyze.report.charts import Frame, number, padded, percent, short, svg, ticks
from rewardsmith.analyze.report.curves import drawable, kept_scores
from rewardsmith.analyze.report.text import safe
from rewardsmith.stats import MIN_SEEDS, interval
from rewardsmith.types import Estimate, Measure, MemberResult, RungStanding

WIDTH, LEFT, GAP, HEAD, ROW, FOOT = 960, 104, 30, 58, 26, 4
NAME_LETTERS = 15  # that fit beside the rows


class Racer(NamedTuple):
    """One candidate of a race. `state` is what became of it in the end, in a word or two."""

    id: str
    is_best: bool
    state: str
    members: Sequence[MemberResult]
    race: Sequence[RungStanding]

    @property
    def final(self) -> dict[Measure, Estimate]:
        """Scores at the end; empty for who did not get there."""
        kept = [m.kept for m in self.members if m.state == "trained" and m.kept]
        means = kept_scores(self.members)
        if means is None:
            return {}
        found: dict[Measure, Estimate] = {}
        measures: tuple[Measure, Measure] = ("success", "fitness")
        for column, measure in enumerate(measures):
            seeds = [k.score[column] for k in kept]
            episodes = [e[column] for k in kept for e in k.episodes]
            enough = len(seeds) >= MIN_SEEDS
            around = interval(
                seeds if enough else episodes, over="seeds" if enough else "episodes, not seeds", of="mean"
            )
            found[measure] = Estimate(value=means[column], low=around.low, high=around.high)
        return found


class Cell(NamedTuple):
    """A candidate in a column: where it stood, how that is drawn, and what it says when pointed at."""

    score: Estimate
    style: str  # best, plain, or out
    about: str


class Column(NamedTuple):
    heading: str
    detail: str
    measure: Measure
    cells: dict[str, Cell]  # by candidate; who is out has none
    cut: Estimate | None = None


def race_chart(racers: Sequence[Racer], *, title: str) -> Markup:
    """The race as SVG; nothing where there was none.

    Rows are sorted by how far candidates came, so that the right edge of the marks is the front of the race.
    """
    steps = sorted({s.env_steps for r in racers for s in r.race})
    if not steps:
        return Markup("")
    finals = {r.id: r.final for r in racers}
    racers = sorted(racers, key=lambda r: _progress(r, finals[r.id]), reverse=True)
    columns = [_rung(racers, at) for at in steps]
    if any(finals.values()):
        columns.append(_end(racers, finals))
    width = (WIDTH - LEFT) / len(columns) - GAP
    height = HEAD + ROW * len(racers) + FOOT
    parts = [_row_name(racer, row) for row, racer in enumerate(racers)]
    for index, column in enumerate(columns):
        parts.append(_column(column, racers, LEFT + index * (width + GAP), width))
    for row, racer in enumerate(racers):
        reached = sum(racer.id in column.cells for column in columns)
        if reached < len(columns):
            x = LEFT + reached * (width + GAP) + (0 if reached else 4)
            parts.append(_text("fate", x, _middle(row) + 4, _fate(racer, columns[max(reached - 1, 0)].measure)))
    return svg(WIDTH, height, title, Markup("").join(parts), style="race")


def _progress(racer: Racer, final: dict[Measure, Estimate]) -> tuple[float, ...]:
    """Sorts racers: finalists by their last scores, the others by their last rung and place."""
    if final:
        return (1, final["success"].value, final["fitness"].value)
    last = racer.race[-1] if racer.race else None
    return (0, last.env_steps, -last.place) if last else (0, 0, 0)


def _rung(racers: Sequence[Racer], env_steps: int) -> Column:
    here = {r.id: s for r in racers for s in r.race if s.env_steps == env_steps}
    first_below = min((s for s in here.values() if s.verdict != "ahead"), key=lambda s: s.place, default=None)
    measure: Measure = first_below.cut_measure if first_below else "fitness"
    best = next((r.id for r in racers if r.is_best), None)
    cells = {
        id: Cell(getattr(s, measure), "out" if not s.kept else "best" if id == best else "plain", f"{id}: {why(s)}")
        for id, s in here.items()
    }
    seeds = min(len(r.members) for r in racers if r.id in here)  # finalists have more by now
    ties = " where success ties" if measure == "fitness" and len({s.success.value for s in here.values()}) > 1 else ""
    detail = f"{measure}{ties}, {seeds} seed{'s' if seeds != 1 else ''}"
    return Column(
        f"{short(env_steps)} env steps", detail, measure, cells, first_below.cut_score if first_below else None
    )


def _end(racers: Sequence[Racer], finals: dict[str, dict[Measure, Estimate]]) -> Column:
    there = [r for r in racers if finals[r.id]]
    measure: Measure = "success" if len({finals[r.id]["success"].value for r in there}) > 1 else "fitness"
    cells = {}
    for r in there:
        seeds = sum(m.state == "trained" for m in r.members)
        success, fitness = finals[r.id]["success"], finals[r.id]["fitness"]
        about = f"{r.id} in the end: success {percent(success.value)}, fitness {short(fitness.value)} ({seeds} seeds)"
        cells[r.id] = Cell(finals[r.id][measure], "best" if r.is_best else "plain", about)
    most = max(sum(m.state == "trained" for m in r.members) for r in there)
    last = max(m.env_steps for r in there for m in r.members if m.state == "trained")
    detail = f"{measure}, {most} seed{'s' if most != 1 else ''}"
    return Column(f"the end, {short(last)} env steps", detail, measure, cells)


def _fate(racer: Racer, drawn: Measure) -> str:
    """What became of who is out; `drawn` is the measure of its last column."""
    last = racer.race[-1] if racer.race else None
    if last is None or last.kept:
        return racer.state
    on = f" on {last.cut_measure}" if last.cut_measure != drawn else ""
    return f"dropped{on}, though close" if last.verdict == "crowded_out" else f"dropped{on}"


def _middle(row: int) -> float:
    return HEAD + ROW * (row + 0.5)


def _row_name(racer: Racer, row: int) -> Markup:
    name = racer.id if len(racer.id) <= NAME_LETTERS else f"{racer.id[: NAME_LETTERS - 1]}…"
    about = Markup("<title>{}</title>").format(safe(racer.id))
    return Markup('<text class="rowname{}" x="0" y="{}">{}{}</text>').format(
        " best" if racer.is_best else "", number(_middle(row) + 4), about, safe(name)
    )


def _column(column: Column, racers: Sequence[Racer], left: float, width: float) -> Markup:
    """One column on an axis of its own, as deep as there are candidates in it: the cut behind, marks in front."""
    as_percent = column.measure == "success"
    seen = [v for c in column.cells.values() for v in (c.score.value, c.score.low, c.score.high) if drawable(v)]
    low, high = padded(min(seen), max(seen)) if seen else (0.0, 1.0)
    rows = {racer.id: row for row, racer in enumerate(racers) if racer.id in column.cells}
    depth = ROW * (max(rows.values()) + 1)
    frame = Frame(low, high, 0, 1, left, HEAD, width, depth)
    bottom = HEAD + depth
    parts = [_text("heading", left, 14, column.heading), _text("tick", left, 29, column.detail)]
    for value in ticks(low, high, 2):
        label = percent(value) if as_percent else short(value)
        parts.append(Markup('<path class="grid" d="M{} {}V{}"/>').format(number(frame.x(value)), HEAD, number(bottom)))
        parts.append(_text("tick", frame.x(value), HEAD - 8, label, anchor="middle"))
    if column.cut and all(drawable(v) for v in (column.cut.value, column.cut.low, column.cut.high)):
        x0, x1 = (frame.x(min(max(v, low), high)) for v in (column.cut.low, column.cut.high))
        parts.append(
            Markup('<rect class="cutband" x="{}" y="{}" width="{}" height="{}"/>').format(
                number(x0), HEAD, number(max(x1 - x0, 2)), number(bottom - HEAD)
            )
        )
        parts.append(
            Markup('<path class="cut" d="M{} {}V{}"/>').format(number(frame.x(column.cut.value)), HEAD, number(bottom))
        )
    parts += [_mark(frame, cell, _middle(rows[id])) for id, cell in column.cells.items()]
    return Markup("").join(parts)


def _mark(frame: Frame, cell: Cell, y: float) -> Markup:
    score, title = cell.score, Markup("<title>{}</title>").format(safe(cell.about))
    if not all(drawable(v) for v in (score.value, score.low, score.high)):
        return Markup('<g class="mark">{}{}</g>').format(title, _text("fate", frame.left, y + 4, "not drawable"))
    x, x0, x1 = frame.x(score.value), frame.x(score.low), frame.x(score.high)
    bar = Markup('<rect class="bar {}" x="{}" y="{}" width="{}" height="10" rx="5"/>').format(
        cell.style, number(x0 - 3), number(y - 5), number(x1 - x0 + 6)
    )
    if cell.style == "out":
        sign = Markup('<path class="cross" d="M{x} {y}l8 8m0 -8l-8 8"/>').format(x=number(x - 4), y=number(y - 4))
    else:
        sign = Markup('<circle class="seed {}" cx="{}" cy="{}" r="4.5"/>').format(cell.style, number(x), number(y))
    return Markup('<g class="mark">{}{}{}</g>').format(title, bar, sign)


def _text(style: str, x: float, y: float, text: str, *, anchor: str = "start") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        style, number(x), number(y), anchor, safe(text)
    )
