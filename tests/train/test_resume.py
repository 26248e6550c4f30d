"""Killed at any time and run again, a training ends with the same bits as an undisturbed one."""

from __future__ import annotations

import json
import multiprocessing
import random
from pathlib import Path

import pytest

from rewardsmith.errors import RunError, UsageError
from rewardsmith.train import TrainJob
from rewardsmith.train.checkpoint import NAME, SPARE
from rewardsmith.types import EnvSpec, Goal, Member
from tests.helpers import tiny_worker
from tests.helpers.tiny_world import GoNear, PointEnvironment, ThereAndBack
from tests.train.conftest import SMALL, files_of

PROGRAMS = {"a": GoNear(), "m": ThereAndBack()}
MEMBERS = [("a", 0), ("a", 1), ("m", 0)]


@pytest.mark.parametrize("can_restore", [True, False])
@pytest.mark.parametrize("checkpoint_steps", [None, 60])
def test_stopping_at_every_checkpoint_changes_nothing(train, tmp_path: Path, can_restore, checkpoint_steps) -> None:
    ppo = SMALL.model_copy(update={"checkpoint_steps": checkpoint_steps})
    environment = PointEnvironment(can_restore=can_restore)
    train(MEMBERS, PROGRAMS, ppo=ppo, environment=environment, out=tmp_path / "whole")
    for until in (120, 240, 360):
        results = train(MEMBERS, PROGRAMS, ppo=ppo, environment=environment, out=tmp_path / "parts", until_steps=until)
        assert {r.env_steps for r in results.values()} == {until}
    for member in MEMBERS:
        assert files_of(tmp_path / "parts", *member) == files_of(tmp_path / "whole", *member)


def test_members_that_are_apart_catch_up(train, tmp_path: Path) -> None:
    train(MEMBERS, PROGRAMS, out=tmp_path / "whole")
    train([("a", 1)], PROGRAMS, out=tmp_path / "parts", until_steps=240)
    train([("a", 0)], PROGRAMS, out=tmp_path / "parts", until_steps=120)
    results = train(MEMBERS, PROGRAMS, out=tmp_path / "parts")
    assert {r.state for r in results.values()} == {"trained"}
    for member in MEMBERS:
        assert files_of(tmp_path / "parts", *member) == files_of(tmp_path / "whole", *member)


def test_a_finished_member_is_not_trained_again(train, tmp_path: Path) -> None:
    class Untouchable(GoNear):
        def __call__(self, *args, **kwargs):
            raise AssertionError("trained again")

    first = train([("a", 0)], PROGRAMS, out=tmp_path)
    again = train([("a", 0)], {"a": Untouchable()}, out=tmp_path)
    assert again["a", 0].curve == first["a", 0].curve and again["a", 0].state == "trained"


def test_a_damaged_checkpoint_falls_back_to_the_one_before(train, tmp_path: Path) -> None:
    train([("a", 0)], PROGRAMS, out=tmp_path / "whole")
    for damage in (lambda data: data[:-7], lambda data: data[:9], lambda data: b"", flip):
        out = tmp_path / "damaged"
        train([("a", 0)], PROGRAMS, out=out, until_steps=240)
        path = out / "candidates/a/seeds/0" / NAME
        path.write_bytes(damage(path.read_bytes()))
        train([("a", 0)], PROGRAMS, out=out)
        assert files_of(out, "a", 0) == files_of(tmp_path / "whole", "a", 0)
        for file in path.parent.iterdir():
            file.unlink()


def flip(data: bytes) -> bytes:
    """One bit in the middle of the numbers."""
    changed = bytearray(data)
    changed[-len(data) // 3] ^= 1
    return bytes(changed)


def test_a_member_without_a_readable_checkpoint_says_what_to_do(train, tmp_path: Path) -> None:
    train([("a", 0)], PROGRAMS, out=tmp_path)
    for name in (NAME, SPARE):
        (tmp_path / "candidates/a/seeds/0" / name).write_bytes(b"rubbish")
    with pytest.raises(RunError, match="remove"):
        train([("a", 0)], PROGRAMS, out=tmp_path)


def test_a_folder_of_another_training_is_refused(train, tmp_path: Path) -> None:
    train([("a", 0)], PROGRAMS, out=tmp_path)
    with pytest.raises(RunError, match="another training"):
        train([("a", 0)], PROGRAMS, out=tmp_path, ppo=SMALL.model_copy(update={"gamma": 0.5}))


def test_torn_metrics_are_mended(train, tmp_path: Path) -> None:
    train([("a", 0)], PROGRAMS, out=tmp_path / "whole")
    train([("a", 0)], PROGRAMS, out=tmp_path / "torn", until_steps=240)
    path = tmp_path / "torn/candidates/a/seeds/0/metrics.jsonl"
    path.write_text(path.read_text() + '{"env_steps": 360, "fitn')
    train([("a", 0)], PROGRAMS, out=tmp_path / "torn")
    assert files_of(tmp_path / "torn", "a", 0) == files_of(tmp_path / "whole", "a", 0)


def test_a_job_stops_at_checkpoints_only(train) -> None:
    with pytest.raises(UsageError, match="180"):
        train([("a", 0)], PROGRAMS, until_steps=180)


@pytest.mark.parametrize("can_restore", [True, False])
def test_sigkill_at_random_moments(tmp_path: Path, can_restore: bool) -> None:
    ppo = SMALL.model_copy(update={"env_steps": 1200, "evaluations": 5, "checkpoint_steps": 60})
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps({"program": "Slow", "arguments": [0.02]}))

    def job(out: str) -> TrainJob:
        return TrainJob(
            env=EnvSpec(name="tiny", kwargs={"can_restore": can_restore}),
            goal=Goal(kind="native"),
            members=(Member("a", 0), Member("a", 1)),
            programs={"a": str(graph)},
            out=str(tmp_path / out),
            ppo=ppo,
        )

    undisturbed = tiny_worker.run(job("whole"))
    moments, kills = random.Random(1), 0
    while True:
        process = multiprocessing.get_context("fork").Process(target=tiny_worker.run, args=(job("killed"),))
        process.start()
        process.join(timeout=moments.uniform(0.02, 0.1 + 0.02 * kills))  # longer and longer: it must end
        if process.exitcode is not None:
            assert process.exitcode == 0
            break
        process.kill()
        process.join()
        kills += 1
        assert kills < 200
    assert kills >= 3
    again = tiny_worker.run(job("killed"))
    assert [r.model_copy(update={"wall_s": 0}) for r in again] == [
        r.model_copy(update={"wall_s": 0}) for r in undisturbed
    ]
    for seed in (0, 1):
        assert files_of(tmp_path / "killed", "a", seed) == files_of(tmp_path / "whole", "a", seed)
