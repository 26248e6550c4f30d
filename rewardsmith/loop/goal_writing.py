"""Settles the goal of a run, with the model and the person where words need them, and freezes it."""

from __future__ import annotations

from dataclasses import replace

import torch

from rewardsmith.bank import Bank
from rewardsmith.design.goal import write_goal
from rewardsmith.envs import GoalMetric, score_episodes
from rewardsmith.errors import UsageError
from rewardsmith.loop.goal import ApproveGoal, GoalProposal, ScoredEpisode, settle_task
from rewardsmith.loop.parts import Parts
from rewardsmith.reward.compile import compile_goal
from rewardsmith.reward.graph import parse_goal
from rewardsmith.reward.program import GoalProgram
from rewardsmith.store.atomic import write_text
from rewardsmith.types import Goal, Task

SHOWN = 3  # best and worst episodes shown to the person
GOAL_FILE, GOAL_GRAPH = "goal.py", "goal.graph.json"


def settle(parts: Parts, approve: ApproveGoal) -> None:
    """Set `parts.task`: from its record, from the config, or from a goal the model writes and the person accepts.

    Raises:
        UsageError: the goal was turned down, or words need a language model and there is none.
        NothingAcceptable: the model wrote no usable goal.
    """

    def make() -> dict:
        task = settle_task(parts.config, parts.environment) or _ask_model(parts, approve)
        return task.model_dump(mode="json")

    parts.task = Task.model_validate(parts.journal.once("task", make))
    if parts.task.goal.kind == "model":
        graph = (parts.folder.root / parts.task.goal.path).read_text(encoding="utf-8")
        scores = score_bank(GoalProgram(parse_goal(graph, parts.environment.interface)), parts.bank)
        parts.bank = replace(
            parts.bank,
            fitness=torch.tensor([s.progress for s in scores], dtype=torch.float64),
            success=torch.tensor([s.success for s in scores], dtype=torch.float64),
            goal=parts.task.goal.about,
        )
    parts.say(f"goal: {parts.task.goal.about}")


def _ask_model(parts: Parts, approve: ApproveGoal) -> Task:
    words = parts.config.words.strip()
    written = write_goal(parts.model, parts.card, words, parts.jail)
    about, code, program = written.about, written.code, written.program
    answer = approve(_proposal(about, code, program, parts.bank))
    while answer.edited is not None:
        compiled = compile_goal(answer.edited, parts.environment.interface, parts.jail)
        if compiled.program is None:
            problem = "; ".join(f.message for f in compiled.findings if f.severity == "refuse")
            raise UsageError(f"your goal.py was refused: {problem}", hint="correct it; the run can be resumed")
        code, program = answer.edited, compiled.program
        about = answer.about or f"{about} (the code was edited since)"
        answer = approve(_proposal(about, code, program, parts.bank))
    if not answer.accepted:
        raise UsageError(
            "the goal was turned down, so nothing was trained",
            hint="say it in other words, or give --metric FILE or --task NAME",
        )
    write_text(parts.folder.root / GOAL_FILE, code)
    write_text(parts.folder.root / GOAL_GRAPH, program.to_json())
    goal = Goal(kind="model", code=code, path=GOAL_GRAPH, about=" ".join(about.split()))
    return Task(env=parts.config.env, words=words, goal=goal)


def _proposal(about: str, code: str, program: GoalProgram, bank: Bank) -> GoalProposal:
    scored = sorted(score_bank(program, bank), key=lambda e: (e.success, e.progress), reverse=True)
    return GoalProposal(about=about, code=code, best=tuple(scored[:SHOWN]), worst=tuple(scored[-SHOWN:][::-1]))


def score_bank(program: GoalProgram, bank: Bank) -> list[ScoredEpisode]:
    """Every recorded episode as the goal scores it."""
    metric = GoalMetric(program)
    lengths = torch.bincount(bank.episode, minlength=bank.episodes)
    quantities = metric.step(
        bank.next_obs,
        bank.obs,
        action=bank.action,
        native_reward=torch.zeros(len(bank)),
        terminated=bank.terminated,
    )
    progress, success = score_episodes(metric, quantities, lengths)
    ends = torch.cumsum(lengths, 0) - 1
    return [
        ScoredEpisode(
            episode=i,
            length=int(lengths[i]),
            success=float(success[i]),
            progress=float(progress[i]),
            last={name: float(values[ends[i]]) for name, values in quantities.items()},
        )
        for i in range(bank.episodes)
    ]
