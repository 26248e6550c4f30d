"""The ladder: what is probed, what is chosen, what is refused, and the rungs other than the default one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rewardsmith.errors import JailError
from rewardsmith.jail import Jail, JailKilled, JailLimits, JailOutputError, lock, probe, rungs
from rewardsmith.jail.rungs import choose, command

VICTIM = "tests.jail.victim"
LIMITS = JailLimits(wall_s=3, cpu_s=2, memory_mb=256)


@pytest.fixture
def without_seccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rungs, "_seccomp_problem", lambda: "switched off for this test")


def test_probe_says_what_each_rung_does_not_stop() -> None:
    found = probe()
    assert [rung.name for rung in found] == ["seccomp+bubblewrap", "seccomp", "sandbox-exec", "none"]
    assert all(rung.does_not_stop and rung.layers for rung in found)
    assert all(rung.available or rung.detail for rung in found)
    assert sum(rung.used for rung in found) <= 1 and not found[-1].used


def test_without_a_sandbox_nothing_runs(without_seccomp: None) -> None:
    if sys.platform != "linux":
        pytest.skip("macOS has a rung without seccomp")
    with Jail(VICTIM, limits=LIMITS) as jail:
        with pytest.raises(JailError, match=r"no sandbox works.*switched off") as error:
            jail.call({"code": "result = 1"})
        assert "--allow-unsandboxed" in error.value.hint


def test_unsandboxed_only_when_allowed_and_it_says_so(without_seccomp: None) -> None:
    with Jail(VICTIM, limits=LIMITS, allow_unsandboxed=True) as jail:
        assert jail.call({"code": "result = b'hi'"}) == b"hi"
        assert jail.rung.name == "none" and "anything" in jail.rung.does_not_stop
        with pytest.raises((JailKilled, JailOutputError)):  # limits still hold
            jail.call({"code": "x = bytearray(10**10)"})


def test_a_lock_that_does_not_hold_is_noticed() -> None:
    """A zygote proves its lock before it serves: one whose filter lets calls through says so instead."""
    script = (
        "import sys; sys.path[:0] = sys.argv[1].split(':')\n"
        "from rewardsmith.jail import JailLimits, landlock, seccomp, zygote\n"
        "seccomp.install = landlock.deny_everything = lambda: None\n"
        f"zygote.main({VICTIM!r}, JailLimits(), filtered=True)\n"
    )
    python = [sys.executable, "-c", script, ":".join(rungs.module_path())]
    with subprocess.Popen(python, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        size = int.from_bytes(process.stdout.read(4), "big")
        assert b"the lock did not hold" in process.stdout.read(size)
        process.stdin.close()
        assert process.wait(timeout=30) == 0  # it ends with its parent


def test_macos_rung_is_a_command_around_python() -> None:
    rung = rungs._sandbox_exec().model_copy(update={"available": True})
    line = command(rung, ["python", "-c", "pass"], [])
    assert line[0] == "/usr/bin/sandbox-exec" and line[-3:] == ["python", "-c", "pass"]
    assert "(deny default)" in line[2] and "(deny network*)" in line[2]


def test_bubblewrap_rung() -> None:
    if not next(rung for rung in probe() if rung.name == "seccomp+bubblewrap").available:
        pytest.skip("bubblewrap does not work here")
    with Jail(VICTIM, limits=LIMITS) as jail:
        assert jail.call({"code": "import os; result = os.getpid() < 100"}) == b"True"  # its own process numbers
        assert jail.rung.name == "seccomp+bubblewrap"
        with pytest.raises(JailKilled):
            jail.call({"code": "open('/etc/passwd')"})


def test_when_bubblewrap_breaks_the_ladder_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(rungs, "find_bubblewrap", lambda: str(broken))
    monkeypatch.setattr(rungs, "_bubblewrap_problem", lambda: "")
    if not any(rung.name == "seccomp" and rung.available for rung in probe()):
        pytest.skip("no seccomp here")
    assert choose(allow_unsandboxed=False)[0].name == "seccomp+bubblewrap"
    with Jail(VICTIM, limits=LIMITS) as jail:
        assert jail.call({"code": "result = b'ok'"}) == b"ok"
        assert jail.rung.name == "seccomp"


def test_as_an_unprivileged_user() -> None:
    """The whole jail again under uid nobody, with the same interpreter or the system's of the same version."""
    if os.geteuid() != 0:
        pytest.skip("already unprivileged: every other test shows it")
    script = (
        "import os, sys\n"
        "sys.path[:0] = sys.argv[1].split(':')\n"
        "assert os.getuid() == 65534\n"
        "from rewardsmith.jail import Jail, JailKilled\n"
        f"with Jail({VICTIM!r}) as jail:\n"
        "    assert jail.call({'code': 'result = 6 * 7'}) == b'42'\n"
        "    try:\n"
        "        jail.call({'code': \"open('/etc/passwd')\"})\n"
        "    except JailKilled:\n"
        "        print('held', jail.rung.name)\n"
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in dict.fromkeys([sys.executable, f"/usr/bin/{version}", shutil.which(version)]):
        if python is None or not Path(python).exists():
            continue
        try:
            done = subprocess.run(
                [python, "-c", script, ":".join(rungs.module_path())],
                user=lock.NOBODY, group=lock.NOBODY, extra_groups=[], cwd="/", env={}, capture_output=True, timeout=120,
            )  # fmt: skip
        except PermissionError:
            continue  # this interpreter is in a folder that nobody may enter
        if done.returncode == 0:
            assert done.stdout.startswith(b"held seccomp")
            return
        last = done.stderr.decode()
        if "ModuleNotFoundError" not in last and "Permission" not in last:
            pytest.fail(last)
    pytest.skip("no interpreter that an unprivileged user can run with these packages")
