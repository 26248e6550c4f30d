"""Drives one run from its config to its report; running it again on the same folder is how a run is resumed."""

from __future__ import annotations

from pathlib import Path

from rewardsmith.config import DesignConfig
from rewardsmith.envs import Environment
from rewardsmith.errors import BudgetSpent, Interrupted, RewardRefused, UsageError
from rewardsmith.loop.building import MORE_TIME, build
from rewardsmith.loop.events import Observer
from rewardsmith.loop.failing import nothing_acceptable
from rewardsmith.loop.final import add_reference, film, retrain_winner
from rewardsmith.loop.goal import ApproveGoal, settle_task
from rewardsmith.loop.goal_writing import settle
from rewardsmith.loop.methods import make_method, require_method
from rewardsmith.loop.parts import Parts, attempt, open_configured
from rewardsmith.loop.report import write_report
from rewardsmith.loop.search import search
from rewardsmith.loop.steps import Steps
from rewardsmith.loop.summary import SPARSE, RunSummary, summarize
from rewardsmith.loop.tensorboard import event_writer
from rewardsmith.reward.compile import compile_reward
from rewardsmith.store import RunFolder
from rewardsmith.train import PpoConfig
from rewardsmith.train.sb3 import Sb3Config, try_out

NOTICEABLE = 0.05  # of the budget of env steps


def start(config: DesignConfig, runs: Path) -> RunFolder:
    """Make the folder of a new run, once everything that can be wrong with the request has been looked at.

    Raises: RewardsmithError: the environment, the task, a training setting, the method or the model is at fault.
    """
    environment = _preflight(config)
    if config.metric is not None:  # whole, so that the run's own words say which file is executed
        config = config.model_copy(update={"metric": str(Path(config.metric).resolve())})
    return RunFolder.create(runs, config.model_dump(mode="json"), env=config.env.name, env_about=environment.about)


def _preflight(config: DesignConfig) -> Environment:
    environment = build(config.env.name, config.env.kwargs, stall_s=config.stall_s, hint=MORE_TIME)
    settle_task(config, environment)
    if config.trainer == "sb3":
        sb3 = Sb3Config.for_environment(environment, config.algo, **config.training)
        try_out(sb3, environment.interface.action)
    else:
        ppo = PpoConfig.for_environment(environment, **config.training)
        if ppo.device != "native":
            environment.make_device_world(1, device=ppo.device, captured=False)
    require_method(config)
    if config.model.llm != "builtin":
        open_configured(config.model, Path("desk"))
    elif config.review_rounds and config.review_llm is None:
        raise UsageError("a review needs a language model, and `builtin` is none", hint="name one with --review-llm")
    elif config.summaries:
        raise UsageError("summaries need a language model, and `builtin` is none", hint="name one with --llm")
    return environment


def _tell_budget(parts: Parts) -> None:
    """PPO learns after whole rollouts, so a small budget may be cut noticeably."""
    if parts.config.trainer == "sb3":
        return
    wanted, trained = parts.ppo.env_steps, parts.ppo.trained_steps
    if abs(trained - wanted) > NOTICEABLE * wanted:
        parts.say(
            f"each seed trains {trained:,} env steps, not {wanted:,}: whole rollouts of {parts.ppo.batch:,} "
            "(num_envs x rollout_steps)"
        )


def _look_ahead(parts: Parts) -> None:
    """Find mistakes in what is used late in a run before anything is paid for: the pack's files, the reward given.

    Raises: EnvironmentFault: the pack's goal states or sparse reward are wrong. RewardRefused: `--from` is no reward.
    """
    if parts.journal.get("round-1/proposals") is not None:
        return  # an earlier session has looked; this one may have nothing left to check, and then needs no jail
    parts.critic  # noqa: B018  reads the goal states
    if parts.config.final_seeds and parts.config.refines is None:
        add_reference(parts, SPARSE)
    if parts.config.from_reward is not None:
        compiled = compile_reward(parts.config.from_reward, parts.environment.interface, parts.jail)
        if compiled.program is None:
            found = compiled.findings[0]
            line = f" line {found.line}:" if found.line else ""
            raise RewardRefused(
                f"the reward to start from is refused: {found.id}:{line} {found.message}",
                id=found.id,
                hint=found.hint,
                line=found.line,
            )


def drive(folder: RunFolder, config: DesignConfig, *, observe: Observer, approve_goal: ApproveGoal) -> RunSummary:
    """Work on the run in `folder`, from wherever its journal stands, until its report is written.

    Raises:
        BudgetSpent: a budget ran out; the report of what there is has been written, and the run can be resumed.
        NothingAcceptable: no candidate trained to the end.
        UsageError: the person's own method is at fault; the run can be resumed once it is mended.
        Interrupted: Ctrl-C.
    """
    if config.tensorboard:
        observe = event_writer(folder.root / "tensorboard", observe)
    with folder.lock():
        parts = Parts(folder, config, observe)
        try:
            parts.bank  # noqa: B018  built first: a broken environment must show before any model call
            settle(parts, approve_goal)
            _tell_budget(parts)
            _look_ahead(parts)
            fix = f"nothing is lost, so then go on: rewardsmith resume {folder.root}"
            best = search(make_method(config, fix=fix), Steps(parts))
            if best is not None:
                retrain_winner(parts, best)
                if config.videos:
                    attempt("the video", lambda: film(parts, best), parts.say)
            parts.journal.once("finished", lambda: {"best": best})
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; nothing recorded is lost: rewardsmith resume {folder.root}") from None
        except BudgetSpent:
            write_report(summarize(folder), budget_spent=True)
            raise
        finally:
            parts.close()
        summary = summarize(folder)
        write_report(summary)
    if best is None:
        raise nothing_acceptable(summary)
    return summary
