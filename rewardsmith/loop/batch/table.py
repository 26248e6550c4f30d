"""The results table of an experiment, or of any runs: intervals over fresh seeds, and "cannot tell yet".

A score is that of a winner retrained on seeds that selection never saw. Below three of them there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from rewardsmith.loop.batch.cells import REFERENCE, Labels
from rewardsmith.loop.batch.folder import CellState, ExperimentFolder
from rewardsmith.loop.batch.results import Aggregate, Cost, Measured, Pair, Row, Scores, Table, Verdict
from rewardsmith.loop.comparison import REFERENCES
from rewardsmith.loop.failing import reason
from rewardsmith.loop.report import shown_model
from rewardsmith.loop.summary import SPARSE, RunSummary, load_run
from rewardsmith.stats import (
    MIN_SEEDS,
    Interval,
    first_difference,
    human_normalized,
    interval,
    iqm,
    probability_of_improvement,
    separable,
    stratified,
)
from rewardsmith.types import Measure, TrainingResult, content_id

MEASURES: tuple[Measure, Measure] = ("success", "fitness")
NOT_RECORDED = "not recorded"


class Entry(NamedTuple):
    """One run, or one that was wanted: what a table is made from."""

    labels: Labels
    run: RunSummary | None = None
    failure: str = ""
    hardware: tuple[str, ...] = ()


def experiment_table(folder: ExperimentFolder) -> Table:
    """The table of an experiment as far as it has come.

    Raises: RunError: a file in its folder is missing or damaged.
    """
    plan = folder.plan()
    entries = [_entry(folder, folder.state(cell)) for cell in plan.cells]
    dropped = tuple(f"{state.cell}: {state.run or 'no run'}" for state in folder.dropped(plan))
    return make_table(plan.name, entries, unreferenced=plan.unreferenced, dropped=dropped)


def runs_table(runs: Sequence[RunSummary]) -> Table:
    """The table of runs that need not belong together: one row a run, or a given reward.

    Runs are compared only where they share environment and goal.
    """
    entries = [Entry(_labels_of(run, runs), run, "" if run.finished else "not finished") for run in runs]
    return make_table("comparison", entries, unreferenced={})


def make_table(
    name: str, entries: Sequence[Entry], *, unreferenced: Mapping[str, str], dropped: tuple[str, ...] = ()
) -> Table:
    """The table of these runs. `unreferenced` says of an environment why no references were trained for it."""
    found: dict[Labels, list[_Found]] = {}
    for entry in entries:
        for labels, part in _parts(entry):
            found.setdefault(labels, []).append(part)
    rows = [_row(labels, parts) for labels, parts in found.items()]
    references: dict[str, dict[str, Row]] = {row.env: {} for row in rows}
    for row in rows:
        if row.method == REFERENCE:
            references[row.env][row.variant] = row
    measures: dict[str, Measure] = {}
    excluded: dict[str, str] = {}
    for env, known in references.items():
        if SPARSE not in known and (beside := _sparse_beside(env, entries)):
            known[SPARSE] = _row(Labels(env, REFERENCE, "", SPARSE), beside)
        measure, why = _measure_of(known)
        if measure is not None:
            measures[env] = measure
        else:
            excluded[env] = unreferenced.get(env, why)
    compared = tuple(
        _against(row, references[row.env], measures.get(row.env)) for row in rows if row.method != REFERENCE
    )
    return Table(
        name=name,
        rows=compared,
        references=tuple(row for known in references.values() for row in known.values()),
        aggregates=tuple(_aggregates(compared)),
        pairs=tuple(_pairs(compared, measures)),
        measures=measures,
        excluded=excluded,
        dropped=dropped,
    )


# --- from runs to rows ------------------------------------------------------------------------------------------------


class _Found(NamedTuple):
    """One run's part of a row."""

    cost: Cost
    run: str = ""
    scores: Sequence[tuple[float, float]] = ()  # (success, fitness) of each fresh seed
    failure: str = ""
    hardware: tuple[str, ...] = ()


def _entry(folder: ExperimentFolder, state: CellState) -> Entry:
    root = folder.root / state.run if state.run else None
    run = load_run(root) if root is not None and root.is_dir() else None
    failure = {"finished": "", "failed": state.reason, "open": "not finished" if run else "not begun"}[state.state]
    if state.state == "finished" and run is None:
        failure = f"its run {state.run} is gone"
    return Entry(state.cell.labels, run, failure, state.hardware)


