"""`rewardsmith resume RUN`: go on where a run stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewardsmith.cli.console import log_to_stderr, print_json
from rewardsmith.cli.design import AsJson, Runs

Trust = Annotated[
    bool,
    typer.Option("--trust", help="Somebody else made the run: run the code it names all the same (docs/security.md)."),
]
Run = Annotated[str, typer.Argument(help='A run\'s id or folder, or "latest".')]


def resume(
    run: Run = "latest",
    max_usd: Annotated[float | None, typer.Option(min=0, help="New budget for model calls, in dollars.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=0, help="New budget in tokens.")] = None,
    max_env_steps: Annotated[int | None, typer.Option(min=0, help="New budget in environment steps.")] = None,
    max_wall_s: Annotated[float | None, typer.Option(min=0, help="New budget in seconds, counted from now.")] = None,
    stall_s: Annotated[
        float | None, typer.Option(min=1, help="New limit: seconds that an environment may show no sign of life.")
    ] = None,
    runs: Runs = Path("runs"),
    trust: Trust = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept a model-written goal without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go on with an interrupted run. No model call and no finished training is repeated."""
    log_to_stderr()
    from rewardsmith.cli.goal import ask_about_goal
    from rewardsmith.cli.live import LiveView
    from rewardsmith.cli.show import show_run
    from rewardsmith.cli.voting import VotingPage
    from rewardsmith.loop.api import resume_run
    from rewardsmith.loop.goal import accept_any_goal

    limits = {"usd": max_usd, "tokens": max_tokens, "env_steps": max_env_steps, "wall_s": max_wall_s}
    with LiveView() as view, VotingPage(view) as observe:
        summary = resume_run(
            run,
            runs=runs,
            observe=observe,
            approve_goal=accept_any_goal if yes else view.asking(ask_about_goal),
            stall_s=stall_s,
            trust=trust,
            budget={kind: limit for kind, limit in limits.items() if limit is not None},
        )
    if as_json:
        print_json(summary.model_dump(mode="json"))
    else:
        show_run(summary)


def register(app: typer.Typer) -> None:
    app.command()(resume)
