"""Does our PPO learn as well as Stable-Baselines3's? Seed by seed, until it is decided: `python benchmarks/parity.py`.

Both trainers get an environment's published reward, the same number of env steps and the same settings: with the preset
`sb3` those are the peer's defaults, with `fast` the ones that the environment's pack has. What counts of a seed is the
mean return of 20 episodes with the deterministic policy that it ends with, the same 20 for all, by our clean evaluator.

The question is whether the relative difference of the interquartile means lies within 15 %. Seeds are added by fours
until its 95 % bootstrap interval lies inside ("equivalent") or outside ("different") of that band. Looking so often
costs certainty: in simulations (lognormal returns that deviate by 15 to 50 %) a true difference of just 15 % was called
equivalent in up to 13 % of the trials and one of 25 % never; of equal trainers 2 % at most were called different. 64
seeds decide where returns deviate by 30 %, mostly, and not where they deviate by 50 %. Interquartile means do not see
the worst quarter of the seeds, so the plain means are reported too.

With `--results FILE` every seed is kept as it is done, and the next run goes on from there. A line counts only for the
same settings and versions; start a new file when the trainers have changed otherwise.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from figures import Figures
from scipy.stats import trim_mean

from rewardsmith.engine.child import die_with_parent
from rewardsmith.envs import Environment, VecWorld, resolve_env
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.stats import MIN_SEEDS, RESAMPLES, Interval, iqm
from rewardsmith.store.folder import installed_versions
from rewardsmith.train import PpoConfig
from rewardsmith.train.evaluate import evaluate
from rewardsmith.train.malloc import keep_freed_memory
from rewardsmith.train.policy import Policy, PolicyInfo
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.train.recorder import FieldRecorder
from rewardsmith.train.rewards import Program, pay
from rewardsmith.train.seeding import generator
from rewardsmith.types import Member, content_id

STEPS = {"cartpole": 50_000, "hopper": 200_000, "half_cheetah": 200_000}
GYMNASIUM = {"cartpole": "CartPole-v1", "hopper": "Hopper-v5", "half_cheetah": "HalfCheetah-v5"}
PRESETS = ("sb3", "fast")

BAND = 0.15  # of Stable-Baselines3's interquartile mean
ROUND = 4  # seeds of each trainer between two looks
LEAST = 16  # seeds of each trainer before the first verdict: intervals over fewer are too narrow
PROCESSES = 2
EPISODES = 20
TRAINING, MEASURING = 0, 1  # roots of the random streams

Trainer = Literal["ours", "sb3"]
Verdict = Literal["equivalent", "different", "cannot tell yet"]
TRAINERS: tuple[Trainer, ...] = ("ours", "sb3")
QUICK = ("cartpole",)  # what is trained with --quick


class Comparison(NamedTuple):
    env: str
    preset: str
    steps: int


class Task(NamedTuple):
    """What one process does at a time: one seed of Stable-Baselines3's, or some of ours together."""

    comparison: Comparison
    who: Trainer
    seeds: tuple[int, ...]


class Trained(NamedTuple):
    """A policy for each of a task's seeds, and what they took together."""

    policies: list[Policy]
    env_steps: int  # of each
    wall_s: float
    cpu_s: float


# --- training, in worker processes ---------------------------------------------------------------------------------


def settings(comparison: Comparison, environment: Environment) -> PpoConfig:
    return PpoConfig.for_environment(environment, preset=comparison.preset, env_steps=comparison.steps)


def sb3_arguments(config: PpoConfig) -> dict[str, Any]:
    """The same settings in the peer's words; none for its defaults."""
    if config.preset == "sb3":
        return {}
    first = 1 / config.iterations  # the peer anneals to the end of an iteration, we to its start
    rate = config.learning_rate
    return {
        "n_steps": config.rollout_steps,
        "batch_size": config.minibatch_size,
        "n_epochs": config.epochs,
        "learning_rate": (lambda remaining: rate * (remaining + first)) if config.anneal else rate,
        "gamma": config.gamma,
        "gae_lambda": config.gae_lambda,
        "clip_range": config.clip,
        "ent_coef": config.entropy_coef,
        "vf_coef": config.value_coef,
        "max_grad_norm": config.max_grad_norm,
        "policy_kwargs": {"net_arch": list(config.hidden)},
    }


