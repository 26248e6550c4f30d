"""Experiments for tests, and runs that are written instead of trained."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewardsmith.config import DesignConfig
from rewardsmith.loop.batch.cells import Plan, plan_file
from rewardsmith.store import RunFolder
from rewardsmith.types import Goal, Kept, MemberResult, Proposal, Task, TrainingResult, Verdict
from tests.loop.runs import ENV, TINY_TRAINING

Scores = Sequence[tuple[float, float]]  # (success, fitness) of each seed

SETTINGS = f"""
[design]
candidates = 2
rounds = 1
seeds = 1
final_seeds = 3
videos = false
racing = false
[design.training]
{chr(10).join(f"{key} = {value}" for key, value in TINY_TRAINING.items())}
"""
TINY = f"""
name = "tiny"
envs = ["{ENV}"]
methods = ["eureka"]
models = ["builtin"]
"""


def plan(folder: Path, head: str = TINY, settings: str = SETTINGS) -> Plan:
    """The plan of an experiment file with this text."""
    path = folder / "experiment.toml"
    path.write_text(textwrap.dedent(head) + settings)
    return plan_file(path)


def trained(id: str, scores: Scores) -> TrainingResult:
    members = tuple(
        MemberResult(
            candidate=id, seed=i, state="trained", env_steps=100, wall_s=1, kept=Kept(env_steps=100, episodes=(score,))
        )
        for i, score in enumerate(scores)
    )
    return TrainingResult(candidate=id, members=members)


def write_design(
    run: RunFolder, config: DesignConfig, scores: Scores, *, sparse: Scores = (), task: str = "reach"
) -> None:
    """The records of a design that is finished and whose winner came to `scores`."""
    final = {"r1s0": trained("r1s0", scores)} | ({"sparse": trained("sparse", sparse)} if sparse else {})
    _write(run, config, {"r1s0": scores}, {"final/training": _dump(final), "cost/round-1": {"env_steps": 1000}}, task)


def write_references(run: RunFolder, config: DesignConfig, *, human: Scores, sparse: Scores) -> None:
    """The records of a finished run that trained the references."""
    _write(run, config, {"human": human, "sparse": sparse}, {}, "reach")


def _write(run: RunFolder, config: DesignConfig, search: Mapping[str, Scores], more: dict[str, Any], task: str) -> None:
    proposals = [Proposal(id=id, round=1, sample=i, code="x", origin="file") for i, id in enumerate(search)]
    records: dict[str, Any] = {
        "task": Task(env=config.env, words="go", goal=Goal(kind="pack", task=task)).model_dump(mode="json"),
        "round-1/proposals": [p.model_dump(mode="json") for p in proposals],
        "round-1/training": _dump({id: trained(id, scores) for id, scores in search.items()}),
        "session/1": {"wall_s": 7.0},
        **{f"candidate/{id}/verdict": Verdict(candidate=id, accepted=True).model_dump(mode="json") for id in search},
        **more,
        "finished": {"best": next(iter(search))},
    }
    with run.journal() as journal:
        for key, record in records.items():
            journal.once(key, lambda record=record: record)


def _dump(results: Mapping[str, TrainingResult]) -> dict[str, Any]:
    return {id: result.model_dump(mode="json") for id, result in results.items()}
