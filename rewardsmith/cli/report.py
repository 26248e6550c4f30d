"""`rewardsmith report RUN`: write the report again, or list the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rewardsmith.cli.console import print_json, progress, results, wash
from rewardsmith.cli.design import AsJson, Runs
from rewardsmith.errors import RunError


def report(
    run: Annotated[str | None, typer.Argument(help='A run\'s id or folder, or "latest". None lists the runs.')] = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show a run and write its report.html; without a run, list all runs."""
    from rewardsmith.cli.show import show_run
    from rewardsmith.loop.report import write_report
    from rewardsmith.loop.summary import load_run
    from rewardsmith.store import list_runs

    if run is None:
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
        return
    summary = load_run(run, runs=runs)
    write_report(summary)
    if as_json:
        print_json(summary.model_dump(mode="json"))
    else:
        show_run(summary)


def register(app: typer.Typer) -> None:
    app.command()(report)
