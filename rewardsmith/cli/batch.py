"""`rewardsmith batch FILE`: an experiment of many runs, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid

from rewardsmith.cli.console import log_to_stderr, print_json, progress, results, wash
from rewardsmith.cli.design import AsJson, Runs
from rewardsmith.errors import EXIT_INTERRUPTED, EXIT_NOTHING_ACCEPTABLE, Interrupted

if TYPE_CHECKING:
    from rewardsmith.loop.batch.cells import Cell
    from rewardsmith.loop.batch.folder import ExperimentFolder
    from rewardsmith.loop.batch.results import Row, Table

WORKER = "--as-worker"


def batch(
    file: Annotated[Path, typer.Argument(help="The experiment file (TOML, see docs/batch.md).")],
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time; each then trains in one process.")] = 1,
    retry: Annotated[bool, typer.Option("--retry", help="Try failed runs again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and their cost, and stop.")] = False,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
    as_worker: Annotated[bool, typer.Option(WORKER, hidden=True)] = False,
) -> None:
    """Run an experiment: environments x methods x models x seeds. Started again, it goes on where it stopped."""
    log_to_stderr()
    from rewardsmith.loop.batch.cells import plan_file
    from rewardsmith.loop.batch.folder import ExperimentFolder
    from rewardsmith.loop.batch.page import write_page
    from rewardsmith.loop.batch.pool import Pool, bound
    from rewardsmith.loop.batch.table import experiment_table

    if as_worker:
        _work(ExperimentFolder(file), cell_workers=1 if workers > 1 else None)
        return
    plan = plan_file(file)
    if dry_run:
        _show_cost(plan.cells, as_json=as_json)
        return
    folder = ExperimentFolder.create(runs, plan)
    if retry:
        folder.forget_failures(plan)
    command = bound("rewardsmith", "batch", str(folder.root), WORKER, "--workers", str(workers))
    try:
        Pool(folder, command, min(workers, len(plan.cells))).run()
    except KeyboardInterrupt:
        again = f"rewardsmith batch {file}" + (f" --runs {runs}" if runs != Path("runs") else "")
        raise Interrupted(f"interrupted; nothing recorded is lost, and this goes on: {again}") from None
    table = experiment_table(folder)
    write_page(table, folder.page_path)
    if as_json:
        print_json(table.model_dump(mode="json"))
    else:
        show_table(table)
        results.print(f"Page: {wash(str(folder.page_path))}", soft_wrap=True)
    if any(row.failures for row in (*table.rows, *table.references)):
        raise typer.Exit(EXIT_NOTHING_ACCEPTABLE)


def _work(folder: ExperimentFolder, *, cell_workers: int | None) -> None:
    """What a worker process does: it tells its progress, and is ended by its parent."""
    from rewardsmith.loop.batch.work import work

    try:
        work(folder, cell_workers=cell_workers, tell=lambda text: progress.print(wash(text), soft_wrap=True))
    except (Interrupted, KeyboardInterrupt):  # the parent says how to go on
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _show_cost(cells: Sequence[Cell], *, as_json: bool) -> None:
    """Each run with the most it may take; runs that differ only in their seed are tried once."""
    from rewardsmith.loop.batch.cells import with_reference_rewards
    from rewardsmith.loop.plan import Plan, plan_run

    plans: dict[object, Plan] = {}
    for cell in cells:
        if cell.labels not in plans:
            plans[cell.labels] = plan_run(with_reference_rewards(cell.config) if cell.is_reference else cell.config)
    if as_json:
        print_json(
            [
                {"id": c.id, **c.labels._asdict(), "seed": c.config.seed, "env_steps": plans[c.labels].env_steps}
                | {"model_calls": plans[c.labels].model_calls, "tokens": plans[c.labels].tokens}
                for c in cells
            ]
        )
        return
    grid = Grid()
    for column in ("run", "env steps", "model calls", "tokens"):
        grid.add_column(column, justify="left" if column == "run" else "right")
    for cell in cells:
        plan = plans[cell.labels]
        grid.add_row(wash(str(cell)), f"{plan.env_steps:,}", f"{plan.model_calls[1]:,}", f"{plan.tokens[1]:,}")
    results.print(grid)
    steps, minutes = (sum(getattr(plans[c.labels], name) for c in cells) for name in ("env_steps", "minutes"))
    results.print(f"At most {steps:,} env steps in {len(cells)} runs, roughly {minutes:.0f} minutes one after another.")


def show_table(table: Table) -> None:
    """Answers, then what each row took, then what the rows come to over environments; on stdout."""
    rows = (*table.rows, *table.references)
    _show_answers(table, rows)
    _show_what_it_took(rows)
    if table.aggregates:
        over = _grid("Human-normalized over environments: 0 is the sparse reward, 1 the human one", OVER)
        for a in table.aggregates:
            over.add_row(wash(a.group), str(a.normalized), wash(", ".join(a.envs)))
        results.print(over)
    if table.pairs:
        pairs = _grid("Is A better than B? P is the probability that a seed of A beats one of B", PAIRS)
        for pair in table.pairs:
            overall = (str(pair.probability), pair.answer) if pair.probability else ("", "no environment counts")
            each = ", ".join(f"{env}: {verdict}" for env, verdict in pair.answers.items())
            pairs.add_row(wash(pair.a), wash(pair.b), *overall, wash(each))
        results.print(pairs)
    for env, why in table.excluded.items():
        results.print(f"Not in any normalized score: {wash(env)}: {wash(why)}", soft_wrap=True)
    for row in rows:
        for why in row.failures:
            results.print(f"[yellow]No result:[/] {wash(f'{row.env} · {row.group}')}: {wash(why, 400)}", soft_wrap=True)
    for line in table.dropped:
        results.print(f"No longer in the experiment file, and left as it is: {wash(line)}", soft_wrap=True)


ANSWERS = ("", "environment", "reward", "seeds", "success", "fitness", "normalized", "vs human", "vs sparse")
COSTS = ("", "runs", "model calls", "tokens", "candidates trained", "env steps", "wall s", "hardware")
OVER = ("group", "score", "environments")
PAIRS = ("A", "B", "P", "answer", "in each environment")


def _grid(title: str, columns: Sequence[str]) -> Grid:
    grid = Grid(title=title, title_justify="left", title_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    return grid


def _show_answers(table: Table, rows: Sequence[Row]) -> None:
    from rewardsmith.loop.comparison import REFERENCES

    grid = _grid("Fresh seeds that selection never saw: interquartile mean [95 % interval]", ANSWERS)
    for number, row in enumerate(rows, start=1):
        seeds = str(row.fitness.seeds if row.fitness else 0)
        scores = [str(m) if m else "not measured" for m in (row.success, row.fitness)]
        versus = [str(row.versus[name]) if name in row.versus else "" for name in REFERENCES]
        names = wash(row.env), wash(row.group)
        grid.add_row(str(number), *names, seeds, *scores, _normalized(row, table), *versus)
    results.print(grid)


def _normalized(row: Row, table: Table) -> str:
    if row in table.references:
        return ""
    if row.normalized is None:
        return "excluded" if row.env in table.excluded else "not measured"
    return f"{row.normalized} ({table.measures[row.env]})"


def _show_what_it_took(rows: Sequence[Row]) -> None:
    """A hardware that all rows share is said once."""
    grid, shared = _grid("What it took", COSTS), len({row.hardware for row in rows}) == 1
    for number, row in enumerate(rows, start=1):
        cost = row.cost
        counts = [f"{n:,}" for n in (cost.model_calls, cost.tokens, cost.candidates_trained, cost.env_steps)]
        hardware = "see below" if shared else wash("; ".join(row.hardware))
        grid.add_row(str(number), f"{len(row.runs)}/{row.wanted}", *counts, f"{cost.wall_s:,.0f}", hardware)
    results.print(grid)
    if shared:
        results.print(f"Hardware of every row: {wash('; '.join(rows[0].hardware))}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(batch)
