from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch

from rewardsmith.train import PpoConfig, TrainJob, run_train_job
from rewardsmith.types import EnvSpec, Goal, Member, MemberResult
from tests.helpers.tiny_world import PointEnvironment

SMALL = PpoConfig(
    env_steps=400,
    num_envs=3,
    rollout_steps=20,
    minibatch_size=25,
    epochs=2,
    hidden=(32,),
    evaluations=3,
    eval_episodes=3,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_job(out: Path, members: Sequence[tuple[str, int]], ppo: PpoConfig = SMALL, **changes: object) -> TrainJob:
    return TrainJob(
        env=EnvSpec(name="tiny"),
        goal=Goal(kind="native"),
        members=tuple(Member(*m) for m in members),
        programs={},
        out=str(out),
        ppo=ppo,
        **changes,  # type: ignore[arg-type]
    )


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., dict[tuple[str, int], MemberResult]]:
    """Run a job on the tiny world in a folder of its own; results by member."""
    count = 0

    def run(
        members: Sequence[tuple[str, int]],
        programs: Mapping[str, object],
        *,
        ppo: PpoConfig = SMALL,
        environment: PointEnvironment | None = None,
        out: Path | None = None,
        **changes: object,
    ) -> dict[tuple[str, int], MemberResult]:
        nonlocal count
        count += 1
        folder = out or tmp_path / f"run-{count}"
        results = run_train_job(
            tiny_job(folder, members, ppo, **changes),
            environment=environment or PointEnvironment(),
            programs=programs,  # type: ignore[arg-type]
        )
        return {(r.candidate, r.seed): r for r in results}

    return run


def files_of(out: Path, candidate: str, seed: int) -> dict[str, bytes]:
    """Everything that a member leaves and that must be the same in every run of it."""
    folder = out / "candidates" / candidate / "seeds" / str(seed)
    return {p.name: p.read_bytes() for p in folder.iterdir() if "previous" not in p.name}
