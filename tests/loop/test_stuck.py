"""Environments that hang or crash the driver's own process: it ends with a reason, and the run goes on later."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rewardsmith
from rewardsmith.engine import watch
from rewardsmith.errors import EXIT_ENVIRONMENT
from rewardsmith.loop.checking import audit_native
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.plan import plan_run
from rewardsmith.store import RunFolder, list_runs
from tests.helpers.stuck_envs import ENV, Stuck
from tests.loop.runs import tiny_config

ROOT = Path(__file__).parents[2]


def call(stuck: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rewardsmith", *arguments]
    environment = {**os.environ, "STUCK": stuck}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, env=environment)


@pytest.mark.usefixtures("one_jail", "training_here")
def test_a_run_whose_environment_hangs_ends_and_goes_on_later(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("rewardsmith.loop.parts.BANK_TRANSITIONS", 500)
    config = tiny_config(env={"name": ENV}, candidates=1)
    folder = RunFolder.create(tmp_path, config.model_dump(mode="json"), env=ENV)
    done = call("sleep later", "resume", str(folder.root), "--stall-s", "1")
    assert done.returncode == EXIT_ENVIRONMENT, done.stderr
    assert f"recording random episodes of {ENV} hangs: no sign of life for 1 s" in done.stderr
    assert f"rewardsmith resume {folder.root}" in done.stderr
    assert "stuck_envs.py" in done.stderr and "Traceback" not in done.stderr
    assert rewardsmith.resume_run(folder.root).best


@pytest.mark.parametrize("verb", [("train", ENV, "reward.py"), ("design", ENV)], ids=lambda verb: verb[0])
def test_an_environment_that_hangs_while_it_is_built_makes_no_run(verb, tmp_path) -> None:
    done = call("sleep", *verb, "--stall-s", "1", "--runs", str(tmp_path / "runs"))
    assert done.returncode == EXIT_ENVIRONMENT, done.stderr
    assert f"building {ENV} hangs: no sign of life for 1 s" in done.stderr and "--stall-s" in done.stderr
    assert not list_runs(tmp_path / "runs")


def test_a_crash_says_in_which_line_of_the_environment() -> None:
    done = call("crash later", "check", "--native", "--env", ENV)
    assert done.returncode < 0
    assert "Segmentation fault" in done.stderr and "stuck_envs.py" in done.stderr


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda config, runs: audit_native(ENV), "recording episodes of"),
        (lambda config, runs: plan_run(config), "trying the speed of"),
        (lambda config, runs: recorded(config, runs), "recording random episodes of"),
    ],
)
def test_whatever_steps_the_environment_says_so_when_it_takes_long(act, says, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("STUCK", "slow once built")
    monkeypatch.setattr(Stuck, "steps", 0)
    monkeypatch.setattr(watch, "SAY_AFTER_S", 0.1)
    monkeypatch.setattr(watch, "_LOOK_S", 0.02)
    monkeypatch.setattr("rewardsmith.loop.checking.NATIVE_TRANSITIONS", 2)
    monkeypatch.setattr("rewardsmith.loop.parts.BANK_TRANSITIONS", 2)
    caplog.set_level(logging.INFO, "rewardsmith.engine.watch")
    act(tiny_config(env={"name": ENV}), tmp_path)
    assert any(r.getMessage().startswith(says) and ENV in r.getMessage() for r in caplog.records)


def recorded(config, runs: Path) -> None:
    folder = RunFolder.create(runs, config.model_dump(mode="json"), env=ENV)
    Parts(folder, config, lambda event: None).bank  # noqa: B018  records it
