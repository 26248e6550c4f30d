"""Run as a program: changes this process into what a container or a cluster gives, then uses a jail and reports.

    python -m tests.jail.surroundings SURROUNDING [MODULE]

The last line it prints is JSON: the rung, what honest work gave, how a forbidden call ended.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rewardsmith.jail import Jail, JailKilled
from rewardsmith.jail.lock import NOBODY

LIBC = ctypes.CDLL(None, use_errno=True)
CAP_DAC_READ_SEARCH = 2
NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
LANDLOCK = (444, 445, 446)

# What Docker's default profile answers with EPERM (numbers of x86_64), from its documentation.
DENIED_BY_DOCKER = {
    "ptrace": 101, "personality": 135, "ustat": 136, "_sysctl": 156, "pivot_root": 155, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "iopl": 172,
    "ioperm": 173, "create_module": 174, "init_module": 175, "delete_module": 176, "get_kernel_syms": 177,
    "query_module": 178, "quotactl": 179, "nfsservctl": 180, "lookup_dcookie": 212, "clock_settime": 227,
    "vserver": 236, "mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "move_pages": 279, "unshare": 272, "perf_event_open": 298,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "kexec_file_load": 320, "bpf": 321,
    "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsmount": 432,
}  # fmt: skip


def require(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def deny(numbers: Iterable[int], error: int, *, namespaces: bool = False) -> None:
    """Install a filter that answers these system calls with an error, as a container's runtime does."""
    load, equal, any_bit, leave = 0x20, 0x15, 0x45, 0x06
    answer = (leave, 0, 0, 0x00050000 | error)
    program = [(load, 0, 0, 0)]
    for number in numbers:
        program += [(equal, 0, 1, number), answer]
    if namespaces:
        program += [(equal, 0, 1, 435), (leave, 0, 0, 0x00050000 | errno.ENOSYS)]  # clone3
        program += [(equal, 0, 3, 56), (load, 0, 0, 16), (any_bit, 0, 1, NAMESPACES), answer]  # clone(flags)
    program.append((leave, 0, 0, 0x7FFF0000))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    require(LIBC.prctl(38, 1, 0, 0, 0), "no new privileges")
    require(LIBC.prctl(22, 2, struct.pack("@HP", len(program), ctypes.addressof(code)), 0, 0), "filter")


def docker() -> None:
    deny(DENIED_BY_DOCKER.values(), errno.EPERM, namespaces=True)


def no_landlock() -> None:
    deny(LANDLOCK, errno.ENOSYS)


def landlock_denied() -> None:
    deny(LANDLOCK, errno.EPERM)


def no_capabilities() -> None:
    for number in range(64):
        LIBC.prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP; fails behind the last one
    set_capabilities(0)


def set_capabilities(bits: int) -> None:
    require(LIBC.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[bits] * 3, 0, 0, 0)), "capset")


def lonely_root() -> None:
    """Root of a user namespace that knows no other user, as in Apptainer or rootless tools without subuid ranges."""
    user, group = os.getuid(), os.getgid()
    require(LIBC.unshare(0x10000000), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def ordinary_user() -> None:
    """User nobody; one capability lets it read this interpreter wherever it is installed."""
    if os.geteuid() == 0:
        require(LIBC.prctl(8, 1, 0, 0, 0), "keep capabilities")
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        set_capabilities(1 << CAP_DAC_READ_SEARCH)
        require(LIBC.prctl(47, 2, CAP_DAC_READ_SEARCH, 0, 0), "ambient capability")


def old_cluster() -> None:
    """An ordinary user, few files and processes, nothing but seccomp."""
    ordinary_user()
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    resource.setrlimit(resource.RLIMIT_NPROC, (512, 512))
    deny([*DENIED_BY_DOCKER.values(), *LANDLOCK], errno.EPERM, namespaces=True)


def cramped_docker() -> None:
    """Docker with all capabilities dropped, an old profile, and privileges frozen."""
    no_capabilities()
    deny([*DENIED_BY_DOCKER.values(), *LANDLOCK], errno.EPERM, namespaces=True)


SURROUNDINGS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        docker, no_landlock, landlock_denied, no_capabilities, lonely_root, ordinary_user, old_cluster, cramped_docker,
    )
}  # fmt: skip


def report() -> dict[str, object]:
    """Use a jail here."""
    outcome = {}
    with Jail("tests.jail.victim") as jail:
        outcome["worked"] = jail.call({"code": "result = 6 * 7"}).decode()
        for name, code in {"file": "open('/etc/passwd')", "socket": "import _socket; _socket.socket()"}.items():
            try:
                outcome[name] = jail.call({"code": code}).decode()
            except JailKilled as fault:
                outcome[name] = f"signal {fault.signal}"
        return {"rung": jail.rung.name, "layers": jail.rung.layers, **outcome}


def trace_a_reward() -> dict[str, object]:
    """The whole way from source to program."""
    from rewardsmith.reward.compile import compile_reward, reward_jail
    from tests.reward.corpus.interface import INTERFACE

    code = "def compute_reward(obs, action, next_obs):\n    return next_obs['height'], {}\n"
    with reward_jail() as jail:
        result = compile_reward(code, INTERFACE, jail)
        return {"rung": jail.rung.name, "worked": result.program is not None, "findings": str(result.findings)}


if __name__ == "__main__":
    SURROUNDINGS[sys.argv[1]]()
    print(json.dumps(trace_a_reward() if sys.argv[2:] == ["reward"] else report()))
