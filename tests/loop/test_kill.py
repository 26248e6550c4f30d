"""A run that is killed again and again ends like one that was never disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rewardsmith
from rewardsmith.config import DesignConfig
from rewardsmith.envs import resolve_env
from rewardsmith.loop.summary import RunSummary, load_run
from rewardsmith.store import Journal, RunFolder

KILLS = 20
DESIGN = """
import sys, rewardsmith
rewardsmith.resume_run(sys.argv[1])
"""


def config(workers: int) -> DesignConfig:
    """Two rounds of builtin on a world that can restore its state, with checkpoints far more often than evaluations."""
    return DesignConfig.model_validate(
        {
            "env": {"name": "hopper"},
            "candidates": 2,
            "rounds": 2,
            "seeds": 2,
            "final_seeds": 1,
            "videos": False,
            "workers": workers,
            "training": {
                "env_steps": 6144,
                "num_envs": 4,
                "rollout_steps": 64,
                "minibatch_size": 64,
                "epochs": 4,
                "evaluations": 3,
                "eval_episodes": 2,
                "checkpoint_steps": 512,
            },
        }
    )


def prepared(runs: Path, *, workers: int = 2) -> RunFolder:
    return RunFolder.create(runs, config(workers).model_dump(mode="json"), env="hopper")


def drive(root: Path) -> subprocess.Popen[bytes]:
    """Drive the run in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", DESIGN, str(root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def records(root: Path) -> int:
    with Journal(root / "journal.sqlite", read_only=True) as journal:
        return len(journal.keys())


def finished_before_the_kill(root: Path, rng: random.Random) -> bool:
    """Drive the run and kill all of it at a random moment: some seconds in, or shortly after its next record."""
    process, before = drive(root), records(root)
    if rng.random() < 0.5:
        deadline = time.monotonic() + rng.uniform(0.3, 5.0)
    else:
        while process.poll() is None and records(root) == before:
            time.sleep(0.02)
        deadline = time.monotonic() + rng.uniform(0.0, 1.5)
    try:
        _, errors = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    assert process.returncode == 0, errors.decode()
    return True


def essence(run: RunSummary) -> str:
    """Everything a run found out, without wall times."""
    candidates = [c.model_dump(mode="json") for c in run.candidates]
    final = {id: r.model_dump(mode="json") for id, r in run.final.items()}
    told = [[f.text for f in feedbacks] for feedbacks in run.feedbacks]
    return json.dumps(_timeless([candidates, final, run.best, told]), sort_keys=True)


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in ("wall_s", "cost_ms")}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments_a_run_ends_the_same(tmp_path) -> None:
    assert resolve_env("hopper").make_world(1).can_restore
    calm = rewardsmith.resume_run(prepared(tmp_path / "calm", workers=1).root)  # as many results, fewer processes
    rng, kills, storms = random.Random(0), 0, 0
    while kills < KILLS:
        storms += 1
        stormy = prepared(tmp_path / f"storm-{storms}").root
        while kills < KILLS and not finished_before_the_kill(stormy, rng):
            kills += 1
        rewardsmith.resume_run(stormy)
        assert essence(load_run(stormy)) == essence(calm)
        policies = sorted(p.relative_to(stormy) for p in stormy.glob("candidates/*/seeds/*/policy.safetensors"))
        assert policies
        for path in policies:
            assert (stormy / path).read_bytes() == (calm.root / path).read_bytes(), path
