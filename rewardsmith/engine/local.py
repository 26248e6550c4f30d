"""Jobs as child processes on this machine, one single-threaded process per core."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from rewardsmith.engine.jobs import Job, JobOutcome
from rewardsmith.engine.pulse import VARIABLE
from rewardsmith.engine.watch import STALL_S
from rewardsmith.errors import UsageError

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_TAIL_BYTES = 4000
_LOOK_S = 5.0  # between two looks at the signs of life


class LocalEngine:
    """Each job gets a process group of its own. However this process ends, its jobs end too (where the system allows).

    Args:
        workers: processes at a time; default: as many as there are cores for this process.
        stall_s: a job that has given a sign of life (see `Pulse`) and then none for this long hangs: it has failed.
    """

    def __init__(self, workers: int | None = None, *, stall_s: float = STALL_S) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"an engine needs at least one worker, got {workers}")
        if not stall_s > 0:
            raise UsageError(f"jobs cannot be given {stall_s} s for a sign of life")
        self.workers = workers or available_cores()
        self._stall_s = stall_s

    def run(self, jobs: Sequence[Job]) -> Iterator[JobOutcome]:
        """See `Engine.run`. Ctrl-C kills every child before it goes on its way."""
        waiting, running = deque(jobs), dict[str, _Child]()
        ended = threading.Event()
        if len({job.id for job in jobs}) < len(jobs):
            raise ValueError("two jobs have the same id")
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    job = waiting.popleft()
                    if _readable(job.result_path):
                        yield JobOutcome(job=job, state="done", reused=True)
                    else:
                        running[job.id] = _Child(job, self._stall_s, ended)
                if not running:
                    continue
                ended.wait(min(child.next_look_s for child in running.values()))
                ended.clear()
                for child in list(running.values()):
                    if outcome := child.look():
                        del running[child.job.id]
                        yield outcome
        finally:
            for child in running.values():
                child.kill()


class _Child:
    """A running job. Sets `ended` when its process has ended."""

    def __init__(self, job: Job, stall_s: float, ended: threading.Event) -> None:
        self.job, self._stall_s = job, stall_s
        self._name = f"the process of {job.about}" if job.about else "the process"
        job.result_path.parent.mkdir(parents=True, exist_ok=True)
        job.result_path.unlink(missing_ok=True)  # an unreadable one, see `LocalEngine.run`
        self._log_path = job.result_path.with_suffix(".log")
        self._pulse_path = job.result_path.with_suffix(".pulse")
        self._pulse_path.unlink(missing_ok=True)  # of an earlier attempt
        self._last_sign: int | None = None
        self._started = self._heard = time.monotonic()
        environment = {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), VARIABLE: str(self._pulse_path.absolute())}
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rewardsmith.engine.child", str(os.getpid()), job.module, str(job.spec_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        # One waiting thread per child: the engine hears of an end at once instead of asking again and again.
        self._waiter = threading.Thread(target=self._wait, args=(ended,), daemon=True)
        self._waiter.start()

    def _wait(self, ended: threading.Event) -> None:
        self._process.wait()
        ended.set()

    @property
    def next_look_s(self) -> float:
        """Seconds until the child has to be looked at even if nothing ended."""
        look_s = min(_LOOK_S, self._stall_s / 4)
        if self.job.timeout_s is None:
            return look_s
        return min(look_s, max(0.0, self._started + self.job.timeout_s - time.monotonic()))

    def look(self) -> JobOutcome | None:
        """How the job ended; None while it runs. One that takes too long or hangs is ended here."""
        if self._process.returncode is not None:
            return self._ended(self._process.returncode)
        now = time.monotonic()
        if self.job.timeout_s is not None and now >= self._started + self.job.timeout_s:
            return self._end("timed_out", f"no result after {self.job.timeout_s:g} s, so it was ended")
        if self._silent(now):
            return self._end("failed", f"{self._name} hung: no sign of life for {self._stall_s:g} s, so it was ended")
        return None

    def _silent(self, now: float) -> bool:
        with contextlib.suppress(OSError):
            sign = self._pulse_path.stat().st_mtime_ns
            if sign != self._last_sign:
                self._last_sign, self._heard = sign, now
        return self._last_sign is not None and now >= self._heard + self._stall_s

    def kill(self) -> None:
        """Kill the whole process group and wait for its leader."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _end(self, state: str, reason: str) -> JobOutcome:
        self.kill()
        if _readable(self.job.result_path):  # all work done, and then it did not exit
            return self._outcome("done", "")
        return self._outcome(state, f"{reason}\n{self._tail()}".strip())

    def _ended(self, code: int) -> JobOutcome:
        """How a process ended that exited with `code`."""
        self._waiter.join()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what it may have left behind in its group
        if code == 0 and _readable(self.job.result_path):
            return self._outcome("done", "")
        if code < 0:
            reason = f"{self._name} was killed by {signal_name(-code)}"
        elif code > 0:
            reason = f"{self._name} exited with {code}"
        elif self.job.result_path.exists():
            reason = f"{self._name} left an unreadable result"
        else:
            reason = f"{self._name} left no result"
        return self._outcome("failed", f"{reason}\n{self._tail()}".strip())

    def _outcome(self, state: str, error: str) -> JobOutcome:
        self._pulse_path.unlink(missing_ok=True)
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


def _readable(path: Path) -> bool:
    """Whether there is a result and it is JSON."""
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
