"""`python -m rewardsmith.train.worker SPEC.json`: one training job in one process."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import TypeAdapter

from rewardsmith.store.atomic import write_bytes
from rewardsmith.train.job import TrainJob, run_train_job
from rewardsmith.types import MemberResult, Record


class WorkerSpec(Record):
    job: TrainJob
    result_path: str


RESULTS = TypeAdapter(list[MemberResult])


def main(spec_path: str) -> None:
    """Run the job of a spec file and write its members' results atomically."""
    spec = WorkerSpec.model_validate_json(Path(spec_path).read_bytes())
    results = run_train_job(spec.job)
    write_bytes(Path(spec.result_path), RESULTS.dump_json(results, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