def _labels_of(run: RunSummary, among: Iterable[RunSummary]) -> Labels:
    """A run's labels; the environment's name goes with its goal where others of that name have another one."""
    env = run.config.env.name
    if len({_kind(other) for other in among if other.config.env.name == env}) > 1:
        goal = run.task.goal.about if run.task else "no goal yet"
        env = f"{env} ({goal}, {content_id(list(_kind(run)), 4)})"
    return Labels(env, run.config.method, shown_model(run.config.model.llm), run.id)


def _kind(run: RunSummary) -> tuple[str, str]:
    """What runs must share to be compared: keyword arguments of the environment, and the goal."""
    return run.config.env.model_dump_json(), run.task.goal.digest if run.task else ""


def _parts(entry: Entry) -> list[tuple[Labels, _Found]]:
    """What a run adds to which rows: a design its winner, others each reward; human and sparse are references."""
    labels, run = entry.labels, entry.run
    if labels.method == REFERENCE:
        return [(labels._replace(variant=name), _given(entry, name)) for name in REFERENCES]
    if labels.method != "given" or run is None:
        return [(labels, _designed(entry))]
    return [
        (
            Labels(labels.env, REFERENCE, "", c.id)
            if c.id in REFERENCES
            else Labels(labels.env, "given", "", f"{run.id} {c.id}"),
            _given(entry, c.id),
        )
        for c in run.candidates
    ]


def _designed(entry: Entry) -> _Found:
    """A winner on its fresh seeds."""
    run = entry.run
    if run is None:
        return _Found(Cost(), failure=entry.failure, hardware=entry.hardware)
    cost = Cost(
        model_calls=run.spent.calls,
        tokens=run.spent.tokens,
        candidates_trained=sum(c.training is not None for c in run.candidates),
        env_steps=run.spent.env_steps,
        wall_s=run.wall_s,
    )
    final = run.final.get(run.best) if run.best else None
    return _found(entry, run.id, cost, final, f"{run.id} has no winner that was trained on fresh seeds")


def _given(entry: Entry, id: str) -> _Found:
    """A reward that nothing was selected from."""
    run = entry.run
    candidate = next((c for c in run.candidates if c.id == id), None) if run else None
    if run is None or candidate is None:
        return _Found(Cost(), failure=entry.failure or f"no {id} reward", hardware=entry.hardware)
    why = reason(candidate) or str(candidate.state)
    return _found(entry, run.id, _training_cost(candidate.training, run), candidate.training, why)


def _sparse_beside(env: str, entries: Sequence[Entry]) -> list[_Found]:
    """The sparse reward that runs trained beside their winners; those of one root seed trained the same policies."""
    by_seed: dict[int, _Found] = {}
    for entry in entries:
        run = entry.run
        if entry.labels.env == env and run is not None and (final := run.final.get(SPARSE)) and not entry.failure:
            by_seed.setdefault(run.config.seed, _found(entry, run.id, _training_cost(final, run), final, "no seed"))
    return list(by_seed.values())


def _training_cost(training: TrainingResult | None, run: RunSummary) -> Cost:
    """Of one reward. The wall time is that of its run, which trained others beside it."""
    members = training.members if training else ()
    steps = sum(m.env_steps + m.eval_env_steps for m in members)
    return Cost(candidates_trained=int(training is not None), env_steps=steps, wall_s=run.wall_s)


def _found(entry: Entry, run: str, cost: Cost, training: TrainingResult | None, otherwise: str) -> _Found:
    """A run's part, with its scores if it came to its end, else with the reason why there are none."""
    scores = training.final_scores if training and not entry.failure else ()
    if scores:
        return _Found(cost, run, scores, hardware=entry.hardware)
    return _Found(cost, failure=entry.failure or otherwise, hardware=entry.hardware)


def _row(labels: Labels, found: Sequence[_Found]) -> Row:
    scores: dict[Measure, Scores] = {
        m: tuple(s for f in found if (s := _finite(f.scores, i))) for i, m in enumerate(MEASURES)
    }
    return Row(
        **labels._asdict(),
        group=labels.group,
        runs=tuple(f.run for f in found if f.run),
        wanted=len(found),
        failures=tuple(dict.fromkeys(f.failure for f in found if f.failure)),
        success=_measured(scores["success"]),
        fitness=_measured(scores["fitness"]),
        cost=_sum(f.cost for f in found),
        hardware=tuple(dict.fromkeys(h for f in found for h in f.hardware)) or (NOT_RECORDED,),
        scores=scores,
    )


