"""The tiny point world with faults in the episodes of chosen members, and a training worker for it.

`python -m tests.helpers.bad_worlds SPEC.json`: the environment's keyword arguments go to `FaultyEnvironment`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rewardsmith.errors import EnvironmentFault
from rewardsmith.train.job import TrainJob, run_train_job
from rewardsmith.train.jobfile import work
from rewardsmith.train.seeding import EpisodeSeeds
from rewardsmith.types import ActionSpec, MemberResult
from tests.helpers import tiny_worker
from tests.helpers.tiny_world import CONTINUOUS, PointEnvironment, PointWorld

Fault = Literal["nan", "inf", "raise", "raise_in_reset", "raise_in_restore", "diverge", "hang", "kill"]


def episode_seeds(seeds: Sequence[int], num_envs: int, *, root: int = 0, episodes: int = 100) -> frozenset[int]:
    """Reset seeds of the first `episodes` training episodes in all rows of the members with these seeds."""
    drawn = EpisodeSeeds(root, seeds, num_envs)
    rows = np.arange(len(seeds) * num_envs)
    return frozenset(seed for _ in range(episodes) for seed in drawn.draw(rows).tolist())


class FaultyWorld(PointWorld):
    """From step `at` on, an episode has the fault that its reset seed stands under."""

    def __init__(self, num_envs: int, action: ActionSpec, faults: Mapping[Fault, frozenset[int]], at: int) -> None:
        super().__init__(num_envs, action)
        self._faults, self._at = faults, at
        self._faulty: dict[Fault, np.ndarray] = {fault: np.zeros(num_envs, bool) for fault in faults}

    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        for fault, bad in self._faults.items():
            self._faulty[fault][ids] = [seed in bad for seed in seeds.tolist()]
            if fault == "raise_in_reset" and self._faulty[fault][ids].any():
                raise RuntimeError("no such level")
        self.diverged[ids] = False
        super().reset(ids, seeds)

    def step(self, action: Tensor) -> None:
        before = self._state.copy()
        super().step(action)
        for fault, faulty in self._faulty.items():
            rows = faulty & (self._t >= self._at)
            if rows.any():
                self._break(fault, rows, before)

    def _break(self, fault: Fault, rows: np.ndarray, before: np.ndarray) -> None:
        match fault:
            case "nan" | "inf":
                self.obs[rows] = float(fault)
            case "raise":
                raise ValueError("the wheel came off")
            case "diverge":
                self._state[rows] = before[rows]
                self._show()
                self.diverged[:] = torch.from_numpy(rows)
                self.terminated |= self.diverged
                self.truncated &= ~self.diverged
            case "hang":
                time.sleep(3600)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)

    def get_state(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        return {**super().get_state(ids), **{fault: rows[ids] for fault, rows in self._faulty.items()}}

    def set_state(self, ids: np.ndarray, state: dict[str, np.ndarray]) -> None:
        super().set_state(ids, state)
        for fault, rows in self._faulty.items():
            rows[ids] = state[fault]
            if fault == "raise_in_restore" and rows[ids].any():
                raise EnvironmentFault("no such save game")


class FaultyEnvironment(PointEnvironment):
    """A point world in which members meet a fault from step `at` of their training episodes on.

    Args:
        faults: the seeds of the members that meet it, by fault.
        num_envs: environments of each member.
    """

    def __init__(
        self, faults: Mapping[Fault, Sequence[int]], *, num_envs: int, at: int, action: ActionSpec = CONTINUOUS
    ) -> None:
        super().__init__(action)
        self._faults: dict[Fault, frozenset[int]] = {f: episode_seeds(s, num_envs) for f, s in faults.items()}
        self._at = at

    def make_world(self, num_envs: int, *, threads: int = 1) -> FaultyWorld:
        return FaultyWorld(num_envs, self.interface.action, self._faults, self._at)


def run(job: TrainJob) -> list[MemberResult]:
    programs = {m.candidate: tiny_worker.program(job.programs[m.candidate]) for m in job.members}
    return run_train_job(job, environment=FaultyEnvironment(**job.env.kwargs), programs=programs)  # type: ignore[arg-type]


if __name__ == "__main__":
    work(Path(sys.argv[1]), run)
