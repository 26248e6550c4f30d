"""Trained policies measured again, and filmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rewardsmith.analyze.video import encode_mp4
from rewardsmith.clips import replay
from rewardsmith.config import FRESH_SEED
from rewardsmith.engine import watching
from rewardsmith.envs import Environment
from rewardsmith.errors import UsageError
from rewardsmith.loop.building import build
from rewardsmith.loop.summary import load_run, located_goal
from rewardsmith.loop.trust import require_trust
from rewardsmith.store import inside
from rewardsmith.store.atomic import write_bytes
from rewardsmith.train import Policy, Trajectory, evaluate, load_metric, load_policy
from rewardsmith.types import Goal, Record

FILM_FRAMES = 250  # at most; longer episodes skip steps
FILM_FPS = 25.0


class PolicyScores(Record):
    """One policy's episodes."""

    policy: str
    success: tuple[float, ...]
    fitness: tuple[float, ...]
    length: tuple[int, ...]


def evaluate_policies(
    target: str,
    *,
    env: str | None = None,
    task: str | None = None,
    episodes: int = 20,
    seed: int = 0,
    video: Path | None = None,
    runs: str | Path = "runs",
    trust: bool = False,
) -> list[PolicyScores]:
    """Measure a run's best policies (every fresh seed, else every search seed), or one policy file.

    Args:
        trust: run the code of the environment and the metric that a run names even if somebody else made the run.

    Raises: UsageError: there is no policy, a policy file comes without `env`, or the run needs `trust`.
    """
    if target.endswith(".safetensors"):
        if env is None:
            raise UsageError(
                f"{target} does not say how success is measured", hint="add --env NAME, and --task if needed"
            )
        environment, paths = build(env), [Path(target)]
        goal = (
            Goal(kind="pack", task=task or environment.default_task or "") if environment.tasks else Goal(kind="native")
        )
    else:
        run = load_run(target, runs=runs)
        if run.best is None or run.task is None:
            raise UsageError(f"the run {run.id} has no trained policy yet", hint=f"rewardsmith resume {run.id}")
        require_trust(run, "eval", trust=trust)
        environment = build(run.config.env.name, run.config.env.kwargs)
        goal = located_goal(run.task.goal, run.root)
        paths = winner_policies(run.root, run.best)
    policies = [load_policy(path) for path in paths]
    metric, record = load_metric(environment, goal), video is not None
    with watching(f"measuring policies in {environment.name}"):
        scores = evaluate(environment, metric, policies, episodes=episodes, seed=seed, record=record)
    if video is not None:
        with watching(f"filming {environment.name}"):
            write_bytes(video, film_of(environment, scores[0].trajectories[0]))
    return [
        PolicyScores(
            policy=str(path),
            success=tuple(s.success.tolist()),
            fitness=tuple(s.fitness.tolist()),
            length=tuple(s.length.tolist()),
        )
        for path, s in zip(paths, scores, strict=True)
    ]


def winner_policies(root: Path, winner: str) -> list[Path]:
    """Policies of the fresh seeds where there are some, else of the search seeds.

    Raises: UsageError: none was trained. RunError: one is no file of this run.
    """
    found = (root / "candidates" / winner / "seeds").glob("*/policy.safetensors")
    seeds = sorted((int(p.parent.name), inside(root, p)) for p in found if p.parent.name.isdecimal())
    fresh = [path for seed, path in seeds if seed >= FRESH_SEED]
    if not seeds:
        raise UsageError(f"no policy of {winner} in {root}", hint=f"rewardsmith resume {root.name}")
    return fresh or [path for _, path in seeds]


def record_best(environment: Environment, goal: Goal, policies: list[Policy], *, seed: int) -> Trajectory:
    """One episode of the policy that does best on four common seeds, and of those its median one."""
    scores = evaluate(environment, load_metric(environment, goal), policies, episodes=4, seed=seed, record=True)
    best = max(scores, key=lambda s: (s.success.mean(), s.fitness.mean()))
    order = np.lexsort((best.fitness, best.success))
    return best.trajectories[int(order[len(order) // 2])]


def film_of(environment: Environment, trajectory: Trajectory, *, size: int = 320) -> bytes:
    """Play a recorded episode again (same seed, same actions) and film it as mp4.

    Raises: EnvironmentFault: the environment cannot be drawn here, or ffmpeg is missing.
    """
    steps = len(trajectory.action)
    skip = max(1, -(-steps // FILM_FRAMES))
    shown = [*range(0, steps, skip), steps]
    return encode_mp4(list(replay(environment, trajectory.seed, trajectory.action, shown, size=size)), fps=FILM_FPS)