def train_sb3(task: Task, environment: Environment, config: PpoConfig) -> Trained:
    """The peer on Gymnasium's own environment, normalized as ours is."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.running_mean_std import RunningMeanStd
    from stable_baselines3.common.vec_env import VecNormalize

    from rewardsmith.train.sb3.weights import policy_of

    (seed,) = task.seeds
    entropy = int(generator(TRAINING, seed, "init").integers(2**31))  # it gives neighbouring rows neighbouring seeds
    world = VecNormalize(
        make_vec_env(GYMNASIUM[task.comparison.env], config.num_envs, seed=entropy),
        norm_obs=config.normalize_obs,
        gamma=config.gamma,
    )
    if not config.normalize_obs:  # what the policy file takes its normalizer from: one that changes nothing
        world.obs_rms = RunningMeanStd(shape=world.observation_space.shape or ())
    model = PPO("MlpPolicy", world, seed=entropy, device="cpu", verbose=0, **sb3_arguments(config))
    wall, cpu = time.perf_counter(), time.process_time()
    model.learn(config.iterations * config.batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    info = PolicyInfo(
        env=environment.spec,
        action=environment.interface.action,
        obs_dim=world.observation_space.shape[0],  # type: ignore[index]
        hidden=(),
        rescale_actions=False,
        seed=seed,
    )
    policy = policy_of(model, world, "ppo", info)
    world.close()
    return Trained([policy], model.num_timesteps, wall, cpu)


def train_ours(task: Task, environment: Environment, config: PpoConfig, program: Program) -> Trained:
    """A population of the task's seeds. Raises: AssertionError: one of them failed."""
    keep_freed_memory()
    members = [Member("published", seed) for seed in task.seeds]
    world = environment.make_world(len(members) * config.num_envs)
    population = PopulationPPO(world, config, members, {"published": program}, root=TRAINING)
    wall, cpu = time.perf_counter(), time.process_time()
    population.restart_episodes()
    for _ in range(config.iterations):
        population.iterate()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert not population.failures, population.failures
    policies = [population.policy(i, environment.spec) for i in range(len(members))]
    world.close()
    return Trained(policies, population.env_steps, wall, cpu)


def train(task: Task, graph: str) -> list[dict[str, Any]]:
    """A line of results for each seed of a task; wall and processor seconds are a seed's share of the training.

    Args:
        graph: JSON of the published reward.
    """
    environment = resolve_env(task.comparison.env)
    config = settings(task.comparison, environment)
    if task.who == "ours":
        trained = train_ours(task, environment, config, RewardProgram(parse_graph(graph, environment.interface)))
    else:
        trained = train_sb3(task, environment, config)
    metric = environment.native_metric()
    scores = evaluate(environment, metric, trained.policies, episodes=EPISODES, seed=MEASURING)
    return [
        {
            **identity(task.comparison, task.who, config),
            "seed": seed,
            "env_steps": trained.env_steps,
            "return": float(score.fitness.mean()),
            "wall_s": round(trained.wall_s / len(task.seeds), 3),
            "cpu_s": round(trained.cpu_s / len(task.seeds), 3),
        }
        for seed, score in zip(task.seeds, scores, strict=True)
    ]


def prepare_worker(parent: int) -> None:
    die_with_parent(parent)
    torch.set_num_threads(1)


# --- the published reward ------------------------------------------------------------------------------------------


def published_reward(name: str) -> str:
    """Graph JSON of the pack's published reward.

    Raises: AssertionError: it is not what the environment itself pays.
    """
    environment = resolve_env(name)
    with reward_jail() as jail:
        result = compile_reward(environment.reference_rewards["human"], environment.interface, jail)
    assert result.program is not None, result.findings
    world = environment.make_world(16)
    paid, native = random_rewards(world, result.program)
    world.close()
    torch.testing.assert_close(paid, native, rtol=1e-4, atol=1e-4)
    return result.program.to_json()


