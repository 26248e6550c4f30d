"""Hostile Python runs in the jail with no gate in front of it, and nothing leaves."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rewardsmith.errors import JailError
from rewardsmith.jail import Jail, JailFault, JailKilled, JailLimits, JailOutputError, JailTimeout, probe
from rewardsmith.jail import parent as parent_module
from rewardsmith.jail.rungs import ENVIRONMENT

LIMITS = JailLimits(wall_s=3, cpu_s=2, memory_mb=256, output_bytes=100_000, payload_bytes=200_000)
VICTIM = "tests.jail.victim"

pytestmark = pytest.mark.skipif(
    not any(rung.available and rung.name.startswith("seccomp") for rung in probe()), reason="no seccomp here"
)


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    with Jail(VICTIM, limits=LIMITS) as jail:
        yield jail


def test_honest_work(jail: Jail) -> None:
    assert jail.call({"code": "result = b'hello'"}) == b"hello"
    assert jail.call({"code": "result = sum(range(10))"}) == b"45"
    assert jail.call({"code": ""}) == b""


FORBIDDEN = {
    "open": "open('/etc/passwd')",
    "open_relative": "open('x', 'w')",
    "os_open": "import os; os.open('/', 0)",
    "listdir": "import os; os.listdir('/')",
    "unlink": "import os; os.unlink('/tmp/x')",
    "chdir": "import os; os.chdir('/')",
    "fork": "import os; os.fork()",
    "vfork": "import os; os.posix_spawn('/bin/true', ['true'], {})",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "system": "import os; os.system('true')",
    "socket": "import _socket; _socket.socket()",
    "socket_unix": "import _socket; _socket.socket(1, 1)",
    "thread": "import _thread; _thread.start_new_thread(print, ())",
    "kill_parent": "import os; os.kill(os.getppid(), 9)",
    "kill_all": "import os; os.kill(-1, 9)",
    "kill_self": "import os; os.kill(os.getpid(), 9)",
    "setuid": "import os; os.setuid(0)",
    "unmask": "import os; os.umask(0)",
    "rlimit": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
    "pipe": "import os; os.pipe()",
    "duplicate": "import os; os.dup(1)",
    "close": "import os; os.close(3)",
    "truncate": "import os; os.ftruncate(3, 0)",
    "read_output": "import os; os.pread(3, 10, 0)",
    "read_stdin": "import os; os.read(0, 10)",
    "seek": "import os; os.lseek(3, 0, 0)",
    "sleep": "import time; time.sleep(1)",
    "signal": "import signal; signal.signal(14, print)",
    "alarm": "import signal; signal.alarm(1)",
    "nice": "import os; os.nice(-5)",
    "ptrace": "import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
    "memfd": "import os; os.memfd_create('x')",
    "raw_syscall": "import ctypes; ctypes.CDLL(None).syscall(57)",
    "x32_syscall": "import ctypes; ctypes.CDLL(None).syscall(0x40000000 + 39)",
    "future_syscall": "import ctypes; ctypes.CDLL(None).syscall(4000)",
    "executable_mmap": "import ctypes; ctypes.CDLL(None).mmap(None, 4096, 7, 0x22, -1, 0)",
    "executable_mprotect": (
        "import ctypes; c = ctypes.CDLL(None); b = ctypes.create_string_buffer(8192)\n"
        "c.mprotect(ctypes.c_void_p(ctypes.addressof(b) // 4096 * 4096), 4096, 7)"
    ),
    "file_mmap": "import ctypes; ctypes.CDLL(None).mmap(None, 4096, 1, 1, 3, 0)",
    "undo_seccomp": "import ctypes; ctypes.CDLL(None).prctl(22, 0, 0, 0, 0)",
    "dumpable_again": "import ctypes; ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)",
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_forbidden_calls_kill(name: str, jail: Jail) -> None:
    with pytest.raises(JailKilled) as fault:
        jail.call({"code": FORBIDDEN[name]})
    assert fault.value.signal == signal.SIGSYS
    assert jail.call({"code": "result = b'still here'"}) == b"still here"


def test_nothing_of_the_environment_is_visible(jail: Jail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with Jail(VICTIM, limits=LIMITS) as fresh:
        seen = fresh.call({"code": "import os; result = repr(dict(os.environ))"}).decode()
        raw = fresh.call(  # what the kernel put on the stack at start, not what Python made of it
            {"code": "import ctypes; p = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')\n"
                     "out = []\nwhile p[len(out)]: out.append(p[len(out)])\nresult = b'|'.join(out)"}
        )  # fmt: skip
    assert "secret" not in seen and b"secret" not in raw
    assert {entry.split("=")[0] for entry in raw.decode().split("|")} <= {*ENVIRONMENT, "PWD", "LC_CTYPE"}


def test_only_five_files_are_open(jail: Jail) -> None:
    code = (
        "import os\nopen_fds = []\nfor fd in range(5):\n    open_fds.append(os.write(fd, b''))\nresult = repr(open_fds)"
    )
    assert jail.call({"code": code}) == b"[0, 0, 0, 0, 0]"
    for fd in (5, 6, 7, 63, 64, 68, 100, 1000):
        code = f"import os\ntry:\n    os.write({fd}, b'')\nexcept OSError as e:\n    result = str(e.errno)"
        assert jail.call({"code": code}) == b"9"


def test_it_is_nobody_without_privileges(jail: Jail) -> None:
    """uid and dumpable are read from the outside, while it runs."""
    seen: dict[str, str] = {}

    def look() -> None:
        time.sleep(0.5)
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                text = status.read_text()
                command = (status.parent / "cmdline").read_bytes()
            except OSError:
                continue
            if VICTIM.encode() in command and "Seccomp:\t2" in text:
                seen["status"] = text
                seen["owner"] = str(status.stat().st_uid)

    watcher = threading.Thread(target=look)
    watcher.start()
    with pytest.raises(JailTimeout):
        jail.call({"code": "while True: pass"})
    watcher.join()
    fields = dict(line.split(":\t", 1) for line in seen["status"].splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1" and fields["Threads"] == "1" and fields["CapEff"].strip("0") == ""
    assert fields["Uid"].split()[0] != "0" and fields["Groups"].strip() == ""


# --- limits --------------------------------------------------------------------------------------------------------


def test_an_endless_loop_ends(jail: Jail) -> None:
    started = time.monotonic()
    with pytest.raises(JailTimeout):  # processor time, or the wall clock on a busy machine
        jail.call({"code": "while True: pass"})
    assert time.monotonic() - started < 30


def test_waiting_ends_too() -> None:
    """A futex wait uses no processor time: only the clock on the outside ends it."""
    with Jail(VICTIM, limits=LIMITS.model_copy(update={"wall_s": 1.0})) as jail:
        with pytest.raises(JailTimeout, match="longer than 1 s"):
            jail.call({"code": "import _thread; lock = _thread.allocate_lock(); lock.acquire(); lock.acquire()"})
        assert jail.call({"code": "result = b'ok'"}) == b"ok"


@pytest.mark.parametrize("code", ["x = bytearray(10**10)", "x = [0] * 10**10", "x = 'a'\nwhile True: x += x"])
def test_memory_is_limited(code: str, jail: Jail) -> None:
    with pytest.raises((JailOutputError, JailKilled)) as fault:
        jail.call({"code": code})
    assert "MemoryError" in str(fault.value) or isinstance(fault.value, JailKilled)


def test_a_stack_overflow_is_a_fault(jail: Jail) -> None:
    with pytest.raises(JailFault):
        jail.call({"code": "import sys; sys.setrecursionlimit(10**8)\nf = lambda: f()\nf()"})


def test_large_results_are_refused(jail: Jail) -> None:
    assert len(jail.call({"code": "result = b'x' * 99_000"})) == 99_000
    with pytest.raises(JailOutputError, match="over 100,000 bytes"):
        jail.call({"code": "result = b'x' * 200_000"})


def test_flooding_the_output_is_refused(jail: Jail) -> None:
    with pytest.raises(JailOutputError):
        jail.call({"code": "import os\nwhile True: os.write(3, b'x' * 65536)"})


def test_flooding_stdout_goes_nowhere(jail: Jail, capfd: pytest.CaptureFixture[str]) -> None:
    code = "import os\nfor _ in range(500):\n    os.write(1, b'x' * 65536); os.write(2, b'y' * 65536)\nresult = b'done'"
    assert jail.call({"code": code}) == b"done"
    assert capfd.readouterr() == ("", "")


def test_large_payloads_are_refused(jail: Jail) -> None:
    with pytest.raises(JailOutputError, match="payload"):
        jail.call({"code": "#" * 300_000})


# --- results -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(0)",
        "import os; os.write(3, b'rwsjR'); os._exit(0)",
        "import os, struct; os.write(3, struct.pack('>4scQ', b'rwsj', b'R', 99) + b'short'); os._exit(0)",
        "import os, struct; os.write(3, struct.pack('>4scQ', b'rwsj', b'X', 2) + b'ok'); os._exit(0)",
        "import os, struct; os.write(3, struct.pack('>4scQ', b'rwsj', b'R', 2) + b'ok and more'); os._exit(0)",
        "import os, struct; os.write(3, struct.pack('>4scQ', b'rwsj', b'R', 2) + b'ok'); os._exit(1)",
        "import os; os.write(3, b'junk in front')\nresult = b'ok'",
        "raise SystemExit(0)",
        "raise KeyboardInterrupt",
        "result = 1\nraise ValueError('no')",
    ],
)
def test_anything_but_a_complete_result_is_a_fault(code: str, jail: Jail) -> None:
    with pytest.raises(JailOutputError):
        jail.call({"code": code})


def test_a_forged_result_is_just_a_result(jail: Jail) -> None:
    """Jailed code may write the output file itself: that is no more than returning those bytes."""
    code = "import os, struct; os.write(3, struct.pack('>4scQ', b'rwsj', b'R', 2) + b'ok'); os._exit(0)"
    assert jail.call({"code": code}) == b"ok"


def test_calls_do_not_see_each_other(jail: Jail) -> None:
    jail.call({"code": "import builtins; builtins.secret = 1"})
    with pytest.raises(JailOutputError, match="NameError"):
        jail.call({"code": "secret"})


def test_late_imports_fail_politely(jail: Jail) -> None:
    with pytest.raises(JailOutputError, match="ModuleNotFoundError"):
        jail.call({"code": "import wave"})


# --- the zygote ----------------------------------------------------------------------------------------------------


def zygote_pid(jail: Jail) -> int:
    assert jail._zygote is not None
    return jail._zygote._process.pid


def test_a_dead_zygote_is_started_again() -> None:
    with Jail(VICTIM, limits=LIMITS) as jail:
        assert jail.call({"code": "result = 1"}) == b"1"
        first = zygote_pid(jail)
        os.killpg(first, signal.SIGKILL)
        assert jail.call({"code": "result = 2"}) == b"2"
        assert zygote_pid(jail) != first


def test_a_zygote_killed_during_a_call_is_started_again() -> None:
    with Jail(VICTIM, limits=LIMITS) as jail:
        jail.warm()
        first = zygote_pid(jail)
        killer = threading.Timer(0.3, os.killpg, (first, signal.SIGKILL))
        killer.start()
        with pytest.raises(JailTimeout):  # by its second try
            jail.call({"code": "while True: pass"})
        assert zygote_pid(jail) != first


def test_a_stopped_zygote_does_not_hang_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent_module, "_GRACE_S", 0.2)
    with Jail(VICTIM, limits=LIMITS.model_copy(update={"wall_s": 0.5})) as jail:
        jail.warm()
        os.killpg(zygote_pid(jail), signal.SIGSTOP)
        with pytest.raises(JailTimeout, match="no answer"):
            jail.call({"code": "result = 1"})
        assert jail.call({"code": "result = 2"}) == b"2"


def test_nothing_is_left_running() -> None:
    jail = Jail(VICTIM, limits=LIMITS)
    jail.warm()
    pid = zygote_pid(jail)
    jail.close()
    jail.close()
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # under bubblewrap the last of them are orphans, which init reaps in its own time
            os.killpg(pid, 0)
            time.sleep(0.05)
    assert jail.call({"code": "result = b'again'"}) == b"again"
    jail.close()


def waiting_child(jail: Jail) -> int:
    """The process of the zygote's group that has no children there: the one that waits for the next payload."""
    group = str(os.getpgid(zygote_pid(jail)))
    for _ in range(100):
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, parent, its_group, *_ = stat.read_text().rpartition(") ")[2].split()
                if its_group == group and state != "Z":
                    parents[stat.parent.name] = parent
        leaves = set(parents) - set(parents.values())
        if len(leaves) == 1 and len(parents) > 1:
            return int(leaves.pop())
        time.sleep(0.05)
    raise AssertionError("no child waits")


