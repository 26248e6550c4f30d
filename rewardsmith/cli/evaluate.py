"""`rewardsmith eval RUN|POLICY`: measure a trained policy again, on episodes of your choice, and film it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewardsmith.cli.console import log_to_stderr, print_json, results, wash
from rewardsmith.cli.design import AsJson, Runs
from rewardsmith.cli.resume import Trust
from rewardsmith.errors import UsageError


def evaluate(
    target: Annotated[str, typer.Argument(help='A run (id, folder, "latest") or a policy.safetensors.')],
    env: Annotated[str | None, typer.Option(help="For a policy file outside a run: its environment.")] = None,
    task: Annotated[str | None, typer.Option(help="For a policy file outside a run: the pack's task.")] = None,
    episodes: Annotated[int, typer.Option(min=1)] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Root of the episodes' seeds.")] = 0,
    video: Annotated[Path | None, typer.Option(help="Film the first episode into this .mp4 file.")] = None,
    runs: Runs = Path("runs"),
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Measure a trained policy with the clean evaluator: it knows only weights, environment, metric and seeds."""
    log_to_stderr()
    from rewardsmith.loop.evaluation import evaluate_policies
    from rewardsmith.stats import MIN_SEEDS, interval

    if video is not None and video.suffix.lower() != ".mp4":
        raise UsageError(f"a film is written as .mp4, not as {video.name}", hint=f"--video {video.with_suffix('.mp4')}")
    rows = evaluate_policies(
        target, env=env, task=task, episodes=episodes, seed=seed, video=video, runs=runs, trust=trust
    )
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    for row in rows:
        results.print(
            f"{wash(row.policy)}: success {sum(row.success) / len(row.success):.2f} of {len(row.success)} episodes"
        )
        if len(row.fitness) >= MIN_SEEDS:
            results.print(f"  fitness {interval(row.fitness, over='episodes, not seeds')}")
    if video:
        results.print(f"Video: {video}")


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)
