"""`rewardsmith report RUN`: write the report again, list the runs, or compare some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rewardsmith.cli.console import print_json, progress, results, wash
from rewardsmith.cli.design import AsJson, Runs
from rewardsmith.errors import RunError, UsageError, unknown

if TYPE_CHECKING:
    from rewardsmith.store import RunFolder

COMPARED = "name two runs or more (ids, folders or latest), or one experiment: rewardsmith report --compare RUN RUN"


def report(
    run: Annotated[
        list[str] | None, typer.Argument(help='A run\'s id or folder, or "latest". None lists the runs.')
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare the runs named, or those of an experiment's folder.")
    ] = False,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show a run and write its report.html; without a run, list all runs."""
    if compare:
        _compare(run or [], runs, as_json=as_json)
    elif not run:
        _list(runs, as_json=as_json)
    elif len(run) > 1:
        raise UsageError("report shows one run at a time", hint="rewardsmith report --compare RUN RUN compares them")
    else:
        _show(run[0], runs, as_json=as_json)


def _list(runs: Path, *, as_json: bool) -> None:
    from rewardsmith.loop.summary import load_run
    from rewardsmith.store import list_runs

    found = []
    for folder in list_runs(runs):
        try:
            found.append(load_run(folder.root))
        except RunError as error:
            progress.print(f"left out: {wash(error.message)}", soft_wrap=True)
    if as_json:
        print_json([{"id": r.id, "env": r.config.env.name, "finished": r.finished, "best": r.best} for r in found])
        return
    table = Table()
    for column in ("run", "environment", "task", "state", "best"):
        table.add_column(column)
    for r in found:
        words = wash(r.task.words if r.task else r.config.words, 60)
        state = "finished" if r.finished else "can be resumed"
        table.add_row(wash(r.id), wash(r.config.env.name, 60), words, state, wash(r.best or ""))
    results.print(table)


def _show(run: str, runs: Path, *, as_json: bool) -> None:
    from rewardsmith.cli.show import show_run
    from rewardsmith.loop.report import write_report
    from rewardsmith.loop.summary import load_run

    summary = load_run(run, runs=runs)
    write_report(summary)
    if as_json:
        print_json(summary.model_dump(mode="json"))
    else:
        show_run(summary)


def _compare(names: list[str], runs: Path, *, as_json: bool) -> None:
    from rewardsmith.cli.batch import show_table
    from rewardsmith.loop.batch.folder import ExperimentFolder
    from rewardsmith.loop.batch.page import write_page
    from rewardsmith.loop.batch.table import experiment_table, runs_table
    from rewardsmith.loop.summary import load_run

    experiments, found = _compared(list(dict.fromkeys(names)), runs)
    if experiments:
        folder = ExperimentFolder(experiments[0])
        table, page = experiment_table(folder), folder.page_path
    else:
        summaries = [load_run(run.root) for run in found]
        table, page = runs_table(summaries), found[0].root.parent / "compare.html"
    write_page(table, page)
    if as_json:
        print_json(table.model_dump(mode="json"))
    else:
        show_table(table)
        results.print(f"Page: {wash(str(page))}", soft_wrap=True)


def _compared(names: list[str], runs: Path) -> tuple[list[Path], list[RunFolder]]:
    """What is to be compared: the folder of one experiment, or those of several runs.

    Raises: UsageError: there is nothing of such a name, there is only one run, or an experiment is not alone.
    """
    from rewardsmith.store import find_run, list_runs
    from rewardsmith.store.folder import LATEST

    experiments = [path for name in names if (path := _experiment(name, runs)) is not None]
    if experiments and len(names) > 1:
        raise UsageError(
            f"{experiments[0].name} is an experiment, which is compared by itself, not with others",
            hint=f"rewardsmith report --compare {experiments[0].name}, or name runs in it by their folders",
        )
    found = []
    for name in names if not experiments else ():
        try:
            found.append(find_run(name, runs))
        except RunError as error:
            if Path(name).is_dir() or (runs / name).is_dir() or name == LATEST:
                raise  # it says what is wrong with that folder
            known = [*(run.id for run in list_runs(runs)), *_experiments(runs)]
            raise UsageError(
                unknown("run or experiment", name, known), hint=f"{COMPARED}; looked for in {runs}"
            ) from error
    if len(found) == 1:
        raise UsageError(f"{found[0].id} is one run: there is nothing to compare it with", hint=COMPARED)
    if not experiments and not found:
        raise UsageError("there is nothing to compare", hint=COMPARED)
    return experiments, found


def _experiment(name: str, runs: Path) -> Path | None:
    """The folder of an experiment, by its path or its name."""
    from rewardsmith.loop.batch.folder import ExperimentFolder

    return next((path for path in (Path(name), runs / name) if ExperimentFolder.is_one(path)), None)


def _experiments(runs: Path) -> list[str]:
    """Names of all experiments in this folder."""
    from rewardsmith.loop.batch.folder import ExperimentFolder

    return [path.name for path in runs.iterdir() if ExperimentFolder.is_one(path)] if runs.is_dir() else []


def register(app: typer.Typer) -> None:
    app.command()(report)
