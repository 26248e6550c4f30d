"""`rewardsmith train ENV REWARD`: train PPO on one reward file, with several seeds at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewardsmith.cli.console import log_to_stderr, print_json
from rewardsmith.cli.design import AsJson, Env, Runs, Settings, Workers, parse_settings


def train(
    env: Env,
    reward: Annotated[str, typer.Argument(help="A reward file, or human or sparse (the pack's references).")],
    task: Annotated[str | None, typer.Option(help="Measure success by this task of the pack.")] = None,
    metric: Annotated[Path | None, typer.Option(help="Measure success by this file.")] = None,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    settings: Settings = None,
    workers: Workers = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard event files.")] = False,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Train on one reward and measure success with intervals."""
    log_to_stderr()
    from rewardsmith.cli.live import LiveView
    from rewardsmith.cli.show import show_run
    from rewardsmith.loop.api import train_reward

    with LiveView() as view:
        run = train_reward(
            env,
            reward if reward in ("human", "sparse") else Path(reward),
            seeds=seeds,
            runs=runs,
            observe=view,
            task=task,
            metric=str(metric) if metric else None,
            seed=seed,
            training=parse_settings(settings or []),
            workers=workers,
            tensorboard=tensorboard,
        )
    if as_json:
        print_json(run.model_dump(mode="json"))
    else:
        show_run(run)


def register(app: typer.Typer) -> None:
    app.command()(train)