def test_a_child_that_dies_while_it_waits_is_replaced() -> None:
    with Jail(VICTIM, limits=LIMITS) as jail:
        assert jail.call({"code": "result = 1"}) == b"1"
        zygote = zygote_pid(jail)
        os.kill(waiting_child(jail), signal.SIGKILL)
        assert jail.call({"code": "result = 2"}) == b"2"
        assert zygote_pid(jail) == zygote


def test_every_call_has_a_process_that_no_other_had(jail: Jail) -> None:
    leave = "import builtins\nresult = getattr(builtins, 'left', 'nothing')\nbuiltins.left = 'something'"
    assert [jail.call({"code": leave}) for _ in range(3)] == [b"nothing"] * 3


def test_no_variable_holds_what_another_call_got_or_gave(jail: Jail) -> None:
    look = (
        "import sys\nframe, seen = sys._getframe(), ''\nwhile frame:\n"
        "    seen += repr([v for v in frame.f_locals.values() if type(v) in (str, bytes)])\n    frame = frame.f_back\n"
        "result = str([word in seen for word in ('se' + 'cret-code', 'se' + 'cret-answer')])"
    )
    for _ in range(2):
        jail.call({"code": "result = 'secret' + '-answer'  # secret-code"})
    assert jail.call({"code": look}) == b"[False, False]"


