"""A training worker for the tiny world: a candidate's "graph" file names one of the tiny reward programs.

`{"program": "GoNear", "arguments": [2.0]}`; `{"crash": true}` takes the process down, as a simulator may.
The environment's keyword arguments go to `PointEnvironment`; `pause_s` slows every reward call down.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rewardsmith.store.atomic import write_bytes
from rewardsmith.train.job import TrainJob, run_train_job
from rewardsmith.train.worker import RESULTS, WorkerSpec
from rewardsmith.types import MemberResult
from tests.helpers import tiny_world


class Slow(tiny_world.GoNear):
    def __init__(self, pause_s: float) -> None:
        super().__init__()
        self._pause_s = pause_s

    def __call__(self, *args: Any, **kwargs: Any) -> tiny_world.Output:
        time.sleep(self._pause_s)
        return super().__call__(*args, **kwargs)


def program(path: str) -> Any:
    about = json.loads(Path(path).read_text())
    if about.get("crash"):
        os.kill(os.getpid(), signal.SIGKILL)
    kind = Slow if about["program"] == "Slow" else getattr(tiny_world, about["program"])
    return kind(*about.get("arguments", []))


def run(job: TrainJob) -> list[MemberResult]:
    wanted = {m.candidate for m in job.members}
    programs = {c: program(p) for c, p in job.programs.items() if c in wanted}
    return run_train_job(job, environment=tiny_world.PointEnvironment(**job.env.kwargs), programs=programs)


def main() -> None:
    spec = WorkerSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
    write_bytes(Path(spec.result_path), RESULTS.dump_json(run(spec.job)))


if __name__ == "__main__":
    main()
