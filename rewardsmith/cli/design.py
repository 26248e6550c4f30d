"""`rewardsmith design ENV "WORDS"`: design a reward."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rewardsmith.cli.console import log_to_stderr, print_json
from rewardsmith.errors import UsageError
from rewardsmith.store import read_text_file


class FeedbackDetail(StrEnum):
    NONE = "none"
    SCALAR = "scalar"
    FULL = "full"
    HUMAN = "human"
    PROXY = "proxy"


def parse_settings(settings: list[str]) -> dict[str, object]:
    """`KEY=VALUE` pairs as typed values.

    Raises: UsageError: not of that form.
    """
    parsed: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting} is not KEY=VALUE", hint="for example --set learning_rate=1e-3")
        parsed[key] = _parse_value(value)
    return parsed


def _parse_value(text: str) -> object:
    """A number, a flag, a list of numbers (`64,64` or `[64, 64]`), else the text itself."""
    for form in (text, f"[{text}]"):
        try:
            return json.loads(form)
        except json.JSONDecodeError:
            continue
    return text


def parse_kwargs(text: str | None) -> dict[str, object]:
    """`--env-kwargs` as a dict. Raises: UsageError: not a JSON object."""
    if text is None:
        return {}
    try:
        kwargs = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"--env-kwargs is not JSON: {error}", hint="""for example --env-kwargs '{"hardcore": true}'"""
        ) from None
    if not isinstance(kwargs, dict):
        raise UsageError("--env-kwargs must be a JSON object", hint="""for example '{"hardcore": true}'""")
    return kwargs


def default_model() -> str:
    """A language model only where the person has set one up; otherwise `builtin`."""
    import os

    return os.environ.get("REWARDSMITH_MODEL", "builtin")


Env = Annotated[str, typer.Argument(help="A pack (see `envs`), a pack folder, a Gymnasium id, or module:Id.")]
EnvKwargs = Annotated[
    str | None, typer.Option("--env-kwargs", metavar="JSON", help="Keyword arguments of the environment.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON line.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A training setting, such as env_steps=100000. Repeatable."),
]
StallS = Annotated[
    float, typer.Option(min=1, help="An environment without a sign of life for so many seconds hangs, and is ended.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Training processes (default: one a core).")]


def design(
    env: Env,
    words: Annotated[str, typer.Argument(help="What the agent should do. Empty: the pack's own task.")] = "",
    task: Annotated[str | None, typer.Option(help="Measure success by this task of the pack.")] = None,
    metric: Annotated[Path | None, typer.Option(help="Measure success by this file: step() and episode().")] = None,
    llm: Annotated[
        str | None, typer.Option(help="A model's name, desk[:DIR], replay:FILE, or builtin (no language model).")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible endpoint (Ollama, vLLM, llama.cpp, ...).")
    ] = None,
    method: Annotated[
        str, typer.Option(help="rewardsmith, eureka, icpl, auto_mc, oneshot, or module:Class (docs/methods.md).")
    ] = "rewardsmith",
    rounds: Annotated[
        int | None, typer.Option("--rounds", "--iterations", min=1, help="Default: the method's, often 2.")
    ] = None,
    stop_when_solved: Annotated[
        bool, typer.Option("--stop-when-solved", help="No further round once a reward succeeds in 100 more episodes.")
    ] = False,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="Rewards proposed a round. Default: the method's, often 8.")
    ] = None,
    train: Annotated[
        int | None, typer.Option(min=1, help="Train so many of them, chosen on recorded episodes (default: all).")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Training seeds of each candidate. Default: often 2.")
    ] = None,
    final_seeds: Annotated[int, typer.Option(min=0, help="Fresh seeds for the headline comparison; 0 skips it.")] = 5,
    repairs: Annotated[int, typer.Option(min=0, help="How often a refused reward goes back to its designer.")] = 2,
    review_rounds: Annotated[
        int | None, typer.Option("--review", min=0, max=3, help="Rounds of review by a language model before training.")
    ] = None,
    review_llm: Annotated[str | None, typer.Option(help="The reviewing model (default: the one that designs).")] = None,
    summaries: Annotated[
        bool | None, typer.Option(help="Have the language model sum up what the analyzer found.")
    ] = None,
    sign_only: Annotated[
        bool, typer.Option("--sign-only", help="Rewards decide signs only: sgn(sparse) + 0.1 sgn(dense).")
    ] = False,
    feedback: Annotated[
        FeedbackDetail | None,
        typer.Option(
            help="What the designer is told (ablations); method icpl: human, people judge, or proxy, the metric."
        ),
    ] = None,
    raters: Annotated[int, typer.Option(min=1, help="People whose votes a round waits for (feedback human).")] = 1,
    from_reward: Annotated[Path | None, typer.Option("--from", help="Start from this reward file.")] = None,
    racing: Annotated[bool, typer.Option(help="Drop the weakest candidates early.")] = True,
    finalist_seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Seeds of a race's finalists at most, from the steps it freed.")
    ] = 4,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    settings: Settings = None,
    temperature: Annotated[float, typer.Option(min=0)] = 1.0,
    reply_tokens: Annotated[int, typer.Option(min=1, help="Longest reply of the model, in tokens.")] = 3000,
    timeout_s: Annotated[float, typer.Option(min=1, help="Longest wait for one reply, in seconds.")] = 300,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight; 1 for a small local server.")] = 4,
    usd_per_million: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Your prices in dollars per million prompt and completion tokens: --usd-per-million 2 8."),
    ] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Budget for model calls, in dollars.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=0, help="Budget in tokens.")] = None,
    max_env_steps: Annotated[int | None, typer.Option(min=0, help="Budget in environment steps.")] = None,
    max_wall_s: Annotated[float | None, typer.Option(min=0, help="Budget in seconds.")] = None,
    workers: Workers = None,
    stall_s: StallS = 900,
    videos: Annotated[bool, typer.Option(help="Film the winner for the report.")] = True,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard event files.")] = False,
    env_kwargs: EnvKwargs = None,
    runs: Runs = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept a model-written goal without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the prompt and the cost, and stop.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="With replay: a drifted prompt is an error.")] = False,
    allow_unsandboxed: Annotated[
        bool, typer.Option("--allow-unsandboxed", help="Run model code without a jail where none works. Dangerous.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Design a reward: propose, check, train, look, improve."""
    log_to_stderr()
    from rewardsmith.budget import BudgetLimits
    from rewardsmith.cli.goal import ask_about_goal
    from rewardsmith.cli.live import LiveView
    from rewardsmith.cli.show import show_run
    from rewardsmith.cli.voting import VotingPage
    from rewardsmith.config import DesignConfig, ModelConfig
    from rewardsmith.loop.api import design_reward
    from rewardsmith.loop.goal import accept_any_goal
    from rewardsmith.loop.methods import settings_of
    from rewardsmith.types import EnvSpec

    given: dict[str, object] = {
        "env": EnvSpec(name=env, kwargs=parse_kwargs(env_kwargs)),
        "words": words,
        "task": task,
        "metric": str(metric) if metric else None,
        "model": ModelConfig(
            llm=llm or default_model(),
            base_url=base_url,
            temperature=temperature,
            max_tokens=reply_tokens,
            timeout_s=timeout_s,
            concurrency=concurrency,
            usd_per_million=usd_per_million,
            strict_replay=strict,
        ),
        "rounds": rounds,
        "stop_when_solved": stop_when_solved or None,  # some methods do so by themselves
        "candidates": candidates,
        "train": train,
        "summaries": summaries,
        "sign_only": sign_only,
        "seeds": seeds,
        "repairs": repairs,
        "review_rounds": review_rounds,
        "review_llm": review_llm,
        "final_seeds": final_seeds,
        "feedback": feedback.value if feedback else None,
        "raters": raters,
        "racing": racing,
        "finalist_seeds": finalist_seeds,
        "seed": seed,
        "from_reward": read_text_file(from_reward) if from_reward else None,
        "training": parse_settings(settings or []),
        "budget": BudgetLimits(usd=max_usd, tokens=max_tokens, env_steps=max_env_steps, wall_s=max_wall_s),
        "workers": workers,
        "stall_s": stall_s,
        "videos": videos,
        "tensorboard": tensorboard,
        "allow_unsandboxed": allow_unsandboxed,
    }
    config = DesignConfig.model_validate(settings_of(method, given))
    if dry_run:
        from rewardsmith.cli.dry_run import show_plan
        from rewardsmith.loop.plan import plan_run

        show_plan(plan_run(config), as_json=as_json)
        return
    with LiveView() as view, VotingPage(view) as observe:
        run = design_reward(
            config, runs=runs, observe=observe, approve_goal=accept_any_goal if yes else view.asking(ask_about_goal)
        )
    if as_json:
        print_json(run.model_dump(mode="json"))
    else:
        show_run(run)


def register(app: typer.Typer) -> None:
    app.command()(design)
