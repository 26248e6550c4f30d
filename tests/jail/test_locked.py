"""What a locked process looks like from the outside while it runs: its files, memory, limits, user and names."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rewardsmith.jail import Jail, JailFault, JailLimits, probe
from rewardsmith.jail.rungs import ENVIRONMENT

LIMITS = JailLimits(wall_s=30, cpu_s=20, memory_mb=300, output_bytes=100_000)
SECRET = "sk-not-for-the-jail"
ENDLESS = "while True: pass"

pytestmark = pytest.mark.skipif(
    not any(rung.available and rung.name.startswith("seccomp") for rung in probe()), reason="no seccomp here"
)


def locked_child(module: str) -> Path | None:
    """/proc folder of a process of ours under the filter that was forked from the zygote of `module`."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                module.encode() in (folder / "cmdline").read_bytes()
                and "Seccomp:\t2" in (folder / "status").read_text()
                and os.getpid() in ancestors(folder)
            ):
                return folder
    return None


def ancestors(folder: Path) -> list[int]:
    """Process ids of the parent, its parent and so on (other tests run jails of their own at the same time)."""
    found: list[int] = []
    while folder.name != "0":
        status = (folder / "status").read_text()
        found.append(int(re.search(r"^PPid:\t(\d+)", status, re.MULTILINE)[1]))
        folder = Path("/proc", str(found[-1]))
    return found


@contextlib.contextmanager
def running(module: str, payload: dict) -> Iterator[Path]:
    """A locked process that runs `payload` for ever; ended by a signal from here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", SECRET)
        with Jail(module, limits=LIMITS) as jail:
            jail.warm()
            caller = threading.Thread(target=quietly, args=(jail, payload))
            caller.start()
            folder, deadline = None, time.monotonic() + 20
            while folder is None and time.monotonic() < deadline:
                time.sleep(0.02)
                folder = locked_child(module)
            try:
                assert folder is not None, "no locked process was seen"
                yield folder
            finally:
                if folder is not None:
                    os.kill(int(folder.name), signal.SIGKILL)
                caller.join()


def quietly(jail: Jail, payload: dict) -> None:
    with contextlib.suppress(JailFault):
        jail.call(payload)


@pytest.fixture(scope="module")
def child() -> Iterator[Path]:
    with running("tests.jail.victim", {"code": ENDLESS}) as folder:
        yield folder


@pytest.fixture(scope="module")
def tracing_child() -> Iterator[Path]:
    """The real tracer, with all of torch in its memory."""
    source = f"def compute_reward(obs, action, next_obs):\n    {ENDLESS}\n"
    interface = {"features": [{"name": "x"}], "action": {"kind": "continuous", "shape": [1]}}
    payload = {"kind": "reward", "functions": ["compute_reward"], "parameters": {}, "source": source}
    with running("rewardsmith.reward.trace", {**payload, "interface": interface}) as folder:
        yield folder


def test_five_files_and_none_with_a_name(child: Path) -> None:
    open_files = {int(link.name): str(link.readlink()) for link in (child / "fd").iterdir()}
    assert set(open_files) == {0, 1, 2, 3, 4}
    assert {Path(open_files[fd]).name for fd in (0, 1, 2)} == {"null"}
    assert open_files[3].startswith("/memfd:") and open_files[4].startswith("pipe:")
    assert (child / "cwd").readlink() == Path("/")


def test_environment_and_arguments_hold_no_secret(child: Path) -> None:
    environment = (child / "environ").read_bytes().decode().split("\0")
    assert {entry.split("=")[0] for entry in environment if entry} <= {*ENVIRONMENT, "PWD", "LC_CTYPE"}
    assert SECRET not in (child / "cmdline").read_text()


def test_the_kernel_knows_the_limits(child: Path) -> None:
    rows = (re.split(r"\s{2,}", line) for line in (child / "limits").read_text().splitlines()[1:])
    limits = {row[0]: (row[1], row[2]) for row in rows}
    assert limits["Max processes"] == limits["Max core file size"] == limits["Max locked memory"] == ("0", "0")
    assert limits["Max cpu time"] == ("20", "21")
    assert limits["Max file size"] == ("101024", "101024")
    assert limits["Max open files"] == ("64", "64")
    soft, hard = limits["Max address space"]
    assert soft == hard and int(soft) < 2**30


def test_no_privileges(child: Path) -> None:
    status = dict(line.split(":\t", 1) for line in (child / "status").read_text().splitlines() if ":\t" in line)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[kind], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Threads"] == "1"


@pytest.mark.parametrize("which", ["child", "tracing_child"])
def test_no_memory_is_shared_or_writable_code(which: str, request: pytest.FixtureRequest) -> None:
    """Shared writable memory would lead out; writable and executable memory would let it make machine code."""
    child = request.getfixturevalue(which)
    for line in (child / "maps").read_text().splitlines():
        permissions = line.split()[1]
        assert not ("w" in permissions and "s" in permissions), line
        assert not ("w" in permissions and "x" in permissions), line
