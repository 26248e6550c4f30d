"""`python -m rewardsmith.train.sb3.worker SPEC.json`: one seed in one process."""

from __future__ import annotations

import sys
from pathlib import Path

from rewardsmith.errors import RewardsmithError
from rewardsmith.store.atomic import write_bytes
from rewardsmith.train.jobfile import Problem, WorkerResult
from rewardsmith.train.sb3.driver import Sb3Job
from rewardsmith.train.sb3.learning import train_seed


def main(spec_path: Path) -> None:
    """Run the job and write its result atomically."""
    job = Sb3Job.model_validate_json(spec_path.read_bytes())
    try:
        result = WorkerResult(members=(train_seed(job),))
    except RewardsmithError as error:
        result = WorkerResult(problem=Problem.of(error))
    write_bytes(Path(job.result_path), result.model_dump_json(indent=1).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
