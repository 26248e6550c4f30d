"""The jail in containers, on clusters and under other users: simulated with the same means that they use."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rewardsmith.jail import probe
from tests.jail.surroundings import SURROUNDINGS

pytestmark = [
    pytest.mark.skipif(
        not any(rung.available and rung.name.startswith("seccomp") for rung in probe()), reason="no seccomp here"
    ),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the simulated filters are for x86_64"),
]
WITHOUT_LANDLOCK = {"no_landlock", "landlock_denied", "old_cluster", "cramped_docker"}
WITHOUT_NAMESPACES = {"docker", "old_cluster", "cramped_docker"}
STILL_ROOT = {"no_capabilities", "lonely_root", "cramped_docker"}


def run_in(*arguments: str) -> dict:
    command = [sys.executable, "-m", "tests.jail.surroundings", *arguments]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env={"PATH": os.environ["PATH"]}, capture_output=True, timeout=200
    )
    said = done.stderr.decode()
    if done.returncode and ("unshare" in said or "setgroups" in said or "uid_map" in said):
        pytest.skip("no user namespaces here")
    assert done.returncode == 0, said
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_the_jail_holds(name: str) -> None:
    report = run_in(name)
    assert report["worked"] == "42"
    assert report["file"] == report["socket"] == f"signal {int(signal.SIGSYS)}"
    assert report["rung"].startswith("seccomp")
    layers = " ".join(report["layers"])
    assert "seccomp allow-list" in layers and ("landlock" not in layers if name in WITHOUT_LANDLOCK else True)
    if name in WITHOUT_NAMESPACES:
        assert report["rung"] == "seccomp"
    if os.geteuid() == 0:
        assert ("user nobody" in layers) == (name not in STILL_ROOT | {"ordinary_user", "old_cluster"})


def test_a_reward_is_traced_in_the_most_cramped_surroundings() -> None:
    report = run_in("cramped_docker", "reward")
    assert report["worked"], report
    assert report["rung"] == "seccomp"
