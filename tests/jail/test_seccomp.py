"""The filter program, interpreted as the kernel would, for both processors; and on this one, for real."""

from __future__ import annotations

import platform
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rewardsmith.jail import Jail, JailKilled, JailLimits, probe, seccomp

KILL, ALLOW, ANSWER = 0x80000000, 0x7FFF0000, 0x00050000
PRIVATE, SHARED, FIXED, ANONYMOUS, LOCKED, HUGE = 0x2, 0x1, 0x10, 0x20, 0x2000, 0x40000

needs_seccomp = pytest.mark.skipif(
    not any(rung.available and rung.name.startswith("seccomp") for rung in probe()), reason="no seccomp here"
)


def simulate(arch: seccomp.Arch, number: int, *arguments: int, audit: int | None = None) -> int:
    """Interpret the filter for one system call; arguments are 64 bits wide."""
    data = {0: number, 4: arch.audit if audit is None else audit}
    for place, value in enumerate(arguments):
        data |= {16 + 8 * place: value & 0xFFFFFFFF, 20 + 8 * place: value >> 32 & 0xFFFFFFFF}
    program, place, accumulator = seccomp.filter_program(arch), 0, 0
    while True:
        code, if_true, if_false, operand = program[place]
        place += 1
        if code == 0x20:
            accumulator = data.get(operand, 0)
        elif code == 0x06:
            return operand
        else:
            hit = accumulator == operand if code == 0x15 else bool(accumulator & operand)
            place += if_true if hit else if_false


@pytest.fixture(params=seccomp.ARCHES)
def arch(request: pytest.FixtureRequest) -> seccomp.Arch:
    return seccomp.ARCHES[request.param]


def test_the_program_is_well_formed(arch: seccomp.Arch) -> None:
    assert {*seccomp.ALLOWED, *seccomp.ANSWERED} <= set(arch.numbers)
    assert len(set(arch.numbers.values())) == len(arch.numbers)
    program = seccomp.filter_program(arch)
    for place, (code, if_true, if_false, _) in enumerate(program):
        if code in (0x15, 0x45):  # jumps stay inside
            assert place + 1 + max(if_true, if_false) < len(program)
    assert program[-1] == (0x06, 0, 0, KILL)


def test_only_listed_calls_of_this_abi_pass(arch: seccomp.Arch) -> None:
    listed = {arch.numbers[call] for call in (*seccomp.ALLOWED, *seccomp.ANSWERED)}
    assert all(simulate(arch, number) == KILL for number in range(1024) if number not in listed)
    for number in listed:
        assert simulate(arch, number | 0x40000000) == KILL  # x32
        for audit in (0x40000003, 0x40000028, *(other.audit for other in seccomp.ARCHES.values())):  # i386, arm, ...
            if audit != arch.audit:
                assert simulate(arch, number, audit=audit) == KILL
    for call in set(seccomp.ALLOWED) - {"mmap", "mprotect", "mremap", "madvise", "futex", "clock_gettime"}:
        assert simulate(arch, arch.numbers[call], *[2**64 - 1] * 6) == ALLOW
    assert simulate(arch, arch.numbers["newfstatat"]) == ANSWER | 2
    assert simulate(arch, arch.numbers["ioctl"], 0, 0x5412) == ANSWER | 25  # TIOCSTI: not carried out either


