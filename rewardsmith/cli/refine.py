"""`rewardsmith refine RUN "WORDS"`: a new round from a run's best reward, with a wish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rewardsmith.cli.console import log_to_stderr, print_json
from rewardsmith.cli.design import AsJson, Runs, Settings, parse_settings
from rewardsmith.cli.resume import Trust


def refine(
    run: Annotated[str, typer.Argument(help='A run\'s id or folder, or "latest".')],
    wish: Annotated[str, typer.Argument(metavar="WORDS", help="What should be otherwise, in plain words.")],
    check: Annotated[
        Path | None, typer.Option(help="Check the wish with this file: step() and episode(), as for --metric.")
    ] = None,
    llm: Annotated[str | None, typer.Option(help="Another model than the run's: see `design`.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Its OpenAI-compatible endpoint.")] = None,
    candidates: Annotated[int | None, typer.Option(min=1, help="Changes proposed a round (default: 6).")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Default: 1.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Training seeds of each candidate (default: the run's).")
    ] = None,
    final_seeds: Annotated[
        int | None, typer.Option(min=0, help="Fresh seeds for the comparison; 0 skips it (default: the run's).")
    ] = None,
    settings: Settings = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Budget for model calls, in dollars.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=0, help="Budget in tokens.")] = None,
    max_env_steps: Annotated[int | None, typer.Option(min=0, help="Budget in environment steps.")] = None,
    max_wall_s: Annotated[float | None, typer.Option(min=0, help="Budget in seconds.")] = None,
    runs: Runs = Path("runs"),
    trust: Trust = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept a model-written check without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the prompts and the cost, and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Change a run's best reward a little until its policies meet a wish, too. What was asked before still counts."""
    log_to_stderr()
    from rewardsmith.cli.goal import ask_about_goal
    from rewardsmith.cli.live import LiveView
    from rewardsmith.cli.show import show_run
    from rewardsmith.loop.goal import accept_any_goal
    from rewardsmith.loop.refining import plan_refinement, refine_run

    given: dict[str, Any] = {
        "check": check,
        "runs": runs,
        "trust": trust,
        "candidates": candidates,
        "rounds": rounds,
        "seeds": seeds,
        "final_seeds": final_seeds,
        "model": {"llm": llm, "base_url": base_url},
        "training": parse_settings(settings or []),
        "budget": {"usd": max_usd, "tokens": max_tokens, "env_steps": max_env_steps, "wall_s": max_wall_s},
    }
    if dry_run:
        from rewardsmith.cli.dry_run import show_plan

        show_plan(plan_refinement(run, wish, **given), as_json=as_json)
        return
    with LiveView() as view:
        summary = refine_run(
            run,
            wish,
            observe=view,
            approve_goal=accept_any_goal if yes else view.asking(ask_about_goal),
            **given,
        )
    if as_json:
        print_json(summary.model_dump(mode="json"))
    else:
        show_run(summary)


def register(app: typer.Typer) -> None:
    app.command()(refine)
