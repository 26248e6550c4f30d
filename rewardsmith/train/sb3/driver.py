"""Trains candidates x seeds with Stable-Baselines3, one job a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rewardsmith.engine import Engine, Job, JobOutcome
from rewardsmith.store.atomic import write_bytes
from rewardsmith.train.following import Following
from rewardsmith.train.job import OnPoint
from rewardsmith.train.jobfile import read_result
from rewardsmith.train.sb3.config import Sb3Config
from rewardsmith.types import EnvSpec, Goal, Member, MemberResult, Record, TrainingResult, content_id

WORKER = "rewardsmith.train.sb3.worker"


class Sb3Job(Record):
    """The spec file of one seed. Members live in candidates/<id>/seeds/<k>/ below `out`."""

    env: EnvSpec
    goal: Goal
    member: Member
    graph: str  # path of the candidate's graph.json
    exported: str  # folder of the exported reward, which it is trained on
    out: str
    config: Sb3Config
    seed_root: int = 0
    result_path: str


def train_with_sb3(
    env: EnvSpec,
    goal: Goal,
    programs: Mapping[str, Path],
    exported: Mapping[str, Path],
    *,
    seeds: Sequence[int],
    config: Sb3Config,
    engine: Engine,
    out: Path,
    name: str = "training",
    seed_root: int = 0,
    on_point: OnPoint | None = None,
) -> dict[str, TrainingResult]:
    """Train every candidate with every seed to the end.

    Calling it again after an interruption keeps what is finished; a seed that was interrupted starts anew.

    Args:
        programs: path of graph.json by candidate.
        exported: folder that `export_reward` wrote, by candidate.
        out, name, seed_root, on_point: as of `train_population`.

    Raises:
        EnvironmentFault: the environment cannot be built.
        RunError: the disk is full, or a graph is gone.
    """
    members = [Member(candidate, seed) for candidate in programs for seed in seeds]
    jobs: dict[str, Member] = {}
    results: dict[Member, MemberResult] = {}
    folder = out / "jobs" / name

    def prepared() -> Iterator[Job]:
        for member in members:
            graph = Path(programs[member.candidate])
            content = [env.model_dump(mode="json"), goal.digest, config.model_dump(mode="json"), seed_root, member]
            id = f"sb3-{content_id([*content, content_id(graph.read_text(encoding='utf-8'))])}"
            spec, result = folder / f"{id}.json", folder / f"{id}.result.json"
            folder.mkdir(parents=True, exist_ok=True)
            if (old := read_result(result)) is None or old.problem:
                result.unlink(missing_ok=True)  # this attempt shall find out for itself
            job = Sb3Job(
                env=env,
                goal=goal,
                member=member,
                graph=str(graph),
                exported=str(exported[member.candidate]),
                out=str(out),
                config=config,
                seed_root=seed_root,
                result_path=str(result),
            )
            write_bytes(spec, job.model_dump_json(indent=1).encode())
            jobs[id] = member
            yield Job(id=id, module=WORKER, spec_path=spec, result_path=result, about=env.name)

    with Following(out, on_point) as following:
        following.add(members)
        for outcome in engine.run(list(prepared())):
            member = jobs[outcome.job.id]
            results[member] = _collect(outcome, member)
    return {c: TrainingResult(candidate=c, members=tuple(results[Member(c, s)] for s in seeds)) for c in programs}


def _collect(outcome: JobOutcome, member: Member) -> MemberResult:
    """A job's result; one that ended without leaves a member that the environment is blamed for."""
    found = read_result(outcome.job.result_path) if outcome.state == "done" else None
    if found and found.problem:
        raise found.problem.error()
    if found and [(m.candidate, m.seed) for m in found.members] == [member]:
        return found.members[0]
    return MemberResult(
        candidate=member.candidate,
        seed=member.seed,
        state="timed_out" if outcome.state == "timed_out" else "crashed_env",
        env_steps=0,
        wall_s=outcome.wall_s,
        error=outcome.error or "the job left a result of the wrong form",
    )
