"""`rewardsmith compare FILE...`: how far apart rewards are, without training on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rewardsmith.cli.console import log_to_stderr, print_json, progress, results, wash
from rewardsmith.cli.design import AsJson, EnvKwargs, parse_kwargs
from rewardsmith.errors import EXIT_NOTHING_ACCEPTABLE, UsageError

if TYPE_CHECKING:
    from rewardsmith.loop.distances import DistanceMatrix, DistanceReport

ABOUT = {
    "STARC": "0 the same best policies, 1.41 unrelated, 2 opposite; the one to read",
    "EPIC": "0 to 1; also looks at transitions that may be impossible",
    "DARD": "0 to 1; looks at what one step changes",
}


def compare(
    rewards: Annotated[list[str], typer.Argument(help="Reward files; human and sparse name the pack's own rewards.")],
    env: Annotated[str, typer.Option(help="The environment whose features the rewards read.")],
    gamma: Annotated[float | None, typer.Option(help="Discount (default: the environment's own for training).")] = None,
    heatmap: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw the distances, as .png.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    env_kwargs: EnvKwargs = None,
    allow_unsandboxed: Annotated[bool, typer.Option("--allow-unsandboxed", help="Dangerous.")] = False,
    as_json: AsJson = False,
) -> None:
    """Distances between rewards that ignore scale and potential shaping: STARC, EPIC and DARD. Nothing is trained."""
    log_to_stderr()
    from rewardsmith.loop.distances import measure_distances

    if len(rewards) < 2:
        raise UsageError("there is nothing to compare", hint="rewardsmith compare a.py b.py --env hopper")
    report = measure_distances(
        env,
        rewards,
        env_kwargs=parse_kwargs(env_kwargs),
        gamma=gamma,
        seed=seed,
        allow_unsandboxed=allow_unsandboxed,
    )
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        show(report)
    if heatmap is not None:
        from rewardsmith.loop.heatmap import draw_heatmap

        draw_heatmap(report, heatmap)
        progress.print(f"Heat map: {wash(str(heatmap))}", soft_wrap=True)
    if report.refused:
        raise typer.Exit(EXIT_NOTHING_ACCEPTABLE)


def show(report: DistanceReport) -> None:
    """Tables on stdout."""
    c = report.coverage
    results.print(f"[bold]{wash(report.env)}[/]  gamma {report.gamma:g}, {wash(c.about)}, {c.env_steps:,} env steps")
    for name, why in report.refused.items():
        results.print(f"[bold red]refused[/] {wash(name)}: {wash(why, 300)}", soft_wrap=True)
    for name in report.uninformative:
        why = "carries no task information here: it pays potential shaping, or nothing at all"
        results.print(f"[yellow]{wash(name)}[/] {why}", soft_wrap=True)
    for title, metric in report.metrics.items():
        _show_metric(title, metric, report.names)


def _show_metric(title: str, metric: DistanceMatrix, names: tuple[str, ...]) -> None:
    if metric.matrix is None:
        results.print(f"{title}: cannot be computed: {wash(metric.note)}", soft_wrap=True)
    else:
        results.print(f"[bold]{title}[/]: {ABOUT[title]}", soft_wrap=True)
        table = Table("")
        for name in names:
            table.add_column(wash(name, 40), justify="right")
        for name, row in zip(names, metric.matrix, strict=True):
            table.add_row(wash(name, 40), *("" if d is None else f"{d:.3f}" for d in row))
        results.print(table)
    for name, why in metric.left_out.items():
        results.print(f"  left out of {title}: {wash(name)}: {wash(why, 300)}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(compare)
