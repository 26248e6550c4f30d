"""The zygote: a trusted process that imports a module once, then forks one locked child per request.

The child is forked before its request comes: while one works, the next rehearses, which copies the memory pages that
the work will write to. A child gets one payload, and locks itself before it looks at it.

It talks to its parent over standard input and output (frames: 4 bytes of length, then bytes) and ends when the pipe
does. It never looks into a payload or a result. `parent.py` starts it: `python -c BOOTSTRAP PATH MODULE LIMITS MODE`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from rewardsmith.jail.lock import ALIVE_FD, OUTPUT_FD, lock
from rewardsmith.jail.records import JailLimits

RESULT, RAISED = b"R", b"E"  # first byte of a result frame: what `run` returned, or what it raised
MAGIC = b"rwsj"
FRAME = struct.Struct(">4scQ")  # magic, kind, length of the body
_LENGTH = struct.Struct(">I")
_ERROR_CHARS = 4000
Run = Callable[[object], bytes]


class ParentGone(Exception):
    """The parent closed its end: time to stop."""


def main(module: str, limits: JailLimits, *, filtered: bool) -> None:
    """Import and warm `module`, say so, then serve requests until the parent goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies, null = _take_over_stdio()
    gc.disable()  # imports make millions of objects that stay: looking through them again and again takes a second
    jailed = importlib.import_module(module)
    jailed.warm()
    gc.collect()
    gc.freeze()  # children then share these pages instead of copying them at their first collection
    nursery = _Nursery(limits, filtered=filtered, null=null, requests=requests)
    flaw = _flaw_of_the_lock(nursery) if filtered else ""
    _send(replies, json.dumps({"flaw": flaw}).encode())
    rehearse = getattr(jailed, "rehearse", None)
    spare = nursery.fork(jailed.run, rehearse)
    while True:
        try:
            # no variable here ever holds a payload or an answer: the next child would find it
            nursery.hand_over(spare, _receive(requests))
            child, spare = spare, nursery.fork(jailed.run, rehearse)
            _answer(replies, *nursery.watch(child))
        except (ParentGone, BrokenPipeError):
            return


def _answer(replies: int, header: dict[str, object], output: bytes) -> None:
    _send(replies, json.dumps(header).encode())
    _send(replies, output)


def _take_over_stdio() -> tuple[int, int, int]:
    """Move the protocol away from fds 0 and 1, so that a stray print cannot disturb it."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    return requests, replies, null


def _flaw_of_the_lock(nursery: _Nursery) -> str:
    """Prove the lock before anything depends on it: opening a file must kill, honest work must not. "" if it holds."""
    proof, _ = nursery.call(_touch_a_file, b"null")
    if proof["signal"] != signal.SIGSYS:
        return f"the lock did not hold or could not be applied: {proof['lock_error'] or proof}"
    proof, _ = nursery.call(_work_honestly, b"null")
    if proof["exit"] != 0:  # a C library with other habits than those the list was made for
        return f"honest work does not survive the lock: {proof['lock_error'] or proof}"
    return ""


# --- children ------------------------------------------------------------------------------------------------------


class _Child(NamedTuple):
    """A forked process that waits for its payload, and the zygote's ends of what connects them."""

    pid: int
    payload: int  # write end of the pipe that the payload comes through
    alive: int  # read end: one byte when locked, end of file when dead
    output: int  # an anonymous file


