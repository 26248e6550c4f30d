"""Which of several rewards is better: trained on the same seeds, answered with intervals or "cannot tell yet"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from rewardsmith.config import DesignConfig
from rewardsmith.engine import STALL_S
from rewardsmith.errors import UsageError
from rewardsmith.loop.beginning import drive_new
from rewardsmith.loop.building import MORE_TIME, build
from rewardsmith.loop.driver import start
from rewardsmith.loop.events import Observer, silent
from rewardsmith.loop.goal import ApproveGoal, accept_any_goal
from rewardsmith.loop.summary import RunSummary
from rewardsmith.stats import Answer, decide
from rewardsmith.store import read_text_file
from rewardsmith.store.folder import slug
from rewardsmith.types import EnvSpec, Record

REFERENCES = ("human", "sparse")  # names of the rewards that come with packs


class Row(Record):
    """One reward of a comparison: the scores of the policy that each seed kept."""

    name: str
    success: tuple[float, ...]
    fitness: tuple[float, ...]


class Comparison(Record):
    """`answers[(a, b)]` says whether a is better than b: by success where that separates them, else by fitness."""

    run: RunSummary
    rows: tuple[Row, ...]
    answers: dict[tuple[str, str], Answer]


def train_reward(
    env: str,
    reward: str | Path,
    *,
    seeds: int = 3,
    runs: str | Path = "runs",
    observe: Observer = silent,
    approve_goal: ApproveGoal = accept_any_goal,
    **options: object,
) -> RunSummary:
    """Train PPO on one reward, with several seeds at once, and measure success with the clean evaluator.

    Args:
        reward: a reward file, its source text, or the name of one of the pack's reference rewards ("human", "sparse").
        **options: fields of `DesignConfig`, such as `task="forward"` or `training={"env_steps": 100_000}`.
    """
    name = slug(reward.stem) if isinstance(reward, Path) else "reward"
    return _train_given(
        env, {name: reward}, seeds=seeds, runs=runs, observe=observe, approve_goal=approve_goal, **options
    )


def compare_rewards(
    env: str,
    rewards: Mapping[str, str | Path] | Sequence[Path],
    *,
    seeds: int = 5,
    runs: str | Path = "runs",
    observe: Observer = silent,
    approve_goal: ApproveGoal = accept_any_goal,
    **options: object,
) -> Comparison:
    """Train several rewards on the same seeds and say which is better, where that can be said.

    Args:
        rewards: name -> reward (as in `train_reward`), or a list of files.
    """
    named = dict(rewards) if isinstance(rewards, Mapping) else {slug(path.stem): path for path in rewards}
    run = _train_given(env, named, seeds=seeds, runs=runs, observe=observe, approve_goal=approve_goal, **options)
    rows = []
    for candidate in run.candidates:
        scores = candidate.training.final_scores if candidate.training else []
        rows.append(Row(name=candidate.id, success=tuple(s for s, _ in scores), fitness=tuple(f for _, f in scores)))
    answers: dict[tuple[str, str], Answer] = {
        (a.name, b.name): decide((a.success, a.fitness), (b.success, b.fitness)).answer
        for a, b in combinations(rows, 2)
    }
    return Comparison(run=run, rows=tuple(rows), answers=answers)


def _train_given(
    env: str,
    rewards: Mapping[str, str | Path],
    *,
    seeds: int,
    runs: str | Path,
    observe: Observer,
    approve_goal: ApproveGoal,
    **options: object,
) -> RunSummary:
    stall_s = options.get("stall_s", STALL_S)
    references = build(env, stall_s=stall_s, hint=MORE_TIME).reference_rewards  # type: ignore[arg-type]
    config = DesignConfig(
        env=EnvSpec(name=env),
        method="given",
        rewards={slug(name): _source(reward, references, env) for name, reward in rewards.items()},
        seeds=seeds,
        rounds=1,
        repairs=0,
        final_seeds=0,
        racing=False,
        **options,  # type: ignore[arg-type]
    )
    folder = start(config, Path(runs))
    return drive_new(folder, observe=observe, approve_goal=approve_goal)


def _source(reward: str | Path, references: Mapping[str, str], env: str) -> str:
    """Raises: UsageError: a file that cannot be read, or a reference reward that `env` does not have."""
    if reward in REFERENCES and reward not in references:
        known = f"only {', '.join(references)}" if references else "it has no pack with reference rewards"
        raise UsageError(f"{env} has no {reward} reward: {known}", hint="give the path of a reward file")
    if isinstance(reward, str):
        return references.get(reward, reward)
    return read_text_file(reward, hint="give the path of a reward file, or `human` or `sparse` (the pack's)")
