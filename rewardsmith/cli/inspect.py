"""`rewardsmith inspect REWARD`: a reward under the microscope, as one offline page."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rewardsmith.cli.console import log_to_stderr, print_json, progress, results, wash
from rewardsmith.cli.design import AsJson, EnvKwargs, Runs, parse_kwargs
from rewardsmith.cli.resume import Trust
from rewardsmith.errors import UsageError

if TYPE_CHECKING:
    from rewardsmith.loop.inspecting import Inspection


def inspect(
    reward: Annotated[str, typer.Argument(help='A reward file, RUN or RUN:CANDIDATE, or "human" or "sparse".')],
    env: Annotated[str | None, typer.Option(help="The environment; a reward of a run brings its own.")] = None,
    against: Annotated[str | None, typer.Option(metavar="OTHER", help="What changed from this reward?")] = None,
    policy: Annotated[Path | None, typer.Option(help="Show this policy's episodes (policy.safetensors).")] = None,
    features: Annotated[str | None, typer.Option(metavar="A,B", help="The heat map's first two features.")] = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("inspect.html"),
    seconds: Annotated[float, typer.Option(help="Of each episode, at most.")] = 20.0,
    no_films: Annotated[bool, typer.Option("--no-films", help="Draw nothing: numbers only, sooner.")] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    runs: Runs = Path("runs"),
    env_kwargs: EnvKwargs = None,
    trust: Trust = False,
    allow_unsandboxed: Annotated[bool, typer.Option("--allow-unsandboxed", help="Dangerous.")] = False,
    as_json: AsJson = False,
) -> None:
    """Scrub films with every component over time, see the reward over any two features, and what changed."""
    log_to_stderr()
    from rewardsmith.loop.inspecting import inspect_reward

    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"the page is written as .html, not as {out.name}", hint=f"--out {out.with_suffix('.html')}")
    found = inspect_reward(
        reward,
        env,
        out=out,
        against=against,
        policy=policy,
        features=[name.strip() for name in _names(features)],
        seconds=seconds,
        films=not no_films,
        env_kwargs=parse_kwargs(env_kwargs),
        runs=runs,
        trust=trust,
        allow_unsandboxed=allow_unsandboxed,
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        show(found)
    if open_it and not webbrowser.open(out.resolve().as_uri()):
        progress.print("no browser could be opened")


def _names(features: str | None) -> list[str]:
    """Names between commas; those inside brackets belong to a name."""
    if features is None:
        return []
    names, depth = [""], 0
    for letter in features:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            names.append("")
        else:
            names[-1] += letter
    return names


def show(found: Inspection) -> None:
    """A summary on stdout."""
    results.print(f"[bold]{wash(found.reward)}[/] in {wash(found.env)}", soft_wrap=True)
    for note in found.notes:
        results.print(wash(note), soft_wrap=True)
    table = Table("component")
    for title in ("share", "mean per step", "lowest", "highest", "fires in"):
        table.add_column(title, justify="right")
    for s in found.components:
        share = "" if s.share is None else f"{100 * s.share:.0f} %"
        numbers = (f"{value:.3g}" for value in (s.mean, s.low, s.high))
        table.add_row(wash(s.name), share, *numbers, f"{100 * s.fires:.0f} %")
    results.print(table)
    if found.against is not None:
        _show_changes(found)
    for f in found.findings:
        if f.severity != "info":
            results.print(f"  {f.severity} {f.id}: {wash(f.message, 300)}", soft_wrap=True)
    results.print(f"Page: {wash(str(found.path))}  (open it in a browser)", soft_wrap=True)


def _show_changes(found: Inspection) -> None:
    changes = found.against
    assert changes is not None
    results.print(f"From [bold]{wash(changes.before)}[/]:", soft_wrap=True)
    said = [f"added {wash(name)}" for name in changes.added] + [f"removed {wash(name)}" for name in changes.removed]
    said += [
        f"{wash(p.name)}: {'none' if p.before is None else f'{p.before:g}'} -> "
        f"{'none' if p.after is None else f'{p.after:g}'}"
        for p in changes.parameters
    ]
    for line in (*said, *changes.other):
        results.print(f"  {line}", soft_wrap=True)
    for name, metric in changes.distances.metrics.items():
        distance = metric.matrix[0][1] if metric.matrix else None
        results.print(f"  {name} {'cannot be computed' if distance is None else f'{distance:.3f}'}")


def register(app: typer.Typer) -> None:
    app.command()(inspect)
