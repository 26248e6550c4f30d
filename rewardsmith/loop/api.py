"""The Python API: what the command line calls, and what batch scripts use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rewardsmith.budget import BudgetLimits
from rewardsmith.config import DesignConfig
from rewardsmith.loop.beginning import drive_new
from rewardsmith.loop.comparison import Comparison, compare_rewards, train_reward
from rewardsmith.loop.driver import drive, start
from rewardsmith.loop.events import Observer, Said, silent
from rewardsmith.loop.goal import ApproveGoal, accept_any_goal
from rewardsmith.loop.inspecting import inspect_reward
from rewardsmith.loop.methods import settings_of
from rewardsmith.loop.refining import refine_run
from rewardsmith.loop.summary import RunSummary, config_of, load_run, summarize
from rewardsmith.loop.trust import require_trust
from rewardsmith.store import find_run
from rewardsmith.types import EnvSpec, Verdict

__all__ = [
    "Comparison",
    "RunSummary",
    "check_reward",
    "compare_rewards",
    "design_reward",
    "inspect_reward",
    "load_run",
    "refine_run",
    "resume_run",
    "train_reward",
]


def design_reward(
    env: str | DesignConfig,
    words: str = "",
    *,
    runs: str | Path = "runs",
    observe: Observer = silent,
    approve_goal: ApproveGoal = accept_any_goal,
    **options: object,
) -> RunSummary:
    """Design a reward for `env` that does what `words` say.

    Args:
        env: a pack, a pack folder, a Gymnasium id, "module:Id", or a whole `DesignConfig`.
        words: what the agent should do; empty takes the pack's own task.
        runs: the folder in which the run's folder is made.
        observe: called with every event of the run.
        approve_goal: called once where the model writes the goal; the default accepts it.
        **options: fields of `DesignConfig`, such as `candidates=8`, `rounds=2`, `model=ModelConfig(llm="...")`; what
            is not given is as the method has it.

    Raises: RewardsmithError: any of its kinds, each naming the guilty side.
    """
    if isinstance(env, DesignConfig):
        config = env
    else:
        method = str(options.pop("method", DesignConfig.model_fields["method"].default))
        config = DesignConfig(env=EnvSpec(name=env), words=words, **settings_of(method, options))
    folder = start(config, Path(runs))
    return drive_new(folder, observe=observe, approve_goal=approve_goal)


def resume_run(
    run: str | Path,
    *,
    runs: str | Path = "runs",
    observe: Observer = silent,
    approve_goal: ApproveGoal = accept_any_goal,
    budget: Mapping[str, float] | None = None,
    stall_s: float | None = None,
    trust: bool = False,
) -> RunSummary:
    """Go on with a run from where it stopped; no model call and no finished training is repeated.

    Args:
        run: the run's id, folder, or "latest".
        budget: limits that replace those of the config, such as `{"env_steps": 10_000_000}`.
        stall_s: replaces that of the config: how long the environment may show no sign of life.
        trust: go on with it even if somebody else made it; it may then run Python code and use your API key.
    """
    folder = find_run(str(run), Path(runs))
    folder.require_same_version()
    require_trust(summarize(folder), "resume", trust=trust)
    config = config_of(folder)
    if budget:
        limits = config.budget.model_dump() | dict(budget)
        config = config.model_copy(update={"budget": BudgetLimits.model_validate(limits)})
    if stall_s is not None:
        config = DesignConfig.model_validate(config.model_dump() | {"stall_s": stall_s})
    with folder.journal(read_only=True) as journal:
        finished = journal.get("finished")
    if finished:
        observe(Said("this run is finished: there is nothing to resume"))
    for name, (then, now) in folder.changed_versions().items():
        observe(Said(f"{name} was {then} when the run started and is {now} now: figures may differ"))
    return drive(folder, config, observe=observe, approve_goal=approve_goal)


def check_reward(
    code: str, env: str, *, own_task: bool = False, env_kwargs: Mapping[str, object] | None = None
) -> Verdict:
    """Check one reward's source against an environment: safe, traceable, and sensible on recorded episodes.

    With `own_task` it is for another task than the environment pack's, whose goal states say nothing then.
    """
    from rewardsmith.loop.checking import critic_for

    with critic_for(env, env_kwargs=env_kwargs, own_task=own_task) as critic:
        return critic.check(code, candidate_id="reward").verdict
