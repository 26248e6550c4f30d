"""`rewardsmith doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import os
import platform

import typer
from rich.table import Table

from rewardsmith.cli.console import print_json, results, wash
from rewardsmith.cli.design import AsJson
from rewardsmith.errors import EXIT_ENVIRONMENT
from rewardsmith.types import Record


class Check(Record):
    name: str
    ok: bool
    detail: str
    needed: bool = True  # False: an optional part


def examine() -> list[Check]:
    """Every check of this machine; none raises."""
    return [_python(), _torch(), *_jail(), _physics(), _rendering(), _video(), _model(), _minihack()]


def _python() -> Check:
    return Check(
        name="python", ok=True, detail=f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )


def _torch() -> Check:
    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA device: training runs on the CPU"
    return Check(name="torch", ok=True, detail=f"{torch.__version__}; {device}; {os.cpu_count()} cores")


def _jail() -> list[Check]:
    from rewardsmith.jail import probe

    rungs = [rung for rung in probe() if rung.name != "none"]
    some = any(rung.used for rung in rungs)
    summary = "model-written code can be confined" if some else "nothing confines code here: only builtin can design"
    return [
        Check(name="jail", ok=some, detail=summary),
        *(
            Check(
                name=f"jail: {rung.name}",
                ok=rung.available,
                needed=False,
                detail=f"{'in use: ' if rung.used else ''}{', '.join(rung.layers)}; does not stop: {rung.does_not_stop}"
                if rung.available
                else rung.detail,
            )
            for rung in rungs
        ),
    ]


def _physics() -> Check:
    import mujoco

    return Check(name="mujoco", ok=True, detail=mujoco.__version__)


def _rendering() -> Check:
    from rewardsmith.envs import can_render

    problem = can_render()
    return Check(name="rendering", ok=problem == "", needed=False, detail=problem or "works")


def _video() -> Check:
    import imageio_ffmpeg

    try:
        return Check(name="video", ok=True, needed=False, detail=f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")
    except RuntimeError as error:
        return Check(name="video", ok=False, needed=False, detail=str(error))


def _model() -> Check:
    name = os.environ.get("REWARDSMITH_MODEL")
    key = "an API key is set" if os.environ.get("OPENAI_API_KEY") else "no API key is set"
    if name:
        return Check(name="model", ok=True, needed=False, detail=f"REWARDSMITH_MODEL is {name}; {key}")
    detail = f"`builtin` by default (not a language model); {key}; set REWARDSMITH_MODEL or give --llm"
    return Check(name="model", ok=True, needed=False, detail=detail)


def _minihack() -> Check:
    from importlib.util import find_spec

    installed = find_spec("minihack") is not None
    return Check(
        name="minihack",
        ok=installed,
        needed=False,
        detail="installed" if installed else "not installed: pip install 'rewardsmith[minihack]'",
    )


def doctor(as_json: AsJson = False) -> None:
    """Say what works on this machine: device, jail, rendering, model."""
    checks = examine()
    if as_json:
        print_json([c.model_dump() for c in checks])
    else:
        table = Table(box=None, show_header=False)
        for c in checks:
            mark = "[green]ok[/]" if c.ok else "[bold red]no[/]" if c.needed else "[yellow]no[/]"
            table.add_row(mark, c.name, wash(c.detail))
        results.print(table)
    if any(c.needed and not c.ok for c in checks):
        raise typer.Exit(EXIT_ENVIRONMENT)


def register(app: typer.Typer) -> None:
    app.command()(doctor)
