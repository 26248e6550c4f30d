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
from rewardsmith.store import RunFolder

KILLS = 20
DESIGN = """
import sys, rewardsmith
rewardsmith.resume_run(sys.argv[1])
"""


def config() -> DesignConfig:
    """Two rounds of builtin on a world that can restore its state, with checkpoints far more often than evaluations."""
    return DesignConfig.model_validate(
        {
            "env": {"name": "hopper"},
            "candidates": 2,
            "rounds": 2,
            "seeds": 2,
            "final_seeds": 1,
            "videos": False,
            "workers": 2,
            "training": {
                "env_steps": 12_288,
                "num_envs": 4,
                "rollout_steps": 64,
                "minibatch_size": 64,
                "epochs": 4,
                "evaluations": 3,
                "eval_episodes": 2,
                "checkpoint_steps": 1024,
            },
        }
    )


def prepared(runs: Path) -> RunFolder:
    return RunFolder.create(runs, config().model_dump(mode="json"), env="hopper")


def kill_after(root: Path, delay_s: float) -> bool:
    """Drive the run in a process group of its own and kill all of it after `delay_s`. True: it finished before."""
    process = subprocess.Popen(
        [sys.executable, "-c", DESIGN, str(root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=delay_s)
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
    return json.dumps(_timeless([candidates, final, run.best, [f.text for f in run.feedbacks]]), sort_keys=True)


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in ("wall_s", "cost_ms")}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments_a_run_ends_the_same(tmp_path) -> None:
    assert resolve_env("hopper").make_world(1).can_restore
    start = time.monotonic()
    undisturbed = rewardsmith.resume_run(prepared(tmp_path / "calm").root)
    whole_s = time.monotonic() - start
    folder = prepared(tmp_path / "stormy")
    rng = random.Random(0)
    kills = 0
    for _ in range(KILLS):
        if kill_after(folder.root, rng.uniform(0.3, whole_s / 2)):
            break
        kills += 1
    rewardsmith.resume_run(folder.root)
    assert kills >= min(KILLS, 5), "the run was too short to be disturbed"
    assert essence(load_run(folder.root)) == essence(undisturbed)
    policies = sorted(p.relative_to(folder.root) for p in folder.root.glob("candidates/*/seeds/*/policy.safetensors"))
    assert policies
    for path in policies:
        assert (folder.root / path).read_bytes() == (undisturbed.root / path).read_bytes(), path
