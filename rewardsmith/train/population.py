"""The driver: trains candidates x seeds as shards on an engine, rung by rung."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from rewardsmith.engine import Engine, Job, JobOutcome
from rewardsmith.errors import UsageError
from rewardsmith.store.atomic import write_bytes
from rewardsmith.train.config import PpoConfig, schedule
from rewardsmith.train.following import Following
from rewardsmith.train.job import OnPoint, TrainJob
from rewardsmith.train.jobfile import WorkerResult, WorkerSpec, read_result
from rewardsmith.train.racing import Affords, RacingConfig, Rung, judge, more_seeds
from rewardsmith.types import EnvSpec, Goal, Member, MemberResult, RungStanding, TrainingResult, content_id

OnRung = Callable[[Rung], None]

WORKER = "rewardsmith.train.worker"


def train_population(
    env: EnvSpec,
    goal: Goal,
    programs: Mapping[str, Path | str],
    *,
    seeds: Sequence[int],
    ppo: PpoConfig,
    engine: Engine,
    out: Path | str,
    name: str = "training",
    racing: bool | RacingConfig = True,
    spared: Collection[str] = (),
    seed_root: int = 0,
    timeout_s: float | None = None,
    on_point: OnPoint | None = None,
    on_rung: OnRung | None = None,
    affords: Affords = lambda env_steps: True,
    module: str = WORKER,
) -> dict[str, TrainingResult]:
    """Train every candidate with every seed; with racing, drop the weakest at rungs and give finalists more seeds.

    Calling it again after an interruption goes on from results and checkpoints, and ends the same.

    Args:
        programs: path of graph.json by candidate.
        out: the run folder: members in candidates/<id>/seeds/<k>/, job files in jobs/<name>/.
        name: names this training within the run.
        racing: False trains every candidate to the end.
        spared: candidates that no rung drops, for the others are compared with them.
        seed_root: root of all random streams; members of the same seed share theirs across candidates.
        timeout_s: wall time of one job (a shard up to its next rung), None for no limit.
        on_point: told of every evaluation, from another thread, while it runs.
        on_rung: told of every rung's outcome.
        affords: asked before finalists get more seeds, with the env steps that the whole training, evaluations so far
            included, then takes; that is never more training than every candidate with every seed to the end.
        module: what a job runs (tests put their own worlds there).

    Raises:
        UsageError: no seeds, or a seed twice.
        EnvironmentFault: the environment cannot be built.
        RunError: a member's folder is damaged, or the disk is full.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"training needs at least one seed and each once, got {list(seeds)}")
    config = racing if isinstance(racing, RacingConfig) else RacingConfig(enabled=racing)
    plan = schedule(ppo)
    rungs = config.iterations(plan) if len(programs) > 1 else []
    run = _Run(env, goal, programs, ppo, engine, Path(out), name, seed_root, timeout_s, module)
    active = [Member(candidate, seed) for candidate in programs for seed in seeds]
    results: dict[Member, MemberResult] = {}
    races: dict[str, list[RungStanding]] = {c: [] for c in programs}
    with Following(run.out, on_point) as following:
        following.add(active)
        for iteration in [*rungs, plan.total]:
            if not active:
                break
            results |= run.train(active, results, until_steps=iteration * ppo.batch)
            active = [m for m in active if results[m].state == "trained"]
            if iteration == plan.total or not active:
                break
            undropped = _by_candidate({m: r for m, r in results.items() if r.state != "dropped"})
            standings = judge(undropped, config, spared=spared)
            for candidate, standing in standings.items():
                races[candidate].append(standing)
            for member in active:
                if not standings[member.candidate].kept:
                    results[member] = results[member].model_copy(update={"state": "dropped"})
            active = [m for m in active if standings[m.candidate].kept]
            more: tuple[int, ...] = ()
            if iteration == rungs[-1]:
                more = more_seeds(results, cost=plan.total * ppo.batch, affords=affords, config=config)
                joining = [Member(c, seed) for c in dict.fromkeys(m.candidate for m in active) for seed in more]
                following.add(joining)
                active += joining
            if on_rung:
                on_rung(Rung(iteration * ppo.batch, standings, more))
    by_candidate = _by_candidate(results)
    return {c: TrainingResult(candidate=c, members=by_candidate[c], race=tuple(races[c])) for c in programs}


def _by_candidate(results: Mapping[Member, MemberResult]) -> dict[str, tuple[MemberResult, ...]]:
    """All results, in the order in which the members were first trained."""
    candidates = dict.fromkeys(m.candidate for m in results)
    return {c: tuple(r for m, r in results.items() if m.candidate == c) for c in candidates}