def test_an_input_that_ends_the_zygote_twice_is_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object, **__: object) -> None:
        raise parent_module._ZygoteDied

    with Jail(VICTIM, limits=LIMITS) as jail:
        monkeypatch.setattr(parent_module._Zygote, "request", dies)
        with pytest.raises(JailKilled, match="died twice"):
            jail.call({"code": ""})


def test_a_forked_copy_of_the_parent_uses_a_zygote_of_its_own() -> None:
    with Jail(VICTIM, limits=LIMITS) as jail:
        jail.warm()
        first = zygote_pid(jail)
        pid = os.fork()
        if pid == 0:
            mine = jail.call({"code": "result = b'child'"}) == b"child" and zygote_pid(jail) != first
            jail.close()
            os._exit(0 if mine else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert jail.call({"code": "result = b'parent'"}) == b"parent" and zygote_pid(jail) == first


def test_threads_take_turns(jail: Jail) -> None:
    results: list[bytes] = []
    work = lambda i: results.append(jail.call({"code": f"result = {i}"}))
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [str(i).encode() for i in range(8)]


def test_a_module_that_does_not_import_is_the_machines_fault() -> None:
    with Jail("tests.jail.nowhere", limits=LIMITS) as jail, pytest.raises(JailError, match="No module named"):
        jail.call({})


def test_no_network_is_needed(jail: Jail) -> None:
    assert socket.socket is not None  # sockets are disabled by the test configuration; the jail uses pipes only
    assert jail.call({"code": "result = b'ok'"}) == b"ok"
