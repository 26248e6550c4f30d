"""Settles the goal of a run, with the model and the person where words need them, and freezes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from rewardsmith.bank import Bank
from rewardsmith.design.goal import WrittenGoal, write_goal
from rewardsmith.envs import GoalMetric
from rewardsmith.errors import UsageError
from rewardsmith.loop.goal import ApproveGoal, GoalProposal, ScoredEpisode, settle_task
from rewardsmith.loop.judging import judge
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.summary import located_goal
from rewardsmith.reward.compile import compile_goal
from rewardsmith.reward.program import GoalProgram
from rewardsmith.store.atomic import write_text
from rewardsmith.train.goals import knows_success, load_criterion, load_metric_file
from rewardsmith.types import Check, Goal, Task

SHOWN = 3  # best and worst episodes shown to the person
GOAL = "goal"
SUCCESS = "Success:"  # opens the line of a description that says what counts


class Accepted(NamedTuple):
    """A goal or a check as the person accepted it."""

    about: str
    code: str
    program: GoalProgram


def files_of(name: str) -> tuple[str, str]:
    """Where a run keeps the code and the graph of its goal, or of a check."""
    return f"{name}.py", f"{name}.graph.json"


def check_name(number: int) -> str:
    """The name of the check of a run's wish, counted from 1."""
    return f"check-{number}"


def settle(parts: Parts, approve: ApproveGoal) -> None:
    """Set `parts.task`: from its record, from the run that is refined, from the config, or from a goal that the model
    writes and the person accepts. Each wish of a refined run becomes a check in the same ways.

    Raises:
        UsageError: the goal was turned down, or words need a language model and there is none.
        NothingAcceptable: the model wrote no usable goal.
    """

    def make() -> dict:
        task = _carried(parts) or settle_task(parts.config, parts.environment) or _ask_model(parts, approve)
        goal = task.goal.model_copy(update={"checks": _checks(parts, task, approve)})
        return task.model_copy(update={"goal": goal}).model_dump(mode="json")

    parts.task = Task.model_validate(parts.journal.once("task", make))
    parts.bank = _judged_again(parts)
    parts.say(f"goal: {parts.task.goal.about}")
    for check in parts.task.goal.checks:
        parts.say(f"wish: {check.wish} ({check.about})")


def check_from_file(path: Path, wish: str) -> Check:
    """A person's metric file as the check of a wish.

    Raises: EnvironmentFault: the file fails when loaded. UsageError: there is none, or it cannot judge recordings.
    """
    metric = load_metric_file(path)
    if not metric.judges_recordings:
        raise UsageError(
            f"the check {path} asks for `native_reward` or `info`, which recorded episodes do not have",
            hint="judge by features and `action` alone",
        )
    return Check(kind="metric_file", path=str(path), about=metric.about, wish=wish)


# --- inside ----------------------------------------------------------------------------------------------------------


def _carried(parts: Parts) -> Task | None:
    """The task of the run that is refined, its files written into this one."""
    if parts.carried is None:
        return None
    for name, content in parts.carried.files.items():
        write_text(parts.folder.root / name, content)
    return parts.carried.task


def _ask_model(parts: Parts, approve: ApproveGoal) -> Task:
    words = parts.config.words.strip()
    accepted = _agree(parts, write_goal(parts.model, parts.card, words, parts.jail), approve)
    _write(parts, GOAL, accepted)
    about = " ".join(accepted.about.split())
    goal = Goal(kind="model", code=accepted.code, path=files_of(GOAL)[1], about=about)
    return Task(env=parts.config.env, words=words, goal=goal)


def _checks(parts: Parts, task: Task, approve: ApproveGoal) -> tuple[Check, ...]:
    """A check for every wish of a refined run, in their order."""
    if parts.config.refines is None:
        return ()
    carried = {check.wish: check for check in task.goal.checks}
    numbered = enumerate(parts.config.wishes, 1)
    return tuple(carried.get(wish) or _check(parts, task, number, wish, approve) for number, wish in numbered)