class _Run:
    """What the jobs of one training share."""

    def __init__(
        self,
        env: EnvSpec,
        goal: Goal,
        programs: Mapping[str, Path | str],
        ppo: PpoConfig,
        engine: Engine,
        out: Path,
        name: str,
        seed_root: int,
        timeout_s: float | None,
        module: str,
    ) -> None:
        self.out = out
        self._base = TrainJob(
            env=env,
            goal=goal,
            members=(),
            programs={c: str(p) for c, p in programs.items()},
            out=str(out),
            ppo=ppo,
            seed_root=seed_root,
        )
        self._graphs = {c: content_id(Path(p).read_text(encoding="utf-8")) for c, p in programs.items()}
        self._engine, self._folder = engine, out / "jobs" / name
        self._timeout_s, self._module = timeout_s, module

    def train(
        self, members: Sequence[Member], before: Mapping[Member, MemberResult], *, until_steps: int
    ) -> dict[Member, MemberResult]:
        """Results of all members at `until_steps`."""
        processes = self._engine.workers if self._base.ppo.device == "native" else 1  # one keeps a GPU busy
        jobs = {j.id: (j, shard) for j, shard in self._jobs(shards(members, processes), until_steps)}
        results: dict[Member, MemberResult] = {}
        again: list[Member] = []
        for outcome in self._engine.run([job for job, _ in jobs.values()]):
            _, shard = jobs[outcome.job.id]
            if outcome.state == "failed" and len(shard) > 1:
                again += shard  # one of them may have taken the process down: find out which
            else:
                results |= self._collect(outcome, shard, before)
        singles = {j.id: (j, shard) for j, shard in self._jobs([[m] for m in sorted(again)], until_steps)}
        for outcome in self._engine.run([job for job, _ in singles.values()]):
            results |= self._collect(outcome, singles[outcome.job.id][1], before)
        return {m: _add_wall(results[m], before.get(m)) for m in members}

    def _jobs(self, parts: Sequence[Sequence[Member]], until_steps: int) -> Iterator[tuple[Job, list[Member]]]:
        for shard in parts:
            job = self._base.model_copy(update={"members": tuple(shard), "until_steps": until_steps})
            # The name follows from the content, so that a changed training never meets an old result.
            content = [job.model_dump(mode="json", exclude={"out", "programs"}), self._graphs]
            id = f"{until_steps}-{content_id(content)}"
            spec, result = self._folder / f"{id}.json", self._folder / f"{id}.result.json"
            self._folder.mkdir(parents=True, exist_ok=True)
            if (old := read_result(result)) is None or old.problem:
                result.unlink(missing_ok=True)  # a fault of an earlier attempt: this one shall find out for itself
            write_bytes(spec, WorkerSpec(job=job, result_path=str(result)).model_dump_json(indent=1).encode())
            ready = Job(
                id=id,
                module=self._module,
                spec_path=spec,
                result_path=result,
                timeout_s=self._timeout_s,
                about=job.env.name,
            )
            yield ready, list(shard)

    def _collect(
        self, outcome: JobOutcome, shard: Sequence[Member], before: Mapping[Member, MemberResult]
    ) -> dict[Member, MemberResult]:
        """The members' results of an ended job; an unsuccessful one ends its members where they were before."""
        error = outcome.error
        if outcome.state == "done":
            path = outcome.job.result_path
            found = read_result(path) or WorkerResult()
            if found.problem:
                raise found.problem.error()
            results = {Member(r.candidate, r.seed): r for r in found.members}
            if set(results) == set(shard):
                return results
            error = "the job left a result of the wrong form, or of other members"
            path.unlink(missing_ok=True)
        state = "timed_out" if outcome.state == "timed_out" else "crashed_env"
        empty = {
            m: MemberResult(candidate=m.candidate, seed=m.seed, state="trained", env_steps=0, wall_s=0.0) for m in shard
        }
        update = {"state": state, "error": error, "wall_s": outcome.wall_s / len(shard)}
        return {m: before.get(m, empty[m]).model_copy(update=update) for m in shard}


def _add_wall(result: MemberResult, before: MemberResult | None) -> MemberResult:
    return result.model_copy(update={"wall_s": result.wall_s + before.wall_s}) if before else result


def shards(members: Sequence[Member], count: int) -> list[list[Member]]:
    """Split members over at most `count` processes, sizes as even as can be; a candidate's members stay close."""
    ordered = sorted(members)
    count = min(count, len(ordered))
    bounds = [round(i * len(ordered) / count) for i in range(count + 1)] if count else []
    return [ordered[a:b] for a, b in pairwise(bounds)]
