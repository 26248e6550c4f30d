"""Worker processes of an experiment: a run that takes its process with it costs its own cell, not the others."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from rewardsmith.errors import EXIT_INTERRUPTED, RunError
from rewardsmith.loop.batch.cells import Cell
from rewardsmith.loop.batch.folder import ExperimentFolder

log = logging.getLogger(__name__)


def bound(*module: str) -> list[str]:
    """The command of `python -m MODULE...` as a process that ends with this one, however that ends."""
    return [sys.executable, "-m", "rewardsmith.engine.child", str(os.getpid()), *module]


class Pool:
    """Keeps `count` processes of a command at work until no cell is left. Ctrl-C interrupts each of them once."""

    def __init__(self, folder: ExperimentFolder, command: Sequence[str], count: int) -> None:
        self._folder, self._plan, self._count = folder, folder.plan(), count
        self._command = list(command)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self) -> None:
        """Raises: KeyboardInterrupt. RunError: a worker ends before it has taken up any cell."""
        with ThreadPoolExecutor(self._count) as threads:
            slots = [threads.submit(self._keep_one_at_work) for _ in range(self._count)]
            try:
                wait(slots, return_when=FIRST_EXCEPTION)
                for slot in slots:
                    if slot.done():
                        slot.result()
            except BaseException:
                self._interrupt()
                raise

    def _keep_one_at_work(self) -> None:
        """A process that dies leaves its cell as failed, and another one takes its place."""
        while (process := self._start()) is not None:
            code = process.wait()
            with self._lock:
                self._running.discard(process)
            if code in (0, EXIT_INTERRUPTED) or self._stopped:
                return
            left = self._folder.left_by(process.pid, self._plan)
            if left is None:
                raise RunError(f"a worker {_how(code)} before it took up a run", hint="its last words are above")
            blame(self._folder, left, f"its process {_how(code)}; rewardsmith resume shows more")

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
            self._running.add(process)
            return process

    def _interrupt(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)


def blame(folder: ExperimentFolder, cell: Cell, reason: str) -> None:
    """Record that a cell failed whose process cannot say so any more."""
    with folder.claim(cell) as mine:
        if mine:
            folder.write(folder.state(cell).model_copy(update={"state": "failed", "reason": reason}))
            log.warning("%s: %s", cell, reason)


def _how(code: int) -> str:
    if code > 0:
        return f"exited with {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
