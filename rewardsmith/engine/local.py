"""Jobs as child processes on this machine, one single-threaded process per core."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rewardsmith.engine.jobs import Job, JobOutcome
from rewardsmith.errors import UsageError

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_TAIL_BYTES = 4000


class LocalEngine:
    """Each job gets a process group of its own. However this process ends, its jobs end too (where the system allows).

    Args:
        workers: processes at a time; default: as many as there are cores for this process.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"an engine needs at least one worker, got {workers}")
        self.workers = workers or available_cores()

    def run(self, jobs: Sequence[Job]) -> Iterator[JobOutcome]:
        """See `Engine.run`. Ctrl-C kills every child before it goes on its way."""
        waiting, running = deque(jobs), dict[str, _Child]()
        ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        if len({job.id for job in jobs}) < len(jobs):
            raise ValueError("two jobs have the same id")
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    job = waiting.popleft()
                    if _readable(job.result_path):
                        yield JobOutcome(job=job, state="done", reused=True)
                    else:
                        running[job.id] = _Child(job, ended)
                if not running:
                    continue
                with contextlib.suppress(queue.Empty):
                    id = ended.get(timeout=_until_next_deadline(running.values()))
                    yield running.pop(id).outcome()
                for child in [c for c in running.values() if c.late]:
                    del running[child.job.id]
                    yield child.give_up()
        finally:
            for child in running.values():
                child.kill()


class _Child:
    """A running job."""

    def __init__(self, job: Job, ended: queue.SimpleQueue[str]) -> None:
        self.job = job
        job.result_path.parent.mkdir(parents=True, exist_ok=True)
        job.result_path.unlink(missing_ok=True)  # an unreadable one, see `LocalEngine.run`
        self._log_path = job.result_path.with_suffix(".log")
        self._started = time.monotonic()
        self._gave_up = False
        environment = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1")}
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rewardsmith.engine.child", str(os.getpid()), job.module, str(job.spec_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        # One waiting thread per child: the engine sleeps until something happens instead of asking again and again.
        self._waiter = threading.Thread(target=self._wait, args=(ended,), daemon=True)
        self._waiter.start()

    def _wait(self, ended: queue.SimpleQueue[str]) -> None:
        self._process.wait()
        if not self._gave_up:
            ended.put(self.job.id)

    @property
    def deadline(self) -> float | None:
        return None if self.job.timeout_s is None else self._started + self.job.timeout_s

    @property
    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def kill(self) -> None:
        """Kill the whole process group and wait for its leader."""
        self._gave_up = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def give_up(self) -> JobOutcome:
        self.kill()
        error = f"no result after {self.job.timeout_s:g} s, so it was ended\n{self._tail()}"
        return self._outcome("timed_out", error.strip())

    def outcome(self) -> JobOutcome:
        """How the ended process ended."""
        self._waiter.join()
        code = self._process.returncode
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what it may have left behind in its group
        if code == 0 and _readable(self.job.result_path):
            return self._outcome("done", "")
        if code < 0:
            reason = f"the process was killed by {_signal_name(-code)}"
        elif code > 0:
            reason = f"the process exited with {code}"
        elif self.job.result_path.exists():
            reason = "the process left an unreadable result"
        else:
            reason = "the process left no result"
        return self._outcome("failed", f"{reason}\n{self._tail()}".strip())

    def _outcome(self, state: str, error: str) -> JobOutcome:
        wall_s = time.monotonic() - self._started
        return JobOutcome(job=self.job, state=state, error=error, wall_s=wall_s)  # type: ignore[arg-type]

    def _tail(self) -> str:
        """The end of what the process wrote."""
        try:
            with self._log_path.open("rb") as log:
                log.seek(max(0, self._log_path.stat().st_size - _TAIL_BYTES))
                return log.read().decode("utf-8", errors="replace")
        except OSError:
            return ""


def _until_next_deadline(children: Iterable[_Child]) -> float | None:
    deadlines = [c.deadline for c in children if c.deadline is not None]
    return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None


def _readable(path: Path) -> bool:
    """Whether there is a result and it is JSON."""
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