def random_rewards(world: VecWorld, program: Program, steps: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """What the program and what the world pays for random actions, episodes' ends included, each (steps, B) float64."""
    rows, rng = world.num_envs, np.random.default_rng(0)
    recorder = FieldRecorder(steps, rows)
    actions, native, terminated = [], [], []
    world.reset(np.arange(rows), np.arange(rows, dtype=np.uint64))
    for t in range(steps):
        recorder.record(t, world.fields())
        actions.append(random_action(world, rng))
        world.step(actions[-1])
        native.append(world.native_reward.clone())
        terminated.append(world.terminated.clone())
        done = torch.nonzero(world.terminated | world.truncated)[:, 0]
        if len(done):
            recorder.record_final(t, done, world.fields())
            world.reset(done.numpy(), rng.integers(2**63, size=len(done)).astype(np.uint64))
    recorder.record(steps, world.fields())
    before, after = ({k: v.flatten(0, 1) for k, v in part.items()} for part in recorder.transitions(world))
    paid = pay(program, before, torch.cat(actions), {**after, "terminated": torch.cat(terminated)})
    return paid.total.double().view(steps, rows), torch.stack(native)


def random_action(world: VecWorld, rng: np.random.Generator) -> torch.Tensor:
    spec = world.action
    if spec.kind == "discrete":
        return torch.from_numpy(rng.integers(spec.n or 0, size=world.num_envs))
    low, high = np.array(spec.low), np.array(spec.high)
    return torch.from_numpy(rng.uniform(low, high, (world.num_envs, *spec.shape)).astype(np.float32))


# --- results -------------------------------------------------------------------------------------------------------


def identity(comparison: Comparison, who: Trainer, config: PpoConfig) -> dict[str, Any]:
    """What a line of results has to agree in, so that it counts for a comparison."""
    return {
        "env": comparison.env,
        "preset": comparison.preset,
        "who": who,
        "settings": content_id([config.model_dump(mode="json"), EPISODES, TRAINING, MEASURING]),
        "versions": installed_versions(),
    }


class Results:
    """Lines of results, kept in a file if there is a path. The file only ever grows."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: list[dict[str, Any]] = []
        if path is not None and path.exists():
            text = path.read_text(encoding="utf-8")
            self._lines = list(_whole_lines(text))
            if text and not text.endswith("\n"):
                self._write("\n")  # of a run that was killed while it wrote

    def add(self, line: dict[str, Any]) -> None:
        self._lines.append(line)
        self._write(json.dumps(line) + "\n")

    def _write(self, text: str) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)

    def lines(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """Those of this `identity`."""
        return [line for line in self._lines if all(line.get(key) == value for key, value in wanted.items())]

    def returns(self, wanted: dict[str, Any]) -> dict[int, float]:
        """Return by seed of the lines of this `identity`."""
        return {line["seed"]: line["return"] for line in self.lines(wanted)}


def _whole_lines(text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            if line:
                print(f"results: line {number} is torn and does not count", file=sys.stderr)


# --- the verdict ---------------------------------------------------------------------------------------------------


class Standing(NamedTuple):
    """How a comparison stands. `difference`: ours minus the peer's over the peer's, None below three seeds each."""

    ours: tuple[float, ...]
    sb3: tuple[float, ...]
    difference: Interval | None
    verdict: Verdict

    @property
    def seeds(self) -> int:
        """Seeds that both have at least."""
        return min(len(self.ours), len(self.sb3))


def standing(ours: Sequence[float], sb3: Sequence[float]) -> Standing:
    """The verdict over all returns so far, one for each seed."""
    difference = relative_difference(ours, sb3) if min(len(ours), len(sb3)) >= MIN_SEEDS else None
    verdict: Verdict = "cannot tell yet"
    if difference is not None and min(len(ours), len(sb3)) >= LEAST:
        if difference.low >= -BAND and difference.high <= BAND:
            verdict = "equivalent"
        elif difference.low > BAND or difference.high < -BAND:
            verdict = "different"
    return Standing(tuple(ours), tuple(sb3), difference, verdict)


def relative_difference(ours: Sequence[float], sb3: Sequence[float]) -> Interval:
    """(IQM of ours - IQM of the peer's) / |IQM of the peer's| with a percentile bootstrap 95 % interval over seeds.

    Both are resampled, the divisor too: where that may be zero the interval is wide.
    """
    rng = np.random.default_rng(0)

    def draws(values: Sequence[float]) -> np.ndarray:
        rows = np.asarray(values)[rng.integers(len(values), size=(RESAMPLES, len(values)))]
        return trim_mean(rows, 0.25, axis=1)

    relative = lambda a, b: (a - b) / np.maximum(np.abs(b), np.finfo(float).tiny)
    low, high = np.quantile(relative(draws(ours), draws(sb3)), [0.025, 0.975])
    point = relative(iqm(ours), iqm(sb3))
    return Interval(float(point), float(low), float(high), min(len(ours), len(sb3)), "seeds")


# --- the program ---------------------------------------------------------------------------------------------------


class Study:
    """Comparisons on their way: rounds of seeds in turns, until all are decided or have `max_seeds`."""

    def __init__(self, comparisons: Sequence[Comparison], results: Results, *, max_seeds: int) -> None:
        self._results, self._max_seeds = results, max_seeds
        self._configs = {c: settings(c, resolve_env(c.env)) for c in comparisons}

    def run(self, *, deadline: float) -> None:
        """`deadline`: of `time.monotonic`; no turn begins after it, the one under way is finished."""
        if not self.next_round():
            return
        graphs = {name: published_reward(name) for name in dict.fromkeys(c.env for c in self._configs)}
        workers = mp.get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, workers, prepare_worker, (os.getpid(),)) as pool:
            while turns := self.next_round():
                for turn in turns:
                    if time.monotonic() >= deadline:
                        return
                    tasks = [pool.submit(train, task, graphs[task.comparison.env]) for task in turn]
                    for done in as_completed(tasks):
                        for line in done.result():
                            self._results.add(line)
                            print("{env} {preset} {who} seed {seed}: {return:.4g}".format(**line), file=sys.stderr)

    def next_round(self) -> list[list[Task]]:
        """Turns, each of tasks that are done side by side: of every undecided comparison, the trainers alternating."""
        turns = []
        for comparison in self._configs:
            now = self.standing(comparison)
            if now.verdict != "cannot tell yet" or now.seeds >= self._max_seeds:
                continue
            rounds = now.seeds // ROUND
            seeds = range(min((rounds + 1) * ROUND, self._max_seeds))
            for who in TRAINERS[:: 1 if rounds % 2 else -1]:
                missing = sorted(set(seeds) - set(self._returns(comparison, who)))
                parts = PROCESSES if who == "ours" else len(missing)
                shares = [tuple(missing[i::parts]) for i in range(parts)]
                turns.append([Task(comparison, who, share) for share in shares if share])
        return [turn for turn in turns if turn]

    def _returns(self, comparison: Comparison, who: Trainer) -> dict[int, float]:
        return self._results.returns(identity(comparison, who, self._configs[comparison]))

    def standing(self, comparison: Comparison) -> Standing:
        ours, sb3 = (self._returns(comparison, who) for who in TRAINERS)
        return standing([ours[seed] for seed in sorted(ours)], [sb3[seed] for seed in sorted(sb3)])


def report(figures: Figures, comparison: Comparison, now: Standing | None) -> None:
    """The figures of one comparison; None: it takes longer than this run may."""
    name, difference = f"parity.{comparison.env}.{comparison.preset}", now.difference if now else None
    decided = {"equivalent": 1.0, "different": 0.0}.get(now.verdict) if now else None
    figures.add(f"{name}.equivalent", decided, "", now.verdict if now else "left out with --quick")
    for part in ("point", "low", "high"):
        value = getattr(difference, part) if difference else None
        figures.add(f"{name}.{part}", value, "", f"(ours - SB3's) / SB3's, the band is +-{BAND}")
    for who in TRAINERS:
        returns = getattr(now, who) if now else ()
        figures.add(f"{name}.{who}", iqm(returns) if returns else None, "", f"return, IQM over {len(returns)} seeds")
        figures.add(f"{name}.{who}_mean", float(np.mean(returns)) if returns else None, "", "return, mean over them")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", choices=list(STEPS), default=list(STEPS), help="default: all")
    parser.add_argument("--preset", nargs="+", choices=PRESETS, default=list(PRESETS), help="default: both")
    parser.add_argument("--steps", type=int, help="env steps a seed (default: by environment)")
    parser.add_argument("--max-seeds", type=int, default=64, help="of each trainer and comparison (default 64)")
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin nothing after so many")
    parser.add_argument("--results", type=Path, metavar="FILE", help="keep every seed here, and go on from there")
    parser.add_argument("--quick", action="store_true", help="under 5 minutes: some seeds of CartPole, no verdict")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args()
    if args.quick and args.results:
        parser.error("--quick neither reads nor keeps results")
    if args.quick:
        args.minutes, args.max_seeds = min(args.minutes, 3.0), min(args.max_seeds, 2 * ROUND)
    return args


def main() -> int:
    """0 if all requested comparisons are equivalent, else 1."""
    args = arguments()
    figures, deadline = Figures(), time.monotonic() + 60 * args.minutes
    wanted = [Comparison(env, preset, args.steps or STEPS[env]) for env in args.env for preset in args.preset]
    made = [c for c in wanted if not args.quick or c.env in QUICK]
    study = Study(made, Results(args.results), max_seeds=args.max_seeds)
    study.run(deadline=deadline)
    standings = {c: study.standing(c) for c in made}
    for comparison in wanted:
        report(figures, comparison, standings.get(comparison))
    figures.write(args.json)
    return 0 if all(c in standings and standings[c].verdict == "equivalent" for c in wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