ARGUMENTS: dict[str, tuple[str, tuple[int, ...], bool]] = {
    "memory": ("mmap", (0, 4096, 3, PRIVATE | ANONYMOUS), True),
    "guard_page": ("mmap", (0, 4096, 0, PRIVATE | ANONYMOUS | 0x4000), True),
    "memory_high_garbage": ("mmap", (0, 4096, 3 | 0xFF << 32, PRIVATE | ANONYMOUS | 0xFF << 32), True),
    "executable": ("mmap", (0, 4096, 7, PRIVATE | ANONYMOUS), False),
    "execute_only": ("mmap", (0, 4096, 4, PRIVATE | ANONYMOUS), False),
    "growing": ("mmap", (0, 4096, 3 | 0x01000000, PRIVATE | ANONYMOUS), False),
    "a_file": ("mmap", (0, 4096, 1, PRIVATE, 3), False),
    "a_shared_file": ("mmap", (0, 4096, 3, SHARED, 3), False),
    "anonymous_in_the_high_half": ("mmap", (0, 4096, 3, PRIVATE | ANONYMOUS << 32, 3), False),
    "shared_memory": ("mmap", (0, 4096, 3, SHARED | ANONYMOUS), False),
    "over_something": ("mmap", (0, 4096, 3, PRIVATE | ANONYMOUS | FIXED), False),
    "locked": ("mmap", (0, 4096, 3, PRIVATE | ANONYMOUS | LOCKED), False),
    "huge_pages": ("mmap", (0, 1 << 21, 3, PRIVATE | ANONYMOUS | HUGE), False),
    "writable": ("mprotect", (0, 4096, 3), True),
    "made_executable": ("mprotect", (0, 4096, 5), False),
    "made_executable_high_garbage": ("mprotect", (0, 4096, 5 | 1 << 32), False),
    "made_growing": ("mprotect", (0, 4096, 1 | 0x02000000), False),
    "grown": ("mremap", (0, 4096, 8192, 1), True),
    "moved_over": ("mremap", (0, 4096, 4096, 3, 4096), False),
    "moved_and_kept": ("mremap", (0, 4096, 4096, 5), False),
    "given_back": ("madvise", (0, 4096, 4), True),
    "poisoned": ("madvise", (0, 4096, 100), False),
    "merged_with_others": ("madvise", (0, 4096, 12), False),
    "hole_punched": ("madvise", (0, 4096, 9), False),
    "wait": ("futex", (0, 0x80, 1), True),
    "wait_until": ("futex", (0, 0x189, 1), True),
    "shared_wait": ("futex", (0, 0, 1), False),
    "requeue": ("futex", (0, 0x83, 1), False),
    "priority_inheritance": ("futex", (0, 0x86, 1), False),
    "priority_requeue": ("futex", (0, 0x8B, 1), False),
    "monotonic": ("clock_gettime", (1, 0), True),
    "clock_of_init": ("clock_gettime", (-(1 << 3) - 6 & 2**64 - 1, 0), False),
    "clock_of_a_device": ("clock_gettime", ((~3 << 3 | 3) & 2**64 - 1, 0), False),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name: str, arch: seccomp.Arch) -> None:
    call, arguments, passes = ARGUMENTS[name]
    assert simulate(arch, arch.numbers[call], *arguments) == (ALLOW if passes else KILL)


def test_unknown_processors_have_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert seccomp.machine() is None and "riscv64" in seccomp.unavailable()


# --- for real ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    with Jail("tests.jail.native_victim", limits=JailLimits(wall_s=3, cpu_s=2, memory_mb=256)) as jail:
        yield jail


def numbers() -> dict[str, int]:
    arch = seccomp.machine()
    return arch.numbers if arch else {}


@needs_seccomp
@pytest.mark.parametrize("name", [name for name, (_, _, passes) in ARGUMENTS.items() if not passes])
def test_forbidden_arguments_kill(name: str, jail: Jail) -> None:
    call, arguments, _ = ARGUMENTS[name]
    with pytest.raises(JailKilled) as fault:
        jail.call({"code": f"syscall({numbers()[call]}, *{arguments})"})
    assert fault.value.signal == signal.SIGSYS


@needs_seccomp
def test_memory_may_grow_and_shrink(jail: Jail) -> None:
    code = "b = bytearray(1 << 20)\nfor _ in range(100): b.extend(bytes(1 << 20))\nresult = len(b)"
    assert jail.call({"code": code}) == str(101 << 20).encode()


@needs_seccomp
@pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code for x86_64")
def test_calls_of_the_32_bit_abi_kill(jail: Jail) -> None:
    """`int 0x80` reaches other system calls by the same numbers: write (1) would be exit, execve (11) munmap."""
    assert jail.call({"code": "result = native_add(2, 3)"}) == b"5"
    for number in (1, 3, 5, 11, 20):
        with pytest.raises(JailKilled) as fault:
            jail.call({"code": f"native_int80({number}, 0)"})
        assert fault.value.signal in (signal.SIGSYS, signal.SIGSEGV)  # the latter where the kernel lacks that ABI


def test_every_call_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    table = text.split("### System calls")[1].split("\n\n")[1]
    assert set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()))) == {
        *seccomp.ALLOWED,
        *seccomp.ANSWERED,
    }
