"""`rewardsmith train ENV REWARD`: train on one reward file, with several seeds, and measure the policies."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rewardsmith.cli.console import log_to_stderr, print_json
from rewardsmith.cli.design import AsJson, Env, Runs, Settings, StallS, Workers, parse_settings
from rewardsmith.errors import UsageError


class Trainer(StrEnum):
    POPULATION = "population"
    SB3 = "sb3"


class Algo(StrEnum):
    PPO = "ppo"
    A2C = "a2c"
    SAC = "sac"
    TD3 = "td3"
    DDPG = "ddpg"
    DQN = "dqn"


def train(
    env: Env,
    reward: Annotated[
        str | None, typer.Argument(help="A reward file, or human or sparse (the pack's references).")
    ] = None,
    named: Annotated[str | None, typer.Option("--reward", help="The same as an option.")] = None,
    trainer: Annotated[
        Trainer, typer.Option(help="population (ours, all seeds at once), or sb3 (Stable-Baselines3).")
    ] = Trainer.POPULATION,
    algo: Annotated[Algo | None, typer.Option(help="With --trainer sb3: the algorithm (default ppo).")] = None,
    task: Annotated[str | None, typer.Option(help="Measure success by this task of the pack.")] = None,
    metric: Annotated[Path | None, typer.Option(help="Measure success by this file.")] = None,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    settings: Settings = None,
    workers: Workers = None,
    stall_s: StallS = 900,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard event files.")] = False,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Train on one reward and measure success with intervals."""
    log_to_stderr()
    if (reward is None) == (named is None):
        raise UsageError("train needs one reward", hint="rewardsmith train ENV reward.py (or human, or sparse)")
    if algo is not None and trainer is Trainer.POPULATION:
        raise UsageError("--algo needs --trainer sb3", hint="the trainer of our own is always PPO")
    source = reward or named or ""
    from rewardsmith.cli.live import LiveView
    from rewardsmith.cli.show import show_run
    from rewardsmith.loop.api import train_reward

    with LiveView() as view:
        run = train_reward(
            env,
            source if source in ("human", "sparse") else Path(source),
            seeds=seeds,
            runs=runs,
            observe=view,
            task=task,
            metric=str(metric) if metric else None,
            seed=seed,
            trainer=trainer.value,
            algo=(algo or Algo.PPO).value,
            training=parse_settings(settings or []),
            workers=workers,
            stall_s=stall_s,
            tensorboard=tensorboard,
        )
    if as_json:
        print_json(run.model_dump(mode="json"))
    else:
        show_run(run)


def register(app: typer.Typer) -> None:
    app.command()(train)