def _finite(scores: Sequence[tuple[float, float]], measure: int) -> tuple[float, ...]:
    return tuple(score[measure] for score in scores if math.isfinite(score[measure]))


def _sum(costs: Iterable[Cost]) -> Cost:
    costs = list(costs)
    return Cost.model_validate({name: sum(getattr(c, name) for c in costs) for name in Cost.model_fields})


# --- from rows to answers ---------------------------------------------------------------------------------------------


def _measured(scores: Scores) -> Measured | None:
    """None without any score."""
    flat = [s for repetition in scores for s in repetition]
    if not flat:
        return None
    if len(flat) < MIN_SEEDS:
        return Measured(value=iqm(flat), seeds=len(flat))
    # one repetition has one level: the same interval as everywhere else in a report
    return _of(interval(flat) if len(scores) == 1 else stratified([scores]))


def _of(found: Interval) -> Measured:
    return Measured(value=found.point, low=found.low, high=found.high, seeds=found.n)


def _intervals(row: Row) -> list[Interval | None]:
    return [m.interval if m else None for m in (row.success, row.fitness)]


def _measure_of(known: Mapping[str, Row]) -> tuple[Measure | None, str]:
    """The measure by which human and sparse can be told apart, success first; or None, and why."""
    if missing := [name for name in REFERENCES if name not in known or known[name].fitness is None]:
        why = next((why for name in missing if name in known for why in known[name].failures), "")
        return None, f"no scores of the {' and '.join(missing)} reward{': ' if why else ''}{why}"
    pairs = zip(MEASURES, *(_intervals(known[name]) for name in REFERENCES), strict=True)
    for measure, human, sparse in pairs:
        if human is not None and sparse is not None and separable(human, sparse):
            return measure, ""
    return None, "not separable: the intervals of its human and sparse rewards overlap"


def _against(row: Row, known: Mapping[str, Row], measure: Measure | None) -> Row:
    if not any(row.scores["fitness"]):
        return row  # nothing ran to its end: there is nothing to tell, not even "yet"
    found: dict[str, object] = {"versus": {name: _verdict(row, reference) for name, reference in known.items()}}
    if measure is not None:
        human, sparse = (getattr(known[name], measure).value for name in REFERENCES)
        scores = tuple(
            tuple(human_normalized(s, human=human, sparse=sparse) for s in repetition)
            for repetition in row.scores[measure]
        )
        found |= {"normalized": _measured(scores), "normalized_scores": scores}
    return row.model_copy(update=found)


def _verdict(a: Row, b: Row) -> Verdict:
    return Verdict.model_validate(first_difference(_intervals(a), _intervals(b))._asdict())


def _aggregates(rows: Sequence[Row]) -> Iterable[Aggregate]:
    for group in dict.fromkeys(row.group for row in rows):
        counted = [row for row in rows if row.group == group and _counts(row)]
        if counted:
            found = stratified([row.normalized_scores for row in counted])
            yield Aggregate(group=group, envs=tuple(row.env for row in counted), normalized=_of(found))


def _pairs(rows: Sequence[Row], measures: Mapping[str, Measure]) -> Iterable[Pair]:
    by_group: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_group.setdefault(row.group, {})[row.env] = row
    for (a, of_a), (b, of_b) in combinations(by_group.items(), 2):
        common = [env for env in of_a if env in of_b]
        counted = [env for env in common if _counts(of_a[env]) and _counts(of_b[env])]
        scores = [[of[env].scores[measures[env]] for env in counted] for of in (of_a, of_b)]
        if common:
            yield Pair(
                a=a,
                b=b,
                answers={env: _verdict(of_a[env], of_b[env]) for env in common},
                envs=tuple(counted),
                probability=_of(probability_of_improvement(*scores)) if counted else None,
            )


def _counts(row: Row) -> bool:
    """Whether a row counts over environments: normalized, and with seeds enough."""
    return row.normalized is not None and row.normalized.interval is not None
