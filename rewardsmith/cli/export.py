"""`rewardsmith export RUN DIR`: the reward as a folder that needs no rewardsmith."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewardsmith.cli.console import log_to_stderr, results
from rewardsmith.cli.design import Runs
from rewardsmith.cli.resume import Run, Trust


def export(
    run: Run,
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet.")],
    candidate: Annotated[str | None, typer.Option(help="A candidate's id (default: the best).")] = None,
    runs: Runs = Path("runs"),
    trust: Trust = False,
) -> None:
    """Write the reward graph, a small interpreter, wrappers and the readable source into a folder of their own."""
    log_to_stderr()
    from rewardsmith.loop.exporting import export_run

    export_run(run, out, candidate=candidate, runs=runs, trust=trust)
    results.print(f"Exported to {out}: start with {out / 'README.md'}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(export)
