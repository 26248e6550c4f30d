from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rewardsmith.engine import Job, LocalEngine
from rewardsmith.errors import UsageError

ROOT = Path(__file__).parents[2]


def job(folder: Path, id: str, do: str, timeout_s: float | None = None) -> Job:
    spec, result = folder / f"{id}.json", folder / f"{id}.result.json"
    spec.write_text(json.dumps({"do": do, "result": str(result)}))
    return Job(id=id, module="tests.helpers.engine_jobs", spec_path=spec, result_path=result, timeout_s=timeout_s)


def gone(pid: int) -> bool:
    """Whether a process is dead (or a zombie that nobody in this container reaps)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition, what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_no_jobs() -> None:
    assert list(LocalEngine(workers=2).run([])) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_run_single_threaded_and_leave_results(tmp_path: Path, workers: int) -> None:
    jobs = [job(tmp_path, f"j{i}", "work") for i in range(2)]
    outcomes = {o.job.id: o for o in LocalEngine(workers=workers).run(jobs)}
    assert {o.state for o in outcomes.values()} == {"done"} and len(outcomes) == 2
    assert json.loads(jobs[0].result_path.read_text()) == {"threads": "1"}


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("raise", "the job is unwell"),
        ("die", "killed by SIGKILL"),
        ("garbage", "unreadable result"),
        ("nothing", "left no result"),
    ],
)
def test_failures_say_why_and_leave_the_others_alone(tmp_path: Path, do: str, reason: str) -> None:
    outcomes = {
        o.job.id: o for o in LocalEngine(workers=2).run([job(tmp_path, "bad", do), job(tmp_path, "ok", "work")])
    }
    assert outcomes["bad"].state == "failed"
    assert reason in outcomes["bad"].error
    assert outcomes["ok"].state == "done"


def test_a_crash_names_whose_process_it_was_and_where(tmp_path: Path) -> None:
    crash = job(tmp_path, "bad", "crash").model_copy(update={"about": "MyDie-v0"})
    [outcome] = LocalEngine(workers=1).run([crash])
    assert outcome.error.startswith("the process of MyDie-v0 was killed by SIGSEGV\n")
    assert "engine_jobs.py" in outcome.error


def test_output_of_a_failed_job_is_shown(tmp_path: Path) -> None:
    [outcome] = LocalEngine(workers=1).run([job(tmp_path, "bad", "raise")])
    assert "hello" in outcome.error and "Traceback" in outcome.error


def test_a_hanging_job_times_out_with_its_whole_group(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "slow", "hang", timeout_s=3.0), job(tmp_path, "ok", "work")]
    outcomes = {o.job.id: o for o in LocalEngine(workers=1).run(jobs)}
    assert outcomes["slow"].state == "timed_out" and outcomes["ok"].state == "done"
    for suffix in (".pid", ".grandchild"):
        assert gone(int(jobs[0].result_path.with_suffix(suffix).read_text()))


def test_a_result_that_exists_is_used_again(tmp_path: Path) -> None:
    done = job(tmp_path, "done", "raise")
    done.result_path.write_text("{}")
    [outcome] = LocalEngine(workers=1).run([done])
    assert outcome.state == "done" and outcome.reused


def test_an_unreadable_result_is_made_again(tmp_path: Path) -> None:
    damaged = job(tmp_path, "damaged", "work")
    damaged.result_path.write_text('{"threads": ')
    [outcome] = LocalEngine(workers=1).run([damaged])
    assert outcome.state == "done" and not outcome.reused


def test_leaving_the_iterator_ends_the_children(tmp_path: Path) -> None:
    slow, ok = job(tmp_path, "slow", "hang"), job(tmp_path, "ok", "work")
    outcomes = LocalEngine(workers=2).run([slow, ok])
    assert next(outcomes).job.id == "ok"
    pid_file = slow.result_path.with_suffix(".pid")
    wait_for(pid_file.exists, "the slow job never started")
    outcomes.close()  # type: ignore[attr-defined]
    wait_for(lambda: gone(int(pid_file.read_text())), "the child outlived its engine")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_children_end_with_their_driver(tmp_path: Path, how: signal.Signals) -> None:
    if how == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux kills the children of a killed parent")
    jobs = [job(tmp_path, name, "hang") for name in ("one", "two")]
    driver = subprocess.Popen([sys.executable, "-m", "tests.helpers.engine_driver", str(tmp_path)], cwd=ROOT,
                              stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        files = [j.result_path.with_suffix(".grandchild") for j in jobs]
        wait_for(lambda: all(f.exists() and f.read_text() for f in files), "the jobs never started")
        os.kill(driver.pid, how)
        assert driver.wait(timeout=120) != 0
        pids = [int(j.result_path.with_suffix(".pid").read_text()) for j in jobs]
        wait_for(lambda: all(map(gone, pids)), "children outlived their driver")
    finally:
        driver.kill()
        driver.wait()
        for file in tmp_path.glob("*.grandchild"):  # a SIGKILLed driver cannot end the children of its children
            if not gone(int(file.read_text())):
                os.kill(int(file.read_text()), signal.SIGKILL)


def test_an_engine_needs_a_worker() -> None:
    with pytest.raises(UsageError):
        LocalEngine(workers=0)


def test_two_jobs_of_one_name_are_refused(tmp_path: Path) -> None:
    same = job(tmp_path, "same", "work")
    with pytest.raises(ValueError, match="same id"):
        list(LocalEngine(workers=1).run([same, same]))
