"""`rewardsmith envs [NAME]`: what can be trained on, and what a reward may look at there."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from rewardsmith.cli.console import print_json, results, wash
from rewardsmith.cli.design import AsJson, EnvKwargs, parse_kwargs
from rewardsmith.types import ActionSpec


def envs(
    name: Annotated[str | None, typer.Argument(help="A pack or environment; none lists the packs.")] = None,
    env_kwargs: EnvKwargs = None,
    as_json: AsJson = False,
) -> None:
    """List the environment packs, or show one environment's tasks and features."""
    from rewardsmith.envs import list_packs, resolve_env

    if name is None:
        packs = list_packs()
        if as_json:
            print_json([{"name": p.name, "about": p.about, "extra": p.extra, "tasks": list(p.tasks)} for p in packs])
            return
        table = Table(box=None)
        for column in ("pack", "about", "tasks"):
            table.add_column(column)
        for pack in packs:
            needs = f" Needs the extra `{pack.extra}`." if pack.extra else ""
            table.add_row(pack.name, wash(pack.about + needs), ", ".join(pack.tasks))
        results.print(table)
        results.print("Any other Gymnasium id works too, such as Acrobot-v1, and so does the path of a pack folder.")
        return
    environment = resolve_env(name, kwargs=parse_kwargs(env_kwargs))
    interface = environment.interface
    if as_json:
        tasks = {t.name: {"instruction": t.instruction, "metric": t.metric_about} for t in environment.tasks.values()}
        print_json({"name": environment.name, "tasks": tasks, "interface": interface.model_dump(mode="json")})
        return
    results.print(f"[bold]{environment.name}[/]  {wash(environment.about)}")
    for task in environment.tasks.values():
        results.print(f"  task [bold]{task.name}[/]: {wash(task.instruction)}  ({wash(task.metric_about)})")
    table = Table(box=None)
    for column in ("feature", "shape", "dtype", "unit", "range", "about"):
        table.add_column(column)
    for f in interface.features:
        bounds = "" if f.low is None and f.high is None else f"{_bound(f.low)} to {_bound(f.high)}"
        table.add_row(f.name, _shape(f.shape), f.dtype, f.unit, bounds, wash(f.about))
    results.print(table)
    results.print(_action_line(interface.action))


def _action_line(action: ActionSpec) -> str:
    match action.kind:
        case "discrete":
            values = f"one of 0 to {(action.n or 1) - 1}"
        case "multi_discrete":
            values = "each from 0 up to " + ", ".join(str(n - 1) for n in action.nvec or ())
        case _:
            values = "" if action.low is None or action.high is None else f"{min(action.low):g} to {max(action.high):g}"
    return f"action: {action.kind} {_shape(action.shape)} {values}  {wash(action.about)}"


def _shape(shape: tuple[int, ...]) -> str:
    return "(N" + "".join(f", {d}" for d in shape) + ")"


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def register(app: typer.Typer) -> None:
    app.command()(envs)
