"""The files between the driver and a worker process: what to train, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from rewardsmith.errors import EnvironmentFault, RewardsmithError, RunError, UsageError
from rewardsmith.store.atomic import write_bytes
from rewardsmith.train.job import TrainJob, run_train_job
from rewardsmith.types import MemberResult, Record

_FAULTS: dict[str, type[RewardsmithError]] = {c.__name__: c for c in (RunError, EnvironmentFault, UsageError)}


class WorkerSpec(Record):
    """The spec file."""

    job: TrainJob
    result_path: str


class Problem(Record):
    """Why nothing could be trained: the fault of the machine, the run folder or the environment, not of a candidate."""

    kind: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: RewardsmithError) -> Problem:
        kind = next((name for name, fault in _FAULTS.items() if isinstance(error, fault)), RunError.__name__)
        return cls(kind=kind, message=error.message, hint=error.hint)

    def error(self) -> RewardsmithError:
        """The error to raise where the result is read."""
        return _FAULTS.get(self.kind, RunError)(self.message, hint=self.hint)


class WorkerResult(Record):
    """The result file: the members' results in the order of the job, or a problem."""

    members: tuple[MemberResult, ...] = ()
    problem: Problem | None = None


def read_result(path: Path) -> WorkerResult | None:
    """A job's result; None where there is none, or nothing that is one."""
    try:
        return WorkerResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def work(spec_path: Path, run: Callable[[TrainJob], list[MemberResult]] = run_train_job) -> None:
    """Run the job of a spec file and write its result atomically."""
    spec = WorkerSpec.model_validate_json(spec_path.read_bytes())
    try:
        result = WorkerResult(members=tuple(run(spec.job)))
    except RewardsmithError as error:
        result = WorkerResult(problem=Problem.of(error))
    write_bytes(Path(spec.result_path), result.model_dump_json(indent=1).encode())