class _Nursery:
    """Forks children, hands each its payload, watches it and reaps it."""

    def __init__(self, limits: JailLimits, *, filtered: bool, null: int, requests: int) -> None:
        self._limits, self._filtered, self._null, self._requests = limits, filtered, null, requests
        self._zygote = os.getpid()

    def fork(self, run: Run, rehearse: Callable[[], None] | None = None) -> _Child:
        """A child that will `run` its payload, after a rehearsal."""
        alive, child_alive = os.pipe()
        child_payload, payload = os.pipe()
        output = _anonymous_file()
        pid = os.fork()
        if pid == 0:
            os.close(payload)  # so that a dead zygote ends it
            self._live(run, rehearse, payload=child_payload, alive=child_alive, output=output)
        os.close(child_alive)
        os.close(child_payload)
        return _Child(pid, payload, alive, output)

    def hand_over(self, child: _Child, payload: bytes) -> None:
        """Give a child its payload. If it died while it waited, `watch` will tell."""
        with contextlib.suppress(BrokenPipeError):
            _send(child.payload, payload)
        os.close(child.payload)

    def watch(self, child: _Child) -> tuple[dict[str, object], bytes]:
        """Wait for a child's end; returns what happened and the raw bytes that it left behind."""
        try:
            locked, timed_out = _watch(child.alive, self._requests, time.monotonic() + self._limits.wall_s)
        finally:
            status = self._reap(child)
        size = os.fstat(child.output).st_size
        body = os.pread(child.output, min(size, self._limits.output_bytes + FRAME.size), 0)
        os.close(child.output)
        return {
            "locked": locked,
            "timed_out": timed_out,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "size": size,
            "lock_error": body[:_ERROR_CHARS].decode(errors="replace") if not locked else "",
        }, body if locked else b""

    def call(self, run: Run, payload: bytes) -> tuple[dict[str, object], bytes]:
        """All of it at once, with a new child."""
        child = self.fork(run)
        self.hand_over(child, payload)
        return self.watch(child)

    def _reap(self, child: _Child) -> int:
        _kill_group(child.pid)
        _, status = os.waitpid(child.pid, 0)
        os.close(child.alive)
        return status

    def _live(
        self, run: Run, rehearse: Callable[[], None] | None, *, payload: int, alive: int, output: int
    ) -> NoReturn:
        """Rehearse, wait, lock, run, write, exit. Never returns: a child must not go on as a second zygote."""
        code = 1
        try:
            if rehearse is not None:
                rehearse()
            data = _receive(payload)
            lock(
                self._limits, output=output, alive=alive, null=self._null, zygote=self._zygote, filtered=self._filtered
            )
            os.write(ALIVE_FD, b"\n")  # from here on whatever goes wrong is the payload's fault
            _write_all(OUTPUT_FD, _framed_result(run, data))
            code = 0
        except ParentGone:  # no payload came
            code = 0
        except BaseException as error:  # a failed lock (then the message is read) or a result over the size limit
            _complain(f"{type(error).__name__}: {error}", output)
        finally:
            os._exit(code)


def _watch(alive: int, requests: int, deadline: float) -> tuple[bool, bool]:
    """Wait until the child is dead or its time is up; returns (it was locked, time ran out)."""
    locked = False
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return locked, True
        readable, _, _ = select.select([alive, requests], [], [], left)
        if requests in readable:  # nothing may come while a call runs, so this is the end of the pipe
            raise ParentGone
        if alive in readable:
            if os.read(alive, 1) == b"":
                return locked, False
            locked = True


def _kill_group(pid: int) -> None:
    """A child that has just exited by itself keeps its exit status: the kill changes nothing for it."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # not yet a group of its own; already gone
            continue


def _anonymous_file() -> int:
    """A file without a name. Its size is capped by RLIMIT_FSIZE in the child; unlike a pipe it cannot block."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("jail", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _framed_result(run: Run, payload: bytes) -> bytes:
    try:
        body, kind = run(json.loads(payload)), RESULT
        if not isinstance(body, bytes):
            raise TypeError(f"run returned {type(body).__name__} instead of bytes")
    except BaseException as error:
        body, kind = f"{type(error).__name__}: {error}"[:_ERROR_CHARS].encode(errors="replace"), RAISED
    return FRAME.pack(MAGIC, kind, len(body)) + body


def _complain(message: str, output: int) -> None:
    for fd in (OUTPUT_FD, output):  # the lock may have failed before or after the descriptors were moved
        try:
            os.write(fd, message.encode(errors="replace")[:_ERROR_CHARS])
            return
        except OSError:
            continue


def _touch_a_file(_: object) -> bytes:
    """What a locked child must not survive."""
    os.close(os.open("/", os.O_RDONLY))
    return b"opened a file"


def _work_honestly(_: object) -> bytes:
    """What a locked child must survive: memory that grows and shrinks, locks, clocks, a traceback."""
    block = bytearray()
    while len(block) < 1 << 22:
        block.extend(bytes(1 << 18))
    del block
    with threading.Lock():
        time.process_time()
    try:
        [][0]
    except IndexError:
        traceback.format_exc()
    return b""


# --- frames on a pipe ----------------------------------------------------------------------------------------------


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _send(fd: int, data: bytes) -> None:
    _write_all(fd, _LENGTH.pack(len(data)) + data)


def _receive(fd: int) -> bytes:
    return _read_exactly(fd, _LENGTH.unpack(_read_exactly(fd, _LENGTH.size))[0])


def _read_exactly(fd: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            raise ParentGone
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def start_from_arguments() -> None:
    """Entry point of the bootstrap: `sys.argv` is PATH, MODULE, LIMITS (JSON), MODE (filtered or open)."""
    _, _, module, limits, mode = sys.argv
    main(module, JailLimits.model_validate_json(limits), filtered=mode == "filtered")
