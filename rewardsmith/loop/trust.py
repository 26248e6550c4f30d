"""What a run folder made by somebody else would do here, and the consent that it needs."""

from __future__ import annotations

from typing import Literal

from rewardsmith.envs import is_installed
from rewardsmith.errors import UsageError
from rewardsmith.loop.methods import METHODS
from rewardsmith.loop.summary import RunSummary
from rewardsmith.store import made_here

Verb = Literal["resume", "refine", "eval", "export", "prefer", "inspect"]
GO_ON = ("resume", "refine")  # verbs that do everything that the config names


def require_trust(run: RunSummary, verb: Verb, *, trust: bool) -> None:
    """Let `verb` work on a run that this user made here, on one that is trusted, and on one that names no code.

    Raises: UsageError: somebody else made the run, or changed it, and it would run code or use this user's API key.
    """
    if trust or (made_here(run.root) and not _metric_changed(run)):
        return
    reach = _reach(run, verb)
    if reach or verb in GO_ON:
        would = f"; {verb} would use {', '.join(reach)}" if reach else ""
        raise UsageError(
            f"the run {run.id} was not made here by you, or its run.json was changed{would}",
            hint=f"only if you trust whoever made it: rewardsmith {verb} --trust ...",
        )


def _reach(run: RunSummary, verb: Verb) -> list[str]:
    """What the run names beyond its own data."""
    config = run.config
    reach = [] if is_installed(config.env) else [f"the code of the environment {config.env.name!r}"]
    if verb in GO_ON and config.method not in METHODS:
        reach.append(f"the code of the method {config.method!r}")
    files = _configured(run) if verb in GO_ON else []
    files += _metric_files(run) if verb in (*GO_ON, "eval") else []
    reach += [f"the code in {file!r}" for file in dict.fromkeys(files)]
    if verb in GO_ON and config.model.llm != "builtin":
        at = f" at {config.model.base_url!r}, with your API key" if config.model.base_url else ""
        reach.append(f"the model {config.model.llm!r}{at}")
    if verb in GO_ON and config.allow_unsandboxed:
        reach.append("no jail for model-written code")
    return reach


def _configured(run: RunSummary) -> list[str]:
    """The metric files that the config names."""
    return [file for file in (run.config.metric, *run.config.check_files.values()) if file is not None]


def _metric_files(run: RunSummary) -> list[str]:
    """The metric files that the goal and its checks name."""
    if run.task is None:
        return []
    goal = run.task.goal
    return [criterion.path for criterion in (goal, *goal.checks) if criterion.kind == "metric_file"]


def _metric_changed(run: RunSummary) -> bool:
    """Whether the journal names other metric files than `run.json`, which alone is known to be this user's."""
    return not set(_metric_files(run)) <= set(_configured(run))
