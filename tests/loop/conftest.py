from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from rewardsmith.engine import Job, JobOutcome
from rewardsmith.loop import parts
from rewardsmith.reward.compile import reward_jail
from rewardsmith.train.job import run_train_job
from rewardsmith.train.jobfile import work


@pytest.fixture(scope="session")
def one_jail() -> Iterator[None]:
    """One warm jail for all runs that tests make in this process: each would start its own, which takes seconds."""
    with reward_jail() as jail, pytest.MonkeyPatch.context() as patch:
        patch.setattr(jail, "close", lambda: None)  # as every run does at its end
        patch.setattr(parts, "reward_jail", lambda *, allow_unsandboxed: jail)
        yield


class EngineHere:
    """Trains in this process: the start of another one takes longer than a small training."""

    def __init__(self, workers: int, *, stall_s: float) -> None:
        self.workers = workers

    def run(self, jobs: Sequence[Job]) -> Iterator[JobOutcome]:
        for job in jobs:
            reused = job.result_path.exists()
            if not reused:
                work(job.spec_path, run_train_job)
            yield JobOutcome(job=job, state="done", reused=reused)


@pytest.fixture
def training_here(monkeypatch) -> None:
    monkeypatch.setattr(parts, "LocalEngine", EngineHere)
