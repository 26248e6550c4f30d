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

from rewardsmith.train.job import TrainJob, run_train_job
from rewardsmith.train.jobfile import work
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


if __name__ == "__main__":
    work(Path(sys.argv[1]), run)
