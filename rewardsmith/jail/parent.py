"""The outside of the jail: starts the zygote, sends payloads, enforces the clock, judges how a call ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from typing import IO, NoReturn

from rewardsmith.errors import JailError
from rewardsmith.jail.records import JailKilled, JailLimits, JailOutputError, JailRung, JailTimeout
from rewardsmith.jail.rungs import ENVIRONMENT, PYTHON_FLAGS, choose, command, module_path
from rewardsmith.jail.zygote import FRAME, MAGIC, RAISED, RESULT

_BOOTSTRAP = """
import os, sys
sys.path[:0] = [p for p in sys.argv[1].split(os.pathsep) if p not in sys.path]
from rewardsmith.jail.zygote import start_from_arguments
start_from_arguments()
"""
_GRACE_S = 5.0  # the zygote enforces the wall clock; the parent does so too, this much later
_HEADER_BYTES = 100_000
_ERROR_CHARS = 2000
_LENGTH = struct.Struct(">I")


class Jail:
    """Runs `module.run(payload) -> bytes` in locked, short-lived processes. A context manager.

    `module` provides `warm() -> None`, called once in the zygote, and `run(payload) -> bytes`, called in a fork of it;
    it may provide `rehearse() -> None`, called in the fork while that waits for its payload.
    One call runs at a time (threads wait for each other). The zygote starts at the first call and is started again
    once if it is found dead.

    Args:
        module: importable name of the module.
        limits: what one call may use.
        allow_unsandboxed: go on where no sandbox works on this machine (rlimits and an own process remain).
    """

    def __init__(self, module: str, *, limits: JailLimits | None = None, allow_unsandboxed: bool = False) -> None:
        self.module = module
        self.limits = limits or JailLimits()
        self._allow_unsandboxed = allow_unsandboxed
        self._zygote: _Zygote | None = None
        self._turn = threading.Lock()

    def __enter__(self) -> Jail:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def rung(self) -> JailRung:
        """The confinement in force (or, before the first call, the one that will be tried first)."""
        zygote = self._zygote
        return zygote.rung if zygote else choose(allow_unsandboxed=self._allow_unsandboxed)[0]

    def warm(self) -> None:
        """Start the zygote now instead of at the first call.

        Raises:
            JailError: it could not be started.
        """
        with self._turn:
            self._alive_zygote()

    def call(self, payload: Mapping[str, object]) -> bytes:
        """Run one payload and return its bytes, which are untrusted.

        Raises:
            JailTimeout, JailKilled, JailOutputError: the payload's fault.
            JailError: the machine's fault.
        """
        data = json.dumps(payload).encode()
        if len(data) > self.limits.payload_bytes:
            raise JailOutputError(f"the payload has {len(data):,} bytes, {self.limits.payload_bytes:,} are allowed")
        with self._turn:
            for _ in range(2):
                try:
                    header, body = self._alive_zygote().request(data, wall_s=self.limits.wall_s + _GRACE_S)
                except _ZygoteDied:
                    self._stop()
                except TimeoutError:
                    self._stop()
                    raise JailTimeout(f"no answer within {self.limits.wall_s:g} s") from None
                else:
                    if not header["signal"] or header["locked"]:
                        return _judge(header, body, self.limits)
                    # else it was killed while it waited for this payload, and has run nothing
        raise JailKilled("the process that watches the jail, or the one in it, died twice before this input was done")

    def close(self) -> None:
        """Kill the zygote. A later call starts a new one."""
        with self._turn:
            self._stop()

    def _stop(self) -> None:
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote = None

    def _alive_zygote(self) -> _Zygote:
        if self._zygote is not None and not self._zygote.usable():
            self._stop()
        if self._zygote is None:
            self._zygote = self._start()
        return self._zygote

    def _start(self) -> _Zygote:
        problems = []
        for rung in choose(allow_unsandboxed=self._allow_unsandboxed):
            try:
                return _Zygote(self.module, self.limits, rung)
            except _StartFailed as failure:
                problems.append(f"{rung.name}: {failure}")
        raise JailError(
            f"the jail for {self.module} does not start. " + " | ".join(problems),
            hint="run `rewardsmith doctor`; it shows which sandboxes work on this machine",
        )


def _judge(header: Mapping[str, object], body: bytes, limits: JailLimits) -> bytes:
    """Turn the end of a call into its result or the fault that it was."""
    if not header["locked"]:
        raise JailError(
            f"a jailed process could not be locked, so nothing was run in it: {header['lock_error'] or header}",
            hint="run `rewardsmith doctor`; it shows which sandboxes work on this machine",
        )
    if header["timed_out"]:
        raise JailTimeout(f"it ran longer than {limits.wall_s:g} s")
    if number := header["signal"]:
        _killed(int(str(number)), limits)
    if header["exit"] != 0:
        size = int(str(header["size"]))
        too_much = f": its output is over {limits.output_bytes:,} bytes" if size >= limits.output_bytes else ""
        raise JailOutputError(f"it ended with exit status {header['exit']} and without a result{too_much}")
    if len(body) < FRAME.size:
        raise JailOutputError("it ended without a result")
    magic, kind, length = FRAME.unpack_from(body)
    result = body[FRAME.size :]
    if magic != MAGIC or kind not in (RESULT, RAISED) or length != len(result) or length > limits.output_bytes:
        raise JailOutputError("its result is damaged or incomplete")
    if kind == RAISED:
        raise JailOutputError(f"it raised {result.decode(errors='replace')[:_ERROR_CHARS]}")
    return result


def _killed(number: int, limits: JailLimits) -> NoReturn:
    if number == signal.SIGXCPU:
        raise JailTimeout(f"it used more than {limits.cpu_s} s of processor time")
    if number == signal.SIGSYS:
        raise JailKilled(
            "it made a system call that the jail does not allow (files, network, processes)", signal=number
        )
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    raise JailKilled(f"it was ended by {name}", signal=number)


# --- the process and its pipes -------------------------------------------------------------------------------------


class _StartFailed(Exception):
    """The zygote did not come up under this rung."""


class _ZygoteDied(Exception):
    """The pipe to the zygote broke."""


class _Zygote:
    """A running zygote: a process in its own session with an environment of its own, and two pipes with deadlines."""

    def __init__(self, module: str, limits: JailLimits, rung: JailRung) -> None:
        self.rung = rung
        self._owner = os.getpid()
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by kill)
        path = module_path()
        mode = "filtered" if rung.name.startswith("seccomp") else "open"
        python = [sys.executable, *PYTHON_FLAGS, "-c", _BOOTSTRAP, os.pathsep.join(path), module]
        try:
            self._process = subprocess.Popen(
                command(rung, [*python, limits.model_dump_json(), mode], path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._complaints.close()
            raise _StartFailed(str(error)) from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._replies = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._requests, False)
        os.set_blocking(self._replies, False)
        self._finalizer = weakref.finalize(self, _end, self._process, self._complaints, self._owner)
        self._await_ready(limits.start_s)

    def _await_ready(self, start_s: float) -> None:
        try:
            hello = json.loads(self._receive(time.monotonic() + start_s, _HEADER_BYTES))
        except (_ZygoteDied, TimeoutError) as error:
            said = self._last_words()
            self.kill()
            what = "it died" if isinstance(error, _ZygoteDied) else f"it was not ready after {start_s:g} s"
            raise _StartFailed(f"{what}. It said: {said or 'nothing'}") from error
        if hello["flaw"]:
            self.kill()
            raise _StartFailed(hello["flaw"])

    def usable(self) -> bool:
        """Whether it lives and belongs to this process (after a fork it belongs to the other one)."""
        return self._owner == os.getpid() and self._process.poll() is None

    def request(self, payload: bytes, *, wall_s: float) -> tuple[dict[str, object], bytes]:
        """Send one payload; returns the zygote's account of the call and the raw output.

        Raises:
            TimeoutError, _ZygoteDied
        """
        deadline = time.monotonic() + wall_s
        self._send(payload, deadline)
        header = json.loads(self._receive(deadline, _HEADER_BYTES))
        return header, self._receive(deadline, 1 << 31)

    def kill(self) -> None:
        self._finalizer()

    def _last_words(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace").strip()[-_ERROR_CHARS:]

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(_LENGTH.pack(len(data)) + data)
        while view:
            _wait(self._requests, selectors.EVENT_WRITE, deadline)
            try:
                view = view[os.write(self._requests, view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise _ZygoteDied from error

    def _receive(self, deadline: float, limit: int) -> bytes:
        length = _LENGTH.unpack(self._read_exactly(_LENGTH.size, deadline))[0]
        if length > limit:
            raise _ZygoteDied("an impossible frame")
        return self._read_exactly(length, deadline)

    def _read_exactly(self, count: int, deadline: float) -> bytes:
        parts = []
        while count:
            _wait(self._replies, selectors.EVENT_READ, deadline)
            try:
                part = os.read(self._replies, min(count, 1 << 20))
            except BlockingIOError:
                continue
            if not part:
                raise _ZygoteDied
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def _wait(fd: int, event: int, deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, event)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError


def _end(process: subprocess.Popen[bytes], complaints: IO[bytes], owner: int) -> None:
    """Kill the zygote's whole process group and reap it. A forked copy of the owner only closes its pipe ends."""
    for pipe in (process.stdin, process.stdout, complaints):
        if pipe is not None:
            pipe.close()
    if owner != os.getpid():
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
