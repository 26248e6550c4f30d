"""What a freshly forked child does to itself before it looks at the payload. Every step is irreversible.

The order matters: files are closed while closing is allowed, limits are set while their values can still be read,
privileges go before the death signal (changing the uid clears it), and seccomp comes last because it forbids the rest.
"""

from __future__ import annotations

import ctypes
import linecache
import os
import re
import resource
import signal
import struct
import sys
from pathlib import Path

from rewardsmith.jail import landlock, seccomp
from rewardsmith.jail.records import JailLimits

OUTPUT_FD = 3  # the result goes here
ALIVE_FD = 4  # one byte when locked; end of file when dead
NOBODY = 65534  # the unprivileged user that root becomes

_TO_CHANGE_USER = (5, 6, 7)  # CAP_KILL, CAP_SETGID, CAP_SETUID
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_LINUX = sys.platform.startswith("linux")


def lock(limits: JailLimits, *, output: int, alive: int, null: int, zygote: int, filtered: bool) -> None:
    """Confine this process, which must be a fresh fork with a single thread.

    Args:
        limits: what it may use.
        output: file descriptor for the result; becomes OUTPUT_FD.
        alive: write end of the zygote's pipe; becomes ALIVE_FD.
        null: an open /dev/null; becomes standard input, output and error.
        zygote: process id of the zygote; the child dies with it.
        filtered: install the seccomp filter (False only where the person allowed running without a sandbox).

    Raises:
        OSError, RuntimeError: some step failed; the caller must exit without running anything.
    """
    os.setpgid(0, 0)  # a group of its own, for killpg
    _keep_only(output, alive, null)
    _assert_single_thread()
    _forget_files()
    _limit_resources(limits)
    _drop_privileges()
    _forbid_new_privileges(zygote)
    if filtered:
        landlock.deny_everything()
        seccomp.install()


def _keep_only(output: int, alive: int, null: int) -> None:
    """Leave five open files: /dev/null three times, the output and the alive pipe."""
    safe = [os.dup2(fd, 64 + place, inheritable=False) for place, fd in enumerate((null, null, null, output, alive))]
    for place, fd in enumerate(safe):
        os.dup2(fd, place)
    os.closerange(ALIVE_FD + 1, _highest_open_fd() + 1)


def _highest_open_fd() -> int:
    """Looked up, because the limit may be a billion in a container, and then closing up to it can take minutes."""
    return max(int(fd) for fd in os.listdir("/proc/self/fd" if _LINUX else "/dev/fd"))  # noqa: PTH208


def _assert_single_thread() -> None:
    """Seccomp and Landlock confine only the calling thread and its children: a second thread would stay free."""
    if _LINUX and len(tasks := os.listdir("/proc/self/task")) != 1:  # noqa: PTH208 (no pathlib objects in the child)
        raise RuntimeError(f"{len(tasks)} threads where one was expected")


def _forget_files() -> None:
    """What Python would look up on disk is not there: late imports fail, tracebacks come without source lines.

    Both would otherwise be killed for opening a file, and end honest code without a word.
    """
    sys.path.clear()
    sys.path_importer_cache.clear()
    sys.meta_path[:] = [f for f in sys.meta_path if getattr(f, "__name__", "") in {"BuiltinImporter", "FrozenImporter"}]
    linecache.updatecache = lambda filename, module_globals=None: []
    linecache.checkcache = lambda filename=None: None


def _limit_resources(limits: JailLimits) -> None:
    ceilings = {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": limits.output_bytes + 1024,  # the frame around the result is smaller than that
        "RLIMIT_NOFILE": 64,
        "RLIMIT_NPROC": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    for name, value in ceilings.items():
        if hasattr(resource, name):  # macOS lacks some
            _lower(getattr(resource, name), value)
    _lower(resource.RLIMIT_CPU, limits.cpu_s, hard=limits.cpu_s + 1)  # SIGXCPU first: it says why
    if _LINUX:  # macOS does not enforce RLIMIT_AS
        own_pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, own_pages * resource.getpagesize() + (limits.memory_mb << 20))


def _lower(kind: int, soft: int, *, hard: int | None = None) -> None:
    """Set a limit, but never above the hard limit that is already in force."""
    ceiling = resource.getrlimit(kind)[1]
    hard = soft if hard is None else hard
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))


def can_become_nobody() -> bool:
    """Whether this process is root with what it takes: three capabilities, and a user 65534 in its user namespace.

    Root in a container may lack either. A root that may change users but not kill what it started stays root too.
    """
    if os.geteuid() != 0:
        return False
    if not _LINUX:
        return True
    capabilities = int(re.findall(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[0], 16)
    mapped = (
        any(int(first) <= NOBODY < int(first) + int(count) for first, _, count in map(str.split, lines))
        for lines in (Path(f"/proc/self/{kind}_map").read_text().splitlines() for kind in ("uid", "gid"))
    )
    denied = Path("/proc/self/setgroups").read_text().strip() == "deny"
    return all(capabilities >> number & 1 for number in _TO_CHANGE_USER) and all(mapped) and not denied


def _drop_privileges() -> None:
    """Become nobody when root; where that is not possible, a root without a single capability."""
    if can_become_nobody():
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY) if _LINUX else os.setgid(NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY) if _LINUX else os.setuid(NOBODY)
        if os.geteuid() == 0 or os.getuid() == 0:
            raise RuntimeError("still root")
    if _LINUX:
        header, nothing = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.capset(header, nothing) != 0:
            raise OSError(ctypes.get_errno(), "capset")


def _forbid_new_privileges(zygote: int) -> None:
    if not _LINUX:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in (
        (_PR_SET_NO_NEW_PRIVS, 1),  # no setuid programs; seccomp and Landlock demand it too
        (_PR_SET_DUMPABLE, 0),  # no ptrace and no core file
        (_PR_SET_PDEATHSIG, int(signal.SIGKILL)),  # die with the zygote
    ):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option})")
    if os.getppid() != zygote:
        raise RuntimeError("the zygote died before the lock was complete")
