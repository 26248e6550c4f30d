"""`rewardsmith demo`: two designs in a few minutes, both training live, with no key and no GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.syntax import Syntax

from rewardsmith.cli.console import log_to_stderr, progress, results
from rewardsmith.cli.design import Runs, Workers
from rewardsmith.config import DesignConfig, ModelConfig
from rewardsmith.resources import resource_root
from rewardsmith.types import EnvSpec

TRANSCRIPT = resource_root("envs") / "lunar_lander" / "transcript.jsonl"
RECORDED = (
    "The model's replies in this run are a recorded transcript. Only its text is replayed: every reward was checked "
    "and traced here, and every policy trained and measured here."
)


def acts(transcript: Path, workers: int | None) -> list[tuple[str, DesignConfig]]:
    """What the demo runs: a title and a config each."""
    return [
        (
            "Act 1: no model at all. `builtin` composes reward terms and evolves them (it is not a language model).",
            DesignConfig(
                env=EnvSpec(name="mountain_car_continuous"),
                candidates=6,
                rounds=2,
                seeds=2,
                finalist_seeds=2,
                final_seeds=5,
                training={"env_steps": 40_000},
                workers=workers,
            ),
        ),
        (
            "Act 2: a language model designs a lander's reward (recorded transcript), PPO trains it live.",
            DesignConfig(
                env=EnvSpec(name="lunar_lander"),
                model=ModelConfig(llm=f"replay:{transcript}"),
                candidates=2,
                rounds=2,
                seeds=2,
                final_seeds=3,
                racing=False,  # between two candidates with two seeds a race would be decided by luck
                repairs=1,
                training={"env_steps": 150_000},
                workers=workers,
                notes=(RECORDED,),
            ),
        ),
    ]


def demo(
    act: Annotated[int | None, typer.Option(min=1, max=2, help="Only this act.")] = None,
    workers: Workers = None,
    runs: Runs = Path("runs"),
) -> None:
    """Design two rewards in a few minutes: no key, no GPU, everything trained live."""
    log_to_stderr()
    from rewardsmith.cli.live import LiveView
    from rewardsmith.cli.show import show_headline
    from rewardsmith.loop.api import design_reward

    finished = []
    for number, (title, config) in enumerate(acts(TRANSCRIPT, workers), 1):
        if act in (None, number):
            progress.print(f"\n[bold cyan]{title}[/]")
            with LiveView() as view:
                finished.append((title, design_reward(config, runs=runs, observe=view)))
    for title, run in finished:
        results.print(f"\n[bold cyan]{title}[/]")
        if run.best_path:
            results.print(Syntax(run.best_path.read_text(), "python", background_color="default", word_wrap=True))
        show_headline(run)
        results.print(f"Reward: {run.best_path}", soft_wrap=True)
        results.print(f"[bold]Report: {run.root / 'report.html'}[/]  (open it in a browser)", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(demo)