def _check(parts: Parts, task: Task, number: int, wish: str, approve: ApproveGoal) -> Check:
    if (file := parts.config.check_files.get(wish)) is not None:
        return check_from_file(Path(file), wish)
    name = check_name(number)
    written = write_goal(parts.model, parts.card, wish, parts.jail, task=task.words, step=name)
    accepted = _agree(parts, written, approve, wish=wish)
    _write(parts, name, accepted)
    path = files_of(name)[1]
    return Check(kind="model", code=accepted.code, path=path, about=_success_line(accepted.about), wish=wish)


def _success_line(about: str) -> str:
    """What counts, in one line: a check's progress is nobody's concern."""
    lines = about.splitlines()
    counts = [line.removeprefix(SUCCESS) for line in lines if line.startswith(SUCCESS)]
    return " ".join(" ".join(counts or lines).split())


def _agree(parts: Parts, written: WrittenGoal, approve: ApproveGoal, *, wish: str = "") -> Accepted:
    """Ask the person about what the model wrote, until it is accepted as it is or as edited."""
    accepted = Accepted(written.about, written.code, written.program)
    answer = approve(_proposal(accepted, parts.bank, wish))
    while answer.edited is not None:
        compiled = compile_goal(answer.edited, parts.environment.interface, parts.jail)
        if compiled.program is None:
            problem = "; ".join(f.message for f in compiled.findings if f.severity == "refuse")
            raise UsageError(f"your goal.py was refused: {problem}", hint="correct it; the run can be resumed")
        about = answer.about or f"{accepted.about} (the code was edited since)"
        accepted = Accepted(about, answer.edited, compiled.program)
        answer = approve(_proposal(accepted, parts.bank, wish))
    if not answer.accepted:
        raise UsageError(
            f"the {'check' if wish else 'goal'} was turned down, so nothing was trained",
            hint=f"say it in other words, or give {'--check FILE' if wish else '--metric FILE or --task NAME'}",
        )
    return accepted


def _write(parts: Parts, name: str, accepted: Accepted) -> None:
    code, graph = files_of(name)
    write_text(parts.folder.root / code, accepted.code)
    write_text(parts.folder.root / graph, accepted.program.to_json())


def _judged_again(parts: Parts) -> Bank:
    """The recorded random episodes as the settled goal sees them: they were recorded before a model could write it."""
    goal, bank, environment = located_goal(parts.task.goal, parts.folder.root), parts.bank, parts.environment
    if goal.kind == "model":
        judged = judge(load_criterion(environment, goal), bank)
        bank = replace(bank, fitness=judged.fitness, success=judged.success, goal=goal.about)
    if goal.checks:
        own = [bank.success] if knows_success(environment, goal) else []
        met = [judge(load_criterion(environment, check), bank).success for check in goal.checks]
        bank = replace(bank, success=torch.stack([*own, *met]).prod(dim=0))
    return bank


def _proposal(accepted: Accepted, bank: Bank, wish: str) -> GoalProposal:
    scored = sorted(score_bank(accepted.program, bank), key=lambda e: (e.success, e.progress), reverse=True)
    return GoalProposal(
        about=accepted.about,
        code=accepted.code,
        best=tuple(scored[:SHOWN]),
        worst=tuple(scored[-SHOWN:][::-1]),
        wish=wish,
    )


def score_bank(program: GoalProgram, bank: Bank) -> list[ScoredEpisode]:
    """Every recorded episode as the goal scores it."""
    judged = judge(GoalMetric(program), bank)
    ends = torch.cumsum(judged.lengths, 0) - 1
    return [
        ScoredEpisode(
            episode=i,
            length=int(judged.lengths[i]),
            success=float(judged.success[i]),
            progress=float(judged.fitness[i]),
            last={name: float(values[ends[i]]) for name, values in judged.quantities.items()},
        )
        for i in range(bank.episodes)
    ]
