"""The driver: shards, racing, failures, progress; on the tiny world through real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rewardsmith.engine import Job, JobOutcome, LocalEngine
from rewardsmith.errors import RunError, UsageError
from rewardsmith.train import RacingConfig, Rung, read_metrics, train_population
from rewardsmith.train.jobfile import Problem, WorkerResult, WorkerSpec, work
from rewardsmith.train.population import shards
from rewardsmith.types import CurvePoint, EnvSpec, Goal, Member, TrainingResult
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


RACE = RacingConfig(rungs=(0.3,), at_most=0.5)  # two of four go on
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
    assert results["a"].members[0].eval_env_steps > 0 and len(results["a"].members[0].kept.episodes) == 3
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
    """Nor do the seeds that finalists get in addition: they are those of a training without any race."""
    programs = graphs(tmp_path, a=NEAR, b=FAR, c=NEAR, d=FAR)
    rungs: list[Rung] = []
    points: list[tuple[Member, CurvePoint]] = []
    raced = train(
        tmp_path / "raced", programs, InProcess(), racing=RACE, on_rung=rungs.append,
        on_point=lambda *p: points.append(p),
    )  # fmt: skip
    dropped = {c for c, r in raced.items() if {m.state for m in r.members} == {"dropped"}}
    finalists = set(raced) - dropped
    assert len(dropped) == 2 and all(m.env_steps == 120 for c in dropped for m in raced[c].members)
    # the dropped left 2 candidates x 2 seeds x 240 steps: 960, of which 2 finalists x 1 seed x 360 are paid
    assert [(rung.env_steps, rung.more_seeds) for rung in rungs] == [(120, (2,))]
    assert {c: [m.seed for m in r.members] for c, r in raced.items()} == {
        c: [0, 1, 2] if c in finalists else [0, 1] for c in programs
    }
    assert {m.state for c in finalists for m in raced[c].members} == {"trained"}
    assert {p.env_steps for m, p in points if m == Member(min(finalists), 2)} == {120, 240, 360}
    for candidate, result in raced.items():
        (standing,) = result.race
        assert standing == rungs[0].standings[candidate] and standing.kept == (candidate in finalists)
    whole = train(tmp_path / "whole", programs, InProcess(1), racing=False, seeds=[2, 1, 0])
    for candidate in finalists:
        assert {m.seed: m.curve for m in raced[candidate].members} == {
            m.seed: m.curve for m in whole[candidate].members
        }
        for seed in (0, 2):
            assert files_of(tmp_path / "raced", candidate, seed) == files_of(tmp_path / "whole", candidate, seed)
    assert all(r.race == () for r in whole.values())


def test_who_is_spared_trains_to_the_end_with_as_many_seeds_as_finalists(tmp_path: Path) -> None:
    programs = graphs(tmp_path, start=FAR, a=NEAR, b=NEAR, c=NEAR, d=NEAR)
    raced = train(tmp_path / "raced", programs, InProcess(), racing=RACE)
    assert {m.state for m in raced["start"].members} == {"dropped"}, "it is the weakest"
    spared = train(tmp_path / "spared", programs, InProcess(), racing=RACE, spared=["start"])
    assert spared["start"].race[0].verdict == "spared" and spared["start"].race[0].place == 5
    finalists = [c for c, r in spared.items() if {m.state for m in r.members} == {"trained"}]
    assert len(finalists) == 3 and "start" in finalists
    # the dropped left 2 candidates x 2 seeds x 240 steps: 960, which do not pay 3 finalists x 1 seed x 360
    assert {len(spared[c].members) for c in finalists} == {2}
    assert sum(m.env_steps for r in spared.values() for m in r.members) <= 10 * 360


def test_a_race_interrupted_anywhere_ends_the_same(tmp_path: Path) -> None:
    programs = graphs(tmp_path, a=NEAR, b=FAR, c=NEAR, d=FAR)
    options = {"racing": RACE}

    class Interrupted(Exception):
        pass

    class Interrupting(InProcess):
        """Ends with its first new job."""

        def run(self, jobs: Sequence[Job]) -> Iterator[JobOutcome]:
            for outcome in super().run(jobs):
                if self.ran:
                    raise Interrupted
                yield outcome

    calm = train(tmp_path / "calm", programs, InProcess(), **options)
    interruptions = 0
    while True:
        try:
            stormy = train(tmp_path / "stormy", programs, Interrupting(), **options)
            break
        except Interrupted:
            interruptions += 1
    assert interruptions == 4  # two shards to the rung, two to the end
    assert timeless(stormy) == timeless(calm)
    for member in (Member(c, m.seed) for c, r in calm.items() for m in r.members):
        assert files_of(tmp_path / "stormy", *member) == files_of(tmp_path / "calm", *member)


def timeless(results: dict[str, TrainingResult]) -> dict[str, object]:
    return {c: (r.race, [m.model_copy(update={"wall_s": 0.0}) for m in r.members]) for c, r in results.items()}


def test_finalists_get_no_more_seeds_than_the_budget_allows(tmp_path: Path) -> None:
    asked: list[int] = []
    programs = graphs(tmp_path, a=NEAR, b=FAR, c=NEAR, d=FAR)
    results = train(
        tmp_path / "run", programs, InProcess(), racing=RACE, affords=lambda steps: bool(asked.append(steps))
    )
    assert {len(r.members) for r in results.values()} == {2}
    trained = 8 * 120 + 4 * 240 + 2 * 360  # to the rung, to the end, and the new seeds
    assert len(asked) == 1 and asked[0] > trained  # evaluations cost steps, too


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


@pytest.mark.parametrize("damage", ["[" * 100_000, "\x85", "\udcff"])
def test_damaged_metrics_end_at_the_damage(tmp_path: Path, damage: str) -> None:
    point = CurvePoint(env_steps=5, fitness=1, success=0, episode_length=2, episodes=1, components={"a\u2028b": 1.0})
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{point.model_dump_json()}\n{point.model_dump_json()}\n{damage}\n", errors="surrogateescape")
    assert read_metrics(path) == ([] if "\udcff" in damage else [point, point])
