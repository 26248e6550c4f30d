"""Foreign code in this process: what takes long is told, and what hangs ends the process with its reason."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time

import pytest

from rewardsmith.engine import alive, watch, watching
from rewardsmith.errors import EXIT_ENVIRONMENT, EnvironmentFault

HANG = """
import ctypes, time
from rewardsmith.engine import alive, watch, watching
watch._GRACE_S = 0.2

def stuck_in_python():
    time.sleep(600)

def stuck_with_the_lock():
    ctypes.PyDLL(None).sleep(600)

with watching("recording", stall_s=600):
    alive()
    with watching("playing MyHang-v0", stall_s=0.5, hint="get up"):
        {stuck}()
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


def test_a_hang_ends_the_process_and_says_what_and_where() -> None:
    done = run(HANG.format(stuck="stuck_in_python"))
    assert done.returncode == EXIT_ENVIRONMENT
    assert "playing MyHang-v0 hangs: no sign of life for 0.5 s" in done.stderr
    assert "Fix: get up" in done.stderr and "in stuck_in_python" in done.stderr


def test_a_hang_that_lets_no_thread_run_ends_too() -> None:
    done = run(HANG.format(stuck="stuck_with_the_lock"))
    assert done.returncode == 1
    assert "in stuck_with_the_lock" in done.stderr


@pytest.fixture
def impatient(monkeypatch, caplog) -> None:
    monkeypatch.setattr(watch, "_LOOK_S", 0.02)
    monkeypatch.setattr(watch, "SAY_AFTER_S", 0.1)
    monkeypatch.setattr(watch, "WARN_AFTER_S", 0.3)
    caplog.set_level(logging.INFO, "rewardsmith.engine.watch")


@pytest.mark.usefixtures("impatient")
def test_what_takes_long_is_told_once_and_lives_on(caplog) -> None:
    """For longer than the limit for silence, which is not counted around a block that is watched itself."""
    with watching("the whole", stall_s=1.0), watching("playing", stall_s=1.0):
        for _ in range(30):
            time.sleep(0.05)
            alive()
    assert [r.getMessage() for r in caplog.records] == ["playing ..."]


@pytest.mark.usefixtures("impatient")
def test_silence_is_a_warning_before_it_is_the_end(caplog) -> None:
    with watching("playing", stall_s=60.0):
        time.sleep(0.6)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1 and "playing: no sign of life" in warnings[0] and "after 60 s" in warnings[0]


def test_a_process_that_a_person_suspended_does_not_hang() -> None:
    code = (
        "import time\nfrom rewardsmith.engine import watching\n"
        "with watching('playing', stall_s=1.5):\n    print(flush=True)\n    time.sleep(1.0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=20) == 0


def test_sys_exit_is_a_fault_of_the_environment() -> None:
    with pytest.raises(EnvironmentFault, match=r"playing MyDie-v0: .* sys\.exit\(5\)"), watching("playing MyDie-v0"):
        sys.exit(5)
