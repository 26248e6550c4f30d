"""The innermost wall: a seccomp allow-list of system calls, installed by ctypes alone.

A jailed process only has to compute: everything it needs is imported, and everything it may say goes to one open file.
So the list is short enough to read. Whatever is not on it kills the process, including calls that do not exist yet.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from typing import NamedTuple

# --- the policy ----------------------------------------------------------------------------------------------------

ALLOWED = (
    "write",  # the result; the only other open files lead to /dev/null and to the zygote's "still alive" pipe
    "mmap",  # only anonymous memory, never executable (checked below)
    "mprotect",  # never executable (checked below)
    "munmap",
    "mremap",
    "brk",
    "madvise",
    "futex",
    "clock_gettime",
    "getrandom",
    "sched_yield",
    "getpid",
    "gettid",
    "rt_sigreturn",
    "exit",
    "exit_group",
)
# Asked by honest code on its way to an error message; refused with an error instead of death, and never carried out.
ANSWERED = {
    "newfstatat": errno.ENOENT,  # Python looks for source files when it formats a traceback: there are none
    "ioctl": errno.ENOTTY,  # torch asks whether it may use colours: this is no terminal
}

PROT_EXEC = 0x4
MAP_ANONYMOUS = 0x20


class Arch(NamedTuple):
    """What the filter must know of one processor: its audit number and its system call numbers."""

    audit: int
    numbers: dict[str, int]


# fmt: off
ARCHES = {
    "x86_64": Arch(0xC000003E, {
        "write": 1, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigreturn": 15, "ioctl": 16,
        "sched_yield": 24, "mremap": 25, "madvise": 28, "getpid": 39, "exit": 60, "gettid": 186, "futex": 202,
        "clock_gettime": 228, "exit_group": 231, "newfstatat": 262, "seccomp": 317, "getrandom": 318,
    }),
    "aarch64": Arch(0xC00000B7, {
        "ioctl": 29, "write": 64, "newfstatat": 79, "exit": 93, "exit_group": 94, "futex": 98, "clock_gettime": 113,
        "sched_yield": 124, "rt_sigreturn": 139, "getpid": 172, "gettid": 178, "brk": 214, "munmap": 215,
        "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233, "seccomp": 277, "getrandom": 278,
    }),
}
# fmt: on

# --- classic BPF ---------------------------------------------------------------------------------------------------

_LOAD, _JUMP_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_KILL_PROCESS, _ANSWER_ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER, _AUDIT = 0, 4  # offsets in struct seccomp_data; arguments follow from 16 on, 8 bytes each, little-endian

Instruction = tuple[int, int, int, int]  # code, instructions to skip if true, if false, operand


def _argument(index: int) -> int:
    """Offset of the low half of system call argument `index` in struct seccomp_data."""
    return 16 + 8 * index


def filter_program(arch: Arch) -> list[Instruction]:
    """The filter, to be read from top to bottom. Calls of the x32 ABI match no number and are killed like the rest."""
    kill, allow = (_RETURN, 0, 0, _KILL_PROCESS), (_RETURN, 0, 0, _ALLOW)
    program: list[Instruction] = [
        (_LOAD, 0, 0, _AUDIT),
        (_JUMP_EQUAL, 1, 0, arch.audit),
        kill,  # another ABI of the same processor
        (_LOAD, 0, 0, _NUMBER),
    ]
    for name, answer in ANSWERED.items():
        program += [(_JUMP_EQUAL, 0, 1, arch.numbers[name]), (_RETURN, 0, 0, _ANSWER_ERRNO | answer)]
    for name in ALLOWED:
        checks = _CHECKS.get(name, ())
        program += [(_JUMP_EQUAL, 0, len(checks) + 1, arch.numbers[name]), *checks, allow]
    return [*program, kill]


# Run after the number has matched and before `allow`; each must end in a kill or fall through to it.
_CHECKS: dict[str, tuple[Instruction, ...]] = {
    "mmap": (  # mmap(address, length, protection, flags, file, offset)
        (_LOAD, 0, 0, _argument(2)),
        (_JUMP_ANY_BIT, 2, 0, PROT_EXEC),  # executable: to the kill
        (_LOAD, 0, 0, _argument(3)),
        (_JUMP_ANY_BIT, 1, 0, MAP_ANONYMOUS),  # anonymous: over the kill
        (_RETURN, 0, 0, _KILL_PROCESS),
    ),
    "mprotect": (  # mprotect(address, length, protection)
        (_LOAD, 0, 0, _argument(2)),
        (_JUMP_ANY_BIT, 0, 1, PROT_EXEC),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ),
}

# --- installing it -------------------------------------------------------------------------------------------------

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_SECCOMP_GET_ACTION_AVAIL = 2


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def machine() -> Arch | None:
    """The table of this machine; None where there is none (another processor or system, a 32-bit Python)."""
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    return ARCHES.get(platform.machine())


def unavailable() -> str:
    """Why seccomp filters cannot work here; empty when they should. Changes nothing."""
    if not sys.platform.startswith("linux"):
        return f"seccomp exists on Linux only, this is {sys.platform}"
    arch = machine()
    if arch is None:
        return f"no system call table for {platform.machine()} (there is one for: {', '.join(ARCHES)}; 64-bit only)"
    libc = ctypes.CDLL(None, use_errno=True)
    action = ctypes.c_uint32(_KILL_PROCESS)
    if libc.syscall(arch.numbers["seccomp"], _SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(action)) != 0:
        return f"the kernel has no seccomp kill action (Linux 4.14 is needed): errno {ctypes.get_errno()}"
    return ""


def install() -> None:
    """Confine the calling thread for good. PR_SET_NO_NEW_PRIVS must be set.

    Raises:
        OSError: the kernel refused the filter.
    """
    arch = machine()
    if arch is None:
        raise OSError(errno.ENOSYS, unavailable())
    program = filter_program(arch)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    header = _FilterProgram(len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp filter refused")
