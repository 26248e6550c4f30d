"""What an engine is given and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from rewardsmith.types import Record


class Job(Record):
    """One process: `python -m module spec_path`. It succeeds by exiting with 0 and leaving JSON at `result_path`."""

    id: str
    module: str
    spec_path: Path
    result_path: Path
    timeout_s: float | None = None
    about: str = ""  # whose process it is, such as an environment's name; for errors


class JobOutcome(Record):
    """How a job ended. `error` is for people: what happened and the end of what the process wrote."""

    job: Job
    state: Literal["done", "failed", "timed_out"]
    error: str = ""
    wall_s: float = 0.0
    reused: bool = False  # the result was there already, nothing ran


class Engine(Protocol):
    """Runs jobs somewhere."""

    workers: int  # jobs that can run at the same time

    def run(self, jobs: Sequence[Job]) -> Iterator[JobOutcome]:
        """Run jobs and yield each one's outcome as it ends, in any order. Jobs whose result exists are not run again.

        Closing the iterator, or an exception in its consumer, ends all processes.
        """
        ...
