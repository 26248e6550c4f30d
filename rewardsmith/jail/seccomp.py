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
    "mmap",  # private anonymous memory, never executable
    "mprotect",  # never executable
    "munmap",
    "mremap",  # growing a large block, not moving one over another
    "brk",
    "madvise",  # giving memory back, asking for large pages
    "futex",  # waiting and waking inside this process
    "clock_gettime",  # the plain clocks, not those of devices and other processes
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

# Arguments, by position; the calls above that are not listed here are allowed with any. The numbers are the same on
# both processors. Only the low halves of arguments are looked at: the kernel ignores the high half of every argument
# checked here (ints, and flags that all lie in the low half), and the C library leaves anything in it.
READ_OR_WRITE = 0x1 | 0x2  # neither executable nor growing
ANONYMOUS = 0x20
MAP_KINDS = ANONYMOUS | 0x2 | 0x8 | 0x4000 | 0x20000  # private, droppable (for getrandom), noreserve, stack
MAY_MOVE = 0x1
ADVICE = (4, 8, 14)  # MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE
FUTEX_PRIVATE = (0x80, 0x81, 0x89, 0x189)  # wait, wake, wait until a time of either clock
PLAIN_CLOCKS = 0x7  # clocks 0 to 7; negative numbers mean other processes and devices


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
_KILL: Instruction = (_RETURN, 0, 0, _KILL_PROCESS)


def _argument(index: int) -> int:
    """Offset of the low half of system call argument `index` in struct seccomp_data."""
    return 16 + 8 * index


def _only_bits(index: int, mask: int) -> tuple[Instruction, ...]:
    """Kill if argument `index` has a bit outside `mask`; else go on behind."""
    return ((_LOAD, 0, 0, _argument(index)), (_JUMP_ANY_BIT, 0, 1, mask ^ 0xFFFFFFFF), _KILL)


def _has_bit(index: int, bit: int) -> tuple[Instruction, ...]:
    """Kill unless argument `index` has `bit`; else go on behind."""
    return ((_LOAD, 0, 0, _argument(index)), (_JUMP_ANY_BIT, 1, 0, bit), _KILL)


def _one_of(index: int, values: tuple[int, ...]) -> tuple[Instruction, ...]:
    """Kill unless argument `index` is one of `values`; else go on behind."""
    jumps = ((_JUMP_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values))
    return ((_LOAD, 0, 0, _argument(index)), *jumps, _KILL)


_CHECKS: dict[str, tuple[Instruction, ...]] = {
    # mmap(address, length, protection, flags, file, offset)
    "mmap": (*_only_bits(2, READ_OR_WRITE), *_only_bits(3, MAP_KINDS), *_has_bit(3, ANONYMOUS)),
    "mprotect": _only_bits(2, READ_OR_WRITE),  # (address, length, protection)
    "mremap": _only_bits(3, MAY_MOVE),  # (address, old length, new length, flags)
    "madvise": _one_of(2, ADVICE),  # (address, length, advice)
    "futex": _one_of(1, FUTEX_PRIVATE),  # (address, operation, ...)
    "clock_gettime": _only_bits(0, PLAIN_CLOCKS),  # (clock, result)
}


def filter_program(arch: Arch) -> list[Instruction]:
    """The filter, to be read from top to bottom. Calls of the x32 ABI match no number and are killed like the rest."""
    program: list[Instruction] = [
        (_LOAD, 0, 0, _AUDIT),
        (_JUMP_EQUAL, 1, 0, arch.audit),
        _KILL,  # another ABI of the same processor
        (_LOAD, 0, 0, _NUMBER),
    ]
    for name, answer in ANSWERED.items():
        program += [(_JUMP_EQUAL, 0, 1, arch.numbers[name]), (_RETURN, 0, 0, _ANSWER_ERRNO | answer)]
    for name in ALLOWED:
        checks = _CHECKS.get(name, ())
        program += [(_JUMP_EQUAL, 0, len(checks) + 1, arch.numbers[name]), *checks, (_RETURN, 0, 0, _ALLOW)]
    return [*program, _KILL]


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
