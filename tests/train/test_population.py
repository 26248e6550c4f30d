"""The driver: shards, racing, failures, progress; on the tiny world through real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rewardsmith.engine import Job, JobOutcome, LocalEngine
from rewardsmith.errors import RunError, UsageError
from rewardsmith.train import RacingConfig, read_metrics, train_population
from rewardsmith.train.jobfile import Problem, WorkerResult, WorkerSpec, work
from rewardsmith.train.population import shards
from rewardsmith.train.racing import standing, survivors
from rewardsmith.types import CurvePoint, EnvSpec, Goal, Member, MemberResult
from tests.helpers import tiny_worker
from tests.train.conftest import SMALL, files_of

WORKER = "tests.helpers.tiny_worker"


class InProcess:
    """An engine that runs tiny jobs right here."""

    def __init__(self, workers: int = 2) -> None:
        self.workers = workers
        self.ran: list[list[Member]] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[JobOutcome]:
        for job in jobs:
            if not job.result_path.exists():
                spec = WorkerSpec.model_validate_json(job.spec_path.read_bytes())
                self.ran.append(list(spec.job.members))
                work(job.spec_path, tiny_worker.run)
            yield JobOutcome(job=job, state="done")


def graphs(folder: Path, **programs: object) -> dict[str, Path]:
    paths = {}
    for name, about in programs.items():
        paths[name] = folder / f"{name}.graph.json"
        paths[name].write_text(json.dumps(about))
    return paths


NEAR, FAR = {"program": "GoNear"}, {"program": "GoNear", "arguments": [-1.0]}


def train(folder: Path, programs: dict[str, Path], engine, **options):
    return train_population(
        EnvSpec(name="tiny"), Goal(kind="native"), programs, ppo=options.pop("ppo", SMALL), engine=engine, out=folder,
        module=WORKER, seeds=options.pop("seeds", [0, 1]), **options,
    )  # fmt: skip


def test_a_fault_of_an_earlier_attempt_is_not_taken_for_one_of_this_attempt(tmp_path: Path) -> None:
    """Every shard of a training may have met a full disk; once there is space again, one resume is enough."""
    programs = graphs(tmp_path, a=NEAR, b=FAR)

    class FullDisk(InProcess):
        def run(self, jobs: Sequence[Job]) -> Iterator[JobOutcome]:
            for job in jobs:
                problem = Problem(kind="RunError", message="the disk is full")
                job.result_path.write_text(WorkerResult(problem=problem).model_dump_json())
            for job in jobs:
                yield JobOutcome(job=job, state="done")

    with pytest.raises(RunError, match="disk is full"):
        train(tmp_path, programs, FullDisk())
    results = train(tmp_path, programs, InProcess())
    assert {m.state for r in results.values() for m in r.members} == {"trained", "dropped"}


def test_everything_through_processes(tmp_path: Path) -> None:
    programs = graphs(tmp_path, a=NEAR, b=FAR, bad={"program": "Raising"})
    points: list[tuple[Member, CurvePoint]] = []
    results = train(
        tmp_path / "run", programs, LocalEngine(workers=2), racing=False, on_point=lambda *p: points.append(p)
    )
    assert [m.state for m in results["a"].members] == ["trained", "trained"]
    assert [m.seed for m in results["a"].members] == [0, 1]
    assert [m.state for m in results["bad"].members] == ["crashed_reward"] * 2
    assert "this reward is broken" in results["bad"].members[0].error
    assert len(results["a"].final_scores) == 2
    assert results["a"].members[0].eval_env_steps > 0 and len(results["a"].members[0].last_episodes) == 3
    reported = [(m, p.env_steps) for m, p in points]
    assert sorted(reported) == [(Member(c, s), n) for c in "ab" for s in (0, 1) for n in (120, 240, 360)]
    with_one = train(tmp_path / "other", programs, InProcess(1), racing=False)
    for candidate in "ab":
        for seed in (0, 1):
            assert files_of(tmp_path / "other", candidate, seed) == files_of(tmp_path / "run", candidate, seed)
    assert [m.curve for m in with_one["b"].members] == [m.curve for m in results["b"].members]


def test_no_candidates(tmp_path: Path) -> None:
    assert train(tmp_path, {}, InProcess()) == {}


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_must_make_sense(tmp_path: Path, seeds: list[int]) -> None:
    with pytest.raises(UsageError, match="seed"):
        train(tmp_path, graphs(tmp_path, a=NEAR), InProcess(), seeds=seeds)


def test_racing_drops_and_the_survivors_do_not_notice(tmp_path: Path) -> None:
    programs = graphs(tmp_path, a=NEAR, b=FAR, c=NEAR, d=FAR)
    engine = InProcess()
    raced = train(tmp_path / "raced", programs, engine, racing=RacingConfig(rungs=(0.3,)))
    states = {c: {m.state for m in r.members} for c, r in raced.items()}
    dropped = [c for c, s in states.items() if s == {"dropped"}]
    assert 1 <= len(dropped) <= 2 and sum(s == {"trained"} for s in states.values()) == 4 - len(dropped)
    assert all(m.env_steps == 120 for c in dropped for m in raced[c].members)
    whole = train(tmp_path / "whole", programs, InProcess(), racing=False)
    for candidate in set(states) - set(dropped):
        assert [m.curve for m in raced[candidate].members] == [m.curve for m in whole[candidate].members]
        assert files_of(tmp_path / "raced", candidate, 0) == files_of(tmp_path / "whole", candidate, 0)


def test_finished_jobs_are_not_run_again(tmp_path: Path) -> None:
    programs = graphs(tmp_path, a=NEAR, b=FAR)
    first = train(tmp_path / "run", programs, InProcess())
    engine = InProcess()
    assert train(tmp_path / "run", programs, engine) == first
    assert engine.ran == []


def test_a_member_that_takes_its_process_down_is_found(tmp_path: Path) -> None:
    programs = graphs(tmp_path, a=NEAR, b={"crash": True})
    results = train(tmp_path / "run", programs, LocalEngine(workers=1), racing=False, seeds=[0])
    assert results["a"].members[0].state == "trained"
    assert results["b"].members[0].state == "crashed_env" and "SIGKILL" in results["b"].members[0].error


def test_a_job_that_takes_too_long_is_timed_out(tmp_path: Path) -> None:
    programs = graphs(tmp_path, a={"program": "Slow", "arguments": [60]})
    results = train(tmp_path / "run", programs, LocalEngine(workers=1), seeds=[0], timeout_s=4.0)
    assert results["a"].members[0].state == "timed_out"


@pytest.mark.parametrize("engine", [InProcess(), LocalEngine(workers=1)], ids=["here", "process"])
def test_a_broken_run_folder_is_told_and_blamed_on_no_candidate(tmp_path: Path, engine) -> None:
    """The error must not outlive its cause: mended, the same call trains."""
    programs = graphs(tmp_path, a=NEAR)
    folder = tmp_path / "run/candidates/a/seeds/0"
    folder.mkdir(parents=True)
    (folder / "checkpoint.safetensors").write_bytes(b"rubbish")
    with pytest.raises(RunError, match="remove"):
        train(tmp_path / "run", programs, engine, seeds=[0])
    (folder / "checkpoint.safetensors").unlink()
    assert train(tmp_path / "run", programs, engine, seeds=[0])["a"].members[0].state == "trained"


# --- racing on made-up results -------------------------------------------------------------------------------------


def member(candidate: str, seed: int, episodes: list[tuple[float, float]], state: str = "trained") -> MemberResult:
    n = len(episodes)
    point = CurvePoint(
        env_steps=1, fitness=sum(f for _, f in episodes) / n, success=sum(s for s, _ in episodes) / n, episode_length=1,
        episodes=n,
    )  # fmt: skip
    return MemberResult(
        candidate=candidate,
        seed=seed,
        state=state,
        env_steps=1,
        wall_s=0,
        curve=(point,),
        last_episodes=tuple(episodes),
    )  # type: ignore[arg-type]


def field(**fitness: float) -> dict[str, list[MemberResult]]:
    """Candidates with sharply known fitness and no success."""
    return {c: [member(c, s, [(0.0, f)] * 4) for s in (0, 1)] for c, f in fitness.items()}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8])
def test_a_rung_always_drops_to_three_quarters(count: int) -> None:
    clear = field(**{chr(97 + i): float(i) for i in range(count)})
    tied = field(**{chr(97 + i): 1.0 for i in range(count)})
    kept = survivors(clear, RacingConfig())
    assert kept == sorted(clear, reverse=True)[: (count + 1) // 2]
    assert len(survivors(tied, RacingConfig())) == (max(1, int(count * 0.75)) if count else 0)


def test_success_comes_before_fitness() -> None:
    candidates = {
        "fit": [member("fit", 0, [(0.0, 100.0)] * 4)],
        "able": [member("able", 0, [(1.0, 1.0)] * 4)],
    }
    assert survivors(candidates, RacingConfig()) == ["able"]


def test_candidates_with_failed_members_come_last_and_dead_ones_are_out() -> None:
    candidates = field(a=3.0, b=2.0, c=1.0)
    candidates["a"][1] = candidates["a"][1].model_copy(update={"state": "diverged"})
    candidates["c"] = [m.model_copy(update={"state": "crashed_reward"}) for m in candidates["c"]]
    assert survivors(candidates, RacingConfig(keep=0.75)) == ["b"]
    assert standing(candidates["c"]).failed == -2


def test_renaming_candidates_renames_the_result() -> None:
    assert survivors(field(x=3.0, y=1.0, z=2.0), RacingConfig()) == ["x", "z"]
    assert survivors(field(x=1.0, y=3.0, z=2.0), RacingConfig()) == ["y", "z"]


def test_shards_are_even_and_keep_candidates_close() -> None:
    members = [Member(c, s) for c in "abc" for s in (0, 1)]
    assert sorted(len(s) for s in shards(members, 4)) == [1, 1, 2, 2]
    assert shards(members, 3) == [[Member(c, 0), Member(c, 1)] for c in "abc"]
    assert shards([], 2) == [] and shards(members[:1], 8) == [members[:1]]


def test_metrics_are_read_up_to_a_torn_line(tmp_path: Path) -> None:
    point = CurvePoint(env_steps=5, fitness=1, success=0, episode_length=2, episodes=1)
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text(point.model_dump_json() + "\n" + point.model_dump_json()[:20])
    assert read_metrics(path) == [point]
