"""What people who wait are told of a run."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rewardsmith.store import RunFolder
from rewardsmith.web.progress import Fresh, Stage, stage


def write_job(run, name: str, until: int, members: list, *, steps: int = 1000) -> None:
    folder = run.root / "jobs" / name
    folder.mkdir(parents=True, exist_ok=True)
    spec = {"job": {"members": members, "ppo": {"env_steps": steps}}, "result_path": "x"}
    (folder / f"{until}-{len(list(folder.iterdir()))}abc.json").write_text(json.dumps(spec))


def write_metrics(run, candidate: str, seed: int, *steps: int, rest: str = "") -> None:
    folder = run.root / "candidates" / candidate / "seeds" / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(f'{{"env_steps": {n}}}\n' for n in steps) + rest)


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "Round 1: rewards are being designed"),
        (["round-1/proposals"], "Round 1: rewards are being checked"),
        (["round-1/proposals", "round-1/training"], "Round 1 is trained"),
        (["round-1/proposals", "round-1/training", "round-1/judgement"], "Round 1 is judged"),
        (
            [f"round-{n}/{what}" for n in (9, 10) for what in ("proposals", "training")] + ["round-11/proposals"],
            "Round 11: rewards are being checked",
        ),
    ],
)
def test_stages(run, records: list[str], said: str) -> None:
    with run.journal() as journal:
        for key in records:
            journal.put(key, [])
        assert stage(run, journal) == Stage(said)


def test_a_run_that_waits_for_people_says_so(tmp_path) -> None:
    run = RunFolder.create(tmp_path, {"feedback": "human"}, env="Hopper-v5")
    with run.journal() as journal:
        journal.put("round-1/proposals", [])
        journal.put("round-1/training", {})
        assert stage(run, journal) == Stage("Round 1 waits for votes")


def test_how_far_training_is(run) -> None:
    with run.journal() as journal:
        journal.put("round-1/proposals", [])
        write_job(run, "round-1", 250, [["a", 0], ["b", 0], ["c", 0]])
        write_metrics(run, "a", 0, 100, 250, rest='{"env_st')  # being written
        write_metrics(run, "b", 0, 50)
        assert stage(run, journal) == Stage("Round 1 trains", pytest.approx((250 + 50 + 0) / 3000))
        write_job(run, "round-1", 1000, [["a", 0]])  # c and b were dropped
        write_job(run, "round-1", 1000, [["a", 1]])
        (run.root / "jobs" / "round-1" / "1000-1abc.result.json").write_text("{}")
        (run.root / "jobs" / "round-1" / "2000-x.json").write_text("{")
        assert stage(run, journal) == Stage("Round 1 trains", pytest.approx(250 / 2000))
        journal.put("round-1/training", {})
        write_job(run, "final", 1000, [["a", 100]])
        write_metrics(run, "a", 100, 400)
        assert stage(run, journal) == Stage("Training the best reward with fresh seeds", pytest.approx(0.4))
        journal.put("final/training", {})
        journal.put("finished", {"best": "a"})
        assert stage(run, journal).finished


def test_many_who_ask_are_answered_by_one_look() -> None:
    looks, now = [], [0.0]
    value = Fresh(lambda: looks.append(1) or len(looks), age_s=1.0, clock=lambda: now[0])
    assert [value.get() for _ in range(5)] == [1] * 5
    now[0] = 1.5
    assert value.get() == 2


def test_nobody_waits_for_a_look_that_takes_long() -> None:
    begun, go_on, now, looks = threading.Event(), threading.Event(), [0.0], []

    def look() -> int:
        looks.append(1)
        if len(looks) > 1:
            begun.set()
            assert go_on.wait(30)
        return len(looks)

    value = Fresh(look, age_s=1.0, clock=lambda: now[0])
    assert value.get() == 1
    now[0] = 5.0
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(value.get)
        assert begun.wait(30)
        assert value.get() == 1
        go_on.set()
        assert slow.result() == 2
    assert value.get() == 2
