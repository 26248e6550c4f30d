"""Which goal measures success: settled once, before any reward exists, and frozen by hash (DESIGN section 5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rewardsmith.config import JUDGED, DesignConfig
from rewardsmith.envs import Environment
from rewardsmith.errors import UsageError, unknown
from rewardsmith.types import Goal, Record, Task

PEOPLE = "people watch films of the trained policies, and say which they like best"


class ScoredEpisode(Record):
    """One recorded episode as a proposed goal scores it."""

    episode: int
    length: int
    success: float
    progress: float
    last: dict[str, float]  # what the goal measured at the end


class GoalProposal(NamedTuple):
    """A model-written goal as a person sees it: plain words first, then what it says of recorded episodes.

    `wish` is what it checks, where it is not the goal itself but the check of a wish.
    """

    about: str
    code: str
    best: tuple[ScoredEpisode, ...]
    worst: tuple[ScoredEpisode, ...]
    wish: str = ""


class GoalAnswer(NamedTuple):
    """`accepted` takes the goal as it is; otherwise `edited` is the person's own goal.py, described by `about`, or None
    to stop."""

    accepted: bool
    edited: str | None = None
    about: str = ""


ApproveGoal = Callable[[GoalProposal], GoalAnswer]


def accept_any_goal(proposal: GoalProposal) -> GoalAnswer:
    """What `--yes` does."""
    return GoalAnswer(accepted=True)


def as_told(task: Task, config: DesignConfig) -> Task:
    """The task as designers know it: where raters judge, nothing of what is measured."""
    if config.feedback not in JUDGED:
        return task
    return task.model_copy(update={"goal": task.goal.model_copy(update={"about": PEOPLE})})


def settle_task(config: DesignConfig, environment: Environment) -> Task | None:
    """The task when no model has to write its goal; None when one has to.

    Raises:
        UsageError: the named task or metric file does not exist, or there are words that only a language model
            could turn into a goal and there is none.
    """
    words, tasks = config.words.strip(), environment.tasks

    def task(goal: Goal, instruction: str) -> Task:
        return Task(env=config.env, words=words or instruction, goal=goal, words_given=bool(words))

    if config.metric is not None:
        path = Path(config.metric).resolve()
        if not path.is_file():
            raise UsageError(f"there is no metric file {config.metric}", hint="give the path of an existing .py file")
        about = f"your metric file {path.name}"
        return task(Goal(kind="metric_file", path=str(path), about=about), about)
    if config.unmeasured:
        instruction = tasks[environment.default_task].instruction if environment.default_task else ""
        return task(Goal(kind="people", about=PEOPLE), instruction or f"do well at {environment.name}")
    name = config.task
    if name is None and tasks:
        name = next((t.name for t in tasks.values() if t.instruction.strip() == words), None)
        if not words:
            name = environment.default_task
    if name is not None:
        if name not in tasks:
            raise UsageError(
                unknown(f"task of {environment.name}", name, tasks), hint="rewardsmith envs NAME lists them"
            )
        return task(Goal(kind="pack", task=name, about=tasks[name].metric_about), tasks[name].instruction)
    if not words:
        return task(Goal(kind="native", about=environment.native_metric().about), f"do well at {environment.name}")
    if config.model.llm == "builtin" and config.refines is None:  # a refined run takes its goal over
        raise UsageError(
            f"`builtin` is not a language model: it cannot turn {words!r} into a measure of success",
            hint="leave the words away, name a --task, give --metric FILE, or use a language model with --llm",
        )
    return None
