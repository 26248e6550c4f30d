"""A driver process for engine tests: runs two hanging jobs until it is interrupted or killed."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from rewardsmith.engine import Job, LocalEngine


def main() -> None:
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born deaf to it
    jobs = [
        Job(
            id=name,
            module="tests.helpers.engine_jobs",
            spec_path=folder / f"{name}.json",
            result_path=folder / f"{name}.result.json",
        )
        for name in ("one", "two")
    ]
    for outcome in LocalEngine(workers=2).run(jobs):
        print(outcome.state)


if __name__ == "__main__":
    main()
