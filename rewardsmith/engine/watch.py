"""Watching over foreign code that runs in this process: it is told what takes long, and ended when it hangs."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rewardsmith.errors import EXIT_ENVIRONMENT, EnvironmentFault

log = logging.getLogger(__name__)

STALL_S = 900.0
SAY_AFTER_S = 5.0
WARN_AFTER_S = 30.0  # of silence
_LOOK_S = 0.5  # between two looks at the signs of life
_GRACE_S = 5.0
_FRAMES = 4  # of the place where it hangs, the innermost ones
_STDERR = 2


@contextmanager
def watching(what: str, *, stall_s: float = STALL_S, hint: str = "") -> Iterator[None]:
    """Watch over what this block does: say so if it takes long, and end the process if it hangs.

    It hangs when it has given no sign of life (see `alive`) for `stall_s`. No exception can interrupt a call that does
    not return, so the process then logs what happened and exits with the code of environment faults, as if killed:
    what has been recorded is kept. Where the call lets no other thread run, only the stack is written, and the code
    is 1.

    Args:
        what: what is being done, and in which environment, such as "recording episodes of Hopper-v5".
        hint: what to do when it hangs, where that is more than to correct the environment.

    Raises: EnvironmentFault: the block called `sys.exit`.
    """
    outer, watch = _innermost.get(), _Watch(what, stall_s, hint)
    if outer:
        outer.rests = True
    before = _innermost.set(watch)
    watch.start()
    try:
        yield
    except SystemExit as error:
        raise EnvironmentFault(
            f"{what}: the environment ended the process with sys.exit({error.code!r})",
            hint="let it raise an exception that says what is wrong",
        ) from error
    finally:
        watch.stop()
        _innermost.reset(before)
        if outer:
            outer.rests = False
            alive()


def alive() -> None:
    """A sign of life of the block that is watched around this call, if one is; cheap enough for every step."""
    if watch := _innermost.get():
        watch.silent_s = 0.0


class _Watch(threading.Thread):
    def __init__(self, what: str, stall_s: float, hint: str) -> None:
        super().__init__(daemon=True)
        self._what, self._stall_s, self._hint = what, stall_s, hint
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self.rests = False  # while a block within this one is watched
        self.silent_s = 0.0  # counted look by look: the time for which a person suspended the process is none

    def start(self) -> None:
        self._arm()
        super().start()

    def _arm(self) -> None:
        """Let C code end the process, later, if no look puts that off: a call may never give Python's lock back."""
        limit_s = min(self._stall_s + _GRACE_S, threading.TIMEOUT_MAX)
        faulthandler.dump_traceback_later(limit_s, exit=True, file=_STDERR)

    def run(self) -> None:
        look_s = min(_LOOK_S, self._stall_s / 4)
        running_s, said, warned = 0.0, False, False
        while not self._over.wait(look_s):
            if self.rests:
                continue
            self._arm()
            running_s += look_s
            self.silent_s += look_s
            if self.silent_s >= self._stall_s:
                self._end()
            if running_s >= SAY_AFTER_S and not said:
                said = True
                log.info("%s ...", self._what)
            silent = self.silent_s >= WARN_AFTER_S
            if silent and not warned:
                ends = f"after {self._stall_s:g} s this process is ended"
                log.warning("%s: no sign of life for %.0f s; %s", self._what, self.silent_s, ends)
            warned = silent

    def stop(self) -> None:
        self._over.set()
        self.join()
        faulthandler.cancel_dump_traceback_later()

    def _end(self) -> None:
        stack = traceback.format_stack(sys._current_frames().get(self._watched), limit=_FRAMES)
        fault = EnvironmentFault(
            f"{self._what} hangs: no sign of life for {self._stall_s:g} s, so this process was ended",
            hint=self._hint or "correct the environment: a step of it has to end",
        )
        log.critical("%s\n  It was here (innermost last):\n%s", fault, "".join(stack).rstrip())
        os._exit(EXIT_ENVIRONMENT)


_innermost: ContextVar[_Watch | None] = ContextVar("watch", default=None)
