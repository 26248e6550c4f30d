"""One shard of a training: some members in one process, from their checkpoints to a given number of env steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from rewardsmith.engine import Pulse
from rewardsmith.envs import Environment, Metric, VecWorld, resolve_env
from rewardsmith.errors import EnvironmentFault, RewardRefused, RunError
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.store.atomic import write_bytes, write_error
from rewardsmith.train.checkpoint import Checkpoint, Progress, load_checkpoint, save_checkpoint
from rewardsmith.train.config import PpoConfig, iterations_until, schedule
from rewardsmith.train.evaluate import EpisodeScores, evaluate
from rewardsmith.train.goals import load_metric
from rewardsmith.train.keeping import keep, measured_again
from rewardsmith.train.malloc import keep_freed_memory
from rewardsmith.train.policy import Policy, load_policy
from rewardsmith.train.ppo import Failure, PopulationPPO, WorldBroke
from rewardsmith.train.rewards import Program, memory_width
from rewardsmith.train.seeding import fresh_root
from rewardsmith.types import CurvePoint, EnvSpec, Goal, Member, MemberResult, Record, content_id

log = logging.getLogger(__name__)

OnPoint = Callable[[Member, CurvePoint], None]


class TrainJob(Record):
    """What one worker process does. `out` is the run folder; members live in candidates/<id>/seeds/<k>/ below it."""

    env: EnvSpec
    goal: Goal
    members: tuple[Member, ...]
    programs: dict[str, str]  # candidate -> path of its graph.json
    out: str
    ppo: PpoConfig
    until_steps: int | None = None  # None: the whole budget
    seed_root: int = 0


def member_folder(out: Path | str, member: Member) -> Path:
    return Path(out) / "candidates" / member.candidate / "seeds" / str(member.seed)


def run_train_job(
    job: TrainJob,
    *,
    on_point: OnPoint | None = None,
    environment: Environment | None = None,
    metric: Metric | None = None,
    programs: Mapping[str, Program] | None = None,
) -> list[MemberResult]:
    """Train the job's members, each from its newest checkpoint, and say what became of them.

    A member's result depends on its candidate, seed, configuration and root only: not on the job's other members, nor
    on how often the job was killed and run again.

    Args:
        environment, metric, programs: instead of those the job names (for users' own environments, and for tests).

    Raises:
        EnvironmentFault: the environment cannot be built.
        RunError: a member's folder is damaged beyond its spare checkpoint, or the disk is full.
    """
    pulse = Pulse()
    pulse.beat()
    with _single_thread():
        environment = environment or resolve_env(job.env.name, kwargs=dict(job.env.kwargs))
        shard = _Shard(job, environment, metric or load_metric(environment, job.goal), programs, on_point, pulse)
        return shard.run()


@contextmanager
def _single_thread() -> Iterator[None]:
    """One thread: shards share the cores, and splitting an operation over threads would change its last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _MemberRun:
    """One member on its way."""

    def __init__(self, member: Member, folder: Path, identity: str, width: int, graph: str) -> None:
        self.member, self.folder, self.identity, self.width, self.graph = member, folder, identity, width, graph
        for torn in folder.glob(".*"):  # what a killed process left half written
            torn.unlink()
        self.checkpoint: Checkpoint | None = load_checkpoint(folder, identity)
        self.progress = self.checkpoint.progress if self.checkpoint else Progress(identity=identity, iteration=0)
        self.failure: Failure | None = None
        self.failed_at = 0
        self.alone = False  # after the world broke with others in it
        self.wall_s = 0.0
        _write_metrics(folder, self.progress.curve)  # drops points of after the checkpoint

    @property
    def graph_if_seen(self) -> str:
        """The reward's graph if the policy sees its memory; else a policy has nothing to do with any reward."""
        return self.graph if self.width else ""

    def result(self, ppo: PpoConfig) -> MemberResult:
        return MemberResult(
            candidate=self.member.candidate,
            seed=self.member.seed,
            state=self.failure.state if self.failure else "trained",  # type: ignore[arg-type]
            env_steps=self.failed_at if self.failure else self.progress.iteration * ppo.batch,
            wall_s=self.wall_s,
            curve=self.progress.curve,
            error=self.failure.error if self.failure else "",
            eval_env_steps=self.progress.eval_env_steps,
            kept=self.progress.kept,
            episodes=self.progress.trained_episodes + self.progress.evaluated_episodes,
            broken_episodes=self.progress.broken_in_training + self.progress.broken_in_evaluation,
        )


class _Shard:
    def __init__(
        self,
        job: TrainJob,
        environment: Environment,
        metric: Metric,
        programs: Mapping[str, Program] | None,
        on_point: OnPoint | None,
        pulse: Pulse,
    ) -> None:
        self._job, self._environment, self._metric, self._on_point = job, environment, metric, on_point
        self._pulse = pulse
        self._schedule = schedule(job.ppo)
        self._until = iterations_until(job.ppo, job.until_steps)
        self._programs: dict[str, Program] = dict(programs or {})
        self._runs: list[_MemberRun] = []
        broken: dict[str, str] = {}
        graphs: dict[str, str] = {}
        for candidate in dict.fromkeys(m.candidate for m in job.members):
            try:
                graphs[candidate] = _read_graph(job, candidate)
                if programs is None:
                    self._programs[candidate] = RewardProgram.from_graph(
                        parse_graph(graphs[candidate], environment.interface)
                    )
            except RewardRefused as error:
                broken[candidate] = str(error)
        for member in sorted(job.members):
            program = self._programs.get(member.candidate)
            width = memory_width(program) if program is not None else 0
            graph = graphs.get(member.candidate, "")
            run = _MemberRun(member, member_folder(job.out, member), _identity(job, graph), width, graph)
            if member.candidate in broken:
                run.failure = Failure("crashed_reward", broken[member.candidate])
            self._runs.append(run)

    def run(self) -> list[MemberResult]:
        population: _Together | None = None
        while group := self._next_group():
            if population is None or population.runs != group:
                if population:
                    population.close()
                population = self._assemble(group)
                if population is None:
                    continue
            began = time.monotonic()
            try:
                self._train(population)
            except (WorldBroke, EnvironmentFault) as error:
                self._blame(group, str(error))
                population.close()
                population = None
            share = (time.monotonic() - began) / len(group)
            for run in group:
                run.wall_s += share
        if population:
            population.close()
        by_member = {r.member: r.result(self._job.ppo) for r in self._runs}
        return [by_member[m] for m in self._job.members]

    def _next_group(self) -> list[_MemberRun]:
        """The members furthest behind that can train together; empty when all are done."""
        waiting = [r for r in self._runs if r.failure is None and r.progress.iteration < self._until]
        if not waiting:
            return []
        first = min(waiting, key=lambda r: (r.progress.iteration, r.width))
        if first.alone:
            return [first]
        key = (first.progress.iteration, first.width)
        return [r for r in waiting if (r.progress.iteration, r.width) == key and not r.alone]

    def _assemble(self, group: list[_MemberRun]) -> _Together | None:
        """A population of the group's members, loaded from their checkpoints; None if the environment broke."""
        ppo = self._job.ppo
        world = self._watched(self._training_world(len(group) * ppo.num_envs))
        eval_world = self._watched(self._environment.make_world(len(group) * ppo.eval_episodes))
        together = _Together(group, world, eval_world)
        try:
            together.population = PopulationPPO(
                world, ppo, [r.member for r in group], self._programs, root=self._job.seed_root
            )
            together.resume()
        except (WorldBroke, EnvironmentFault) as error:
            self._blame(group, str(error))
            together.close()
            return None
        return together

    def _training_world(self, rows: int) -> VecWorld:
        ppo = self._job.ppo
        if ppo.device == "native":
            return self._environment.make_world(rows)
        return self._environment.make_device_world(rows, device=ppo.device, captured=ppo.captured)

    def _watched(self, world: VecWorld) -> VecWorld:
        """Every step and reset becomes a sign of life, for the environment is what may never return."""
        world.step, world.reset = self._pulse.after(world.step), self._pulse.after(world.reset)
        return world

    def _blame(self, group: list[_MemberRun], error: str) -> None:
        """The environment broke: alone, a member is done with; in company, each goes on alone from its checkpoint."""
        for run in group:
            run.alone = True
            if len(group) == 1:
                run.failure = Failure("crashed_env", error)
                run.failed_at = run.progress.iteration * self._job.ppo.batch

    def _train(self, together: _Together) -> None:
        """Train to the next checkpoint and save every member there."""
        population, runs = together.population, together.runs
        stop = min(self._until, self._schedule.next_checkpoint(population.iteration))
        while population.iteration < stop and population.alive:
            population.iterate()
            for i, failure in population.failures.items():
                if runs[i].failure is None:
                    runs[i].failure, runs[i].failed_at = failure, population.env_steps
        alive = population.alive
        if not alive:
            return
        progress = {i: self._counted(together, i) for i in alive}
        if population.iteration in self._schedule.evaluations:
            progress = self._evaluate(together, progress)
        if population.iteration == self._schedule.total:
            progress = self._measure_kept(together, progress)
        for i in alive:
            self._save(together, i, progress[i])
        if not population.world.can_restore:
            population.restart_episodes()

    def _counted(self, together: _Together, i: int) -> Progress:
        episodes, broken = together.population.episodes(i)
        return together.runs[i].progress.model_copy(
            update={
                "iteration": together.population.iteration,
                "trained_episodes": episodes,
                "broken_in_training": broken,
            }
        )

    def _evaluate(self, together: _Together, progress: Mapping[int, Progress]) -> dict[int, Progress]:
        """Measure the policies as they are, and write down those that are the best of their members so far."""
        population, job = together.population, self._job
        policies = {i: population.policy(i, job.env, memory_graph=together.runs[i].graph_if_seen) for i in progress}
        measured = {}
        for i, scores in self._scores(together, policies, job.seed_root).items():
            point = CurvePoint(
                env_steps=population.env_steps,
                fitness=float(scores.fitness.mean()),
                success=float(scores.success.mean()),
                episode_length=float(scores.length.mean()),
                episodes=len(scores.fitness),
                components=population.last.components[i],
                reward=population.last.reward[i],
            )
            kept = keep(progress[i].kept, scores, population.env_steps)
            if kept.env_steps == population.env_steps:
                policies[i].save(together.runs[i].folder / "policy.safetensors")
            update = {"curve": (*progress[i].curve, point), "kept": kept}
            measured[i] = _paid(progress[i], scores).model_copy(update=update)
        return measured

    def _measure_kept(self, together: _Together, progress: Mapping[int, Progress]) -> dict[int, Progress]:
        """Training is through: measure what each member kept on episodes that it was not chosen by."""
        policies = {i: load_policy(together.runs[i].folder / "policy.safetensors") for i in progress}
        measured = {}
        for i, scores in self._scores(together, policies, fresh_root(self._job.seed_root)).items():
            kept = measured_again(progress[i].kept, scores)
            measured[i] = _paid(progress[i], scores).model_copy(update={"kept": kept})
        return measured

    def _scores(self, together: _Together, policies: Mapping[int, Policy], seed: int) -> dict[int, EpisodeScores]:
        candidate_of = {r.graph_if_seen: r.member.candidate for r in together.runs}
        scores = evaluate(
            self._environment,
            self._metric,
            list(policies.values()),
            episodes=self._job.ppo.eval_episodes,
            seed=seed,
            world=together.eval_world,
            load_program=lambda graph: self._programs[candidate_of[graph]],
        )
        return dict(zip(policies, scores, strict=True))

    def _save(self, together: _Together, i: int, progress: Progress) -> None:
        run, state = together.runs[i], together.population.member_state(i)
        news = progress.curve[len(run.progress.curve) :]
        for point in news:
            _append(run.folder / "metrics.jsonl", point.model_dump_json() + "\n")
        save_checkpoint(run.folder, progress, state)
        run.progress, run.checkpoint = progress, Checkpoint(progress, state)
        if self._on_point:
            for point in news:
                self._on_point(run.member, point)


class _Together:
    """A population with the worlds it trains and is measured in."""

    population: PopulationPPO

    def __init__(self, runs: list[_MemberRun], world: VecWorld, eval_world: VecWorld) -> None:
        self.runs, self.world, self.eval_world = runs, world, eval_world

    def resume(self) -> None:
        """Fresh members start their episodes; others continue from their checkpoints."""
        population = self.population
        population.iteration = self.runs[0].progress.iteration
        saved = [r.checkpoint for r in self.runs]
        population.restart_episodes()
        for i, checkpoint in enumerate(saved):
            if checkpoint:
                try:
                    population.load_member(i, checkpoint.state)
                except (KeyError, ValueError, RuntimeError) as error:
                    folder = self.runs[i].folder
                    raise RunError(
                        f"the checkpoint in {folder} does not fit this training: {error}",
                        hint=f"remove {folder} to train this member from the start",
                    ) from error
        if saved[0] and not population.world.can_restore:
            population.restart_episodes()

    def close(self) -> None:
        self.world.close()
        self.eval_world.close()


def _read_graph(job: TrainJob, candidate: str) -> str:
    path = job.programs.get(candidate)
    if path is None:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot read the reward graph {path}: {error.strerror}", hint="check it again first") from error


def _paid(progress: Progress, scores: EpisodeScores) -> Progress:
    """With what these episodes cost."""
    return progress.model_copy(
        update={
            "eval_env_steps": progress.eval_env_steps + scores.env_steps,
            "evaluated_episodes": progress.evaluated_episodes + len(scores.fitness),
            "broken_in_evaluation": progress.broken_in_evaluation + scores.broken,
        }
    )


def _identity(job: TrainJob, graph: str) -> str:
    """Hash of everything a member's result depends on, besides its seed."""
    ppo = job.ppo.model_dump(mode="json")
    return content_id([graph, job.env.model_dump(mode="json"), job.goal.digest, ppo, job.seed_root])


def _append(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise write_error(path, error) from error


def _write_metrics(folder: Path, curve: Sequence[CurvePoint]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "metrics.jsonl", "".join(p.model_dump_json() + "\n" for p in curve).encode())
