"""Jobs that hang are ended and named; jobs that take long, or end while nobody looks, are not taken for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from rewardsmith.engine import Job, LocalEngine, Pulse
from rewardsmith.engine.pulse import VARIABLE
from rewardsmith.errors import UsageError


def job(folder: Path, do: str, timeout_s: float | None = None) -> Job:
    spec, result = folder / f"{do}.json", folder / f"{do}.result.json"
    spec.write_text(json.dumps({"do": do, "result": str(result)}))
    return Job(id=do, module="tests.helpers.stuck_jobs", spec_path=spec, result_path=result, timeout_s=timeout_s)


def test_a_job_that_falls_silent_has_failed_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = [job(tmp_path, do) for do in ("falls silent", "is stopped", "long and alive", "never a sign")]
    jobs.append(job(tmp_path, "does not exit"))
    jobs[0].result_path.with_suffix(".pulse").touch()  # of an earlier attempt, and no sign of life of this one
    outcomes = {o.job.id: o for o in LocalEngine(workers=5, stall_s=4.0).run(jobs)}
    assert {do: o.state for do, o in outcomes.items()} == {
        "falls silent": "failed",
        "is stopped": "failed",
        "long and alive": "done",
        "never a sign": "done",  # nothing is expected of a job that never gave one
        "does not exit": "done",
    }
    assert all("no sign of life for 4 s" in outcomes[do].error for do in ("falls silent", "is stopped"))
    assert not list(tmp_path.glob("*.pulse"))


def clock(monkeypatch: pytest.MonkeyPatch, ahead_s: Callable[[], float]) -> None:
    """Let the engine's clock run ahead of the real one."""
    ahead = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead_s())
    monkeypatch.setattr("rewardsmith.engine.local.time", ahead)


def test_a_job_that_does_not_exit_is_done_at_its_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = job(tmp_path, "does not exit", timeout_s=100.0)
    clock(monkeypatch, lambda: 200.0 * stuck.result_path.exists())
    [outcome] = LocalEngine(workers=1).run([stuck])
    assert outcome.state == "done" and 100 < outcome.wall_s < 300


def test_jobs_that_ended_while_nobody_looked_are_not_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both end within their time; whoever takes the outcomes is busy with the first one for longer than that."""
    jobs = [job(tmp_path, do, timeout_s=100.0) for do in ("quick", "quick too")]
    busy_s = 0.0
    clock(monkeypatch, lambda: busy_s)
    outcomes = LocalEngine(workers=2).run([*jobs, job(tmp_path, "quick as well")])
    states = [next(outcomes).state]
    while not all(j.result_path.exists() for j in jobs):
        time.sleep(0.05)
    busy_s = 200.0
    states += [outcome.state for outcome in outcomes]
    assert states == ["done"] * 3


def test_signs_of_life_are_rare_and_follow_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job.pulse"
    monkeypatch.setenv(VARIABLE, str(path))
    calls: list[tuple[int, int]] = []
    pulse = Pulse()
    called = pulse.after(lambda a, *, b: calls.append((a, b)))
    assert not path.exists()
    called(1, b=2)
    assert calls == [(1, 2)] and path.exists()
    path.unlink()
    called(3, b=4)
    assert calls == [(1, 2), (3, 4)] and not path.exists()  # within a second of the one before


def test_without_an_engine_signs_of_life_go_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    Pulse().beat()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stall_s", [0.0, -1.0, float("nan")])
def test_an_engine_must_wait(stall_s: float) -> None:
    with pytest.raises(UsageError, match="sign of life"):
        LocalEngine(stall_s=stall_s)
