"""A process that draws films, one after the other, and the pipe to it: JSON lines, orders in and replies out."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time

from pydantic import ValidationError

from rewardsmith.analyze.video import VideoError
from rewardsmith.engine.local import ONE_THREAD, signal_name
from rewardsmith.errors import EnvironmentFault, RunError
from rewardsmith.types import EnvSpec, Record

MODULE = "rewardsmith.clips.worker"
_SAID_CHARS = 2_000
_AGAIN = "ask for it again; if it fails again, try the environment alone, or look at contact sheets on another machine"


class Order(Record):
    """What to draw, and where to write it."""

    env: EnvSpec
    root: str  # of the run
    clip: str
    target: str  # the mp4
    size: int
    overlay: bool


class Reply(Record):
    """How it went; without an error the target is there."""

    error: str = ""
    hint: str = ""
    about_run: bool = False  # the clip is at fault, not the drawing


class Painter:
    """One process at a time, started at the first order and again when it has died. It ends itself when idle."""

    def __init__(self) -> None:
        self._process: _Process | None = None
        self._guard = threading.Lock()
        self._closed = False

    def draw(self, order: Order, *, timeout_s: float) -> None:
        """Draw a film and wait for it.

        Raises:
            RunError: the clip cannot be read, or does not fit the environment.
            EnvironmentFault: it cannot be drawn here. VideoError: the process died, or gave no answer in `timeout_s`.
        """
        for last_try in (False, True):
            process = self._running()
            try:
                reply = process.ask(order, timeout_s)
            except _IdleEnd:  # it left while the order was on its way
                if last_try:
                    raise VideoError("the process that draws films ends before it draws any", hint=_AGAIN) from None
                continue
            except BaseException:
                process.kill()
                process.release()
                raise
            if reply.error:
                raise (RunError if reply.about_run else EnvironmentFault)(reply.error, hint=reply.hint)
            return

    def close(self) -> None:
        """Kill the process; an order that it is at fails. It is not started again."""
        with self._guard:
            self._closed = True
            if self._process is not None:
                self._process.kill()

    def release(self) -> None:
        """Close what was left open; `close` came before, and nobody draws."""
        if self._process is not None:
            self._process.release()

    def _running(self) -> _Process:
        with self._guard:
            if self._closed:
                raise VideoError("no films are drawn any more")
            if self._process is not None and self._process.ended:
                self._process.release()
                self._process = None
            if self._process is None:
                self._process = _Process()
            return self._process


class _IdleEnd(Exception):
    """The process ended itself, having nothing to do."""


class _Process:
    def __init__(self) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed by release)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rewardsmith.engine.child", str(os.getpid()), MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, **dict.fromkeys(ONE_THREAD, "1")},
            start_new_session=True,
            bufsize=0,
        )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def ask(self, order: Order, timeout_s: float) -> Reply:
        """Raises: _IdleEnd; VideoError: it died, hung, or answered what nobody can read."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(order.model_dump_json().encode() + b"\n")
        except BrokenPipeError:
            self._explain_end()
        line = self._line(timeout_s)
        try:
            return Reply.model_validate_json(line)
        except ValidationError as error:
            raise VideoError(f"the process that draws films answered {line[:200]!r}", hint=_AGAIN) from error

    def _line(self, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        pipe, deadline, line = self._process.stdout.fileno(), time.monotonic() + timeout_s, b""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise VideoError(f"drawing a film took longer than {timeout_s:g} s and was ended", hint=_AGAIN)
                part = os.read(pipe, 1 << 16)
                if not part:
                    self._explain_end()
                line += part
        return line

    def _explain_end(self) -> None:
        """Raises: _IdleEnd or VideoError, always."""
        code = self._process.wait()
        if code == 0:
            raise _IdleEnd
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"exited with {code}"
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip()[-_SAID_CHARS:]
        raise VideoError(f"the process that draws films {how}\n{said}".strip(), hint=_AGAIN)

    def kill(self) -> None:
        """Kill the whole process group and reap it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def release(self) -> None:
        """Close the pipes of a process that has ended."""
        for file in (self._process.stdin, self._process.stdout, self._complaints):
            if file is not None:
                file.close()
