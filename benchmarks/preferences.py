"""How far do a few preferences lead? `python benchmarks/preferences.py --results FILE`.

On every pack, at the same number of env steps, one repetition (a root seed) of each arm:

human          The pack's published reward, as a reference. Nobody searches.
icpl           The method `icpl`, K = 6 rewards in each of N = 5 rounds. The metric picks the best and the worst policy
               of a round in people's place, without mistakes. A round stands for K - 1 comparisons for its best policy,
               K - 2 for its worst, and one of its best with the best so far: 49 in all, as the paper counts them.
icpl_mistakes  The same, where each pick is replaced by a random other one in 10 % of the cases.
eureka         The method `eureka` with the same number of trainings; it is told what the metric measured.
prefppo_Q      A reward learned from Q comparisons of segments (49, 150, 1,500) while PPO trains with it (`prefppo.py`).
short_Q        The same, where the policy is trained no longer than each of the others'.

The designer of rewards is `builtin`, which is **not a language model**: it composes and changes reward terms, and reads
neither code nor words; of a round's picks it changes the best and makes nothing of the worst. In `eureka` it also
chooses terms by how they rank recorded episodes that the metric scored, in `icpl` it may not, for nothing measured
reaches the designer there. With `--replay DIR` the cassettes DIR/PACK/ARM.jsonl take its place.

What equal budgets mean. A search makes K * N trainings of S env steps each. A learned reward has one policy, which is
trained for K * N * S env steps without a break: the budget of the whole search. So this policy has seen K * N times as
many as the final ones of the searches: more time to learn, and to exploit what the reward has wrong. Arms `short` get
S. Evaluations, recorded episodes and retraining come on top for the searches and are not counted. What counts of a
search is its last pick, trained anew for S env steps: the mean over 3 fresh seeds. What counts of a learned reward is
its one policy. It is always the policy at the end of training, by 20 episodes of the clean evaluator.

The oracle of PrefPPO prefers the segment with the higher sum of the published reward, as in B-Pref. That reward is
dense where the metric is not, which is in its favour.

Targets. Pooled over packs, the chance that a repetition of one arm exceeds one of the other (ties count half), with its
95 % interval: icpl is at least eureka's where the interval lies above 0.4 (a margin of 0.1), and above prefppo_1500's
where it lies above 0.5. With mistakes it still improves where the last round's pick, retrained, is better than that of
the first round in more repetitions than it is worse. No verdict below 5 repetitions on each of 4 packs.

With `--results FILE` every repetition is kept as it is done, and the next run goes on from there. A line counts only
for the same settings and versions; start a new file when methods or trainer have changed otherwise.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from figures import Figures
from parity import Results, prepare_worker, published_reward
from prefppo import POOL, RECENT, SEGMENT, learn_while_training
from scipy.stats import kendalltau

from rewardsmith.config import FRESH_SEED, DesignConfig, ModelConfig
from rewardsmith.envs import Environment, resolve_env
from rewardsmith.loop.api import design_reward
from rewardsmith.loop.summary import RunSummary, pick_best
from rewardsmith.prefer.ballots import choices
from rewardsmith.prefer.simulated import SimulatedRater
from rewardsmith.prefer.utilities import utilities
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.stats import MIN_SEEDS, Interval, interval, probability_of_improvement
from rewardsmith.store import RunFolder
from rewardsmith.store.folder import installed_versions
from rewardsmith.train import PpoConfig
from rewardsmith.train.evaluate import evaluate
from rewardsmith.train.malloc import keep_freed_memory
from rewardsmith.train.policy import Policy
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.train.rewards import Program
from rewardsmith.types import EnvSpec, Judgement, Member, content_id

STEPS = {  # env steps of one training, by pack, cheap ones first: short, for there are 30 in a search
    "cartpole": 16_384,
    "pendulum": 30_720,
    "reacher": 32_000,
    "half_cheetah": 40_960,
    "lunar_lander": 61_440,
    "hopper": 61_440,
}
PACKS = tuple(STEPS)[:4]
QUERIES = (49, 150, 1500)
LEARNED = {kind: tuple(f"{kind}_{count}" for count in QUERIES) for kind in ("prefppo", "short")}
SEARCHES = ("icpl", "icpl_mistakes", "eureka")
ARMS = ("human", *SEARCHES, *LEARNED["prefppo"], *LEARNED["short"])
MISTAKES = 0.1
MEASURING = 1  # root of the clean evaluator's episodes
PROCESSES = 2

LEAST, LEAST_PACKS = 5, 4  # repetitions and packs of a verdict
MARGIN = 0.1
Verdict = Literal["yes", "no", "cannot tell yet"]


class Setting(NamedTuple):
    """How much is done. `steps`: of one training; None is the pack's entry in STEPS."""

    candidates: int = 6  # K
    rounds: int = 5  # N
    steps: int | None = None
    fresh: int = 3  # seeds that a pick is retrained on
    episodes: int = 20
    sessions: int = 10  # of questions

    @property
    def trainings(self) -> int:
        return self.candidates * self.rounds


LEGEND = """
designer          builtin is not a language model.
fitness, success  Interquartile mean over repetitions [95 % interval]; fewer than three are listed.
comparisons       Of two policies or segments, at most of a repetition.
accuracy          Of the learned reward on new pairs of segments, ties aside; mean over repetitions.
after each round  Fitness of what was picked then, retrained; median over repetitions.
"""

QUICK = Setting(candidates=3, rounds=2, steps=8192, sessions=4)
QUICK_PACKS = ("cartpole",)


class Task(NamedTuple):
    """One repetition on a pack: of one arm, or of all that are trained together (see LEARNED)."""

    pack: str
    arm: str
    repetition: int

    @property
    def arms(self) -> tuple[str, ...]:
        return LEARNED.get(self.arm, (self.arm,))


# --- trainings that other arms share ---------------------------------------------------------------------------------


def settings(pack: str, setting: Setting, *, trainings: int = 1) -> PpoConfig:
    """The pack's own, with the env steps of so many trainings."""
    environment = resolve_env(pack)
    one = PpoConfig.for_environment(environment, env_steps=setting.steps or STEPS[pack])
    return PpoConfig.for_environment(environment, env_steps=trainings * one.trained_steps)


def measured(environment: Environment, policies: Sequence[Policy], setting: Setting) -> list[tuple[float, float]]:
    """(fitness, success) of each policy by the clean evaluator."""
    metric, count = environment.metric(), setting.episodes
    scores = evaluate(environment, metric, policies, episodes=count, seed=MEASURING)
    return [(float(score.fitness.mean()), float(score.success.mean())) for score in scores]


def retrained(task: Task, graph: str, setting: Setting, environment: Environment) -> tuple[float, float]:
    """Mean (fitness, success) of a reward's policies on fresh seeds, other ones in each repetition.

    A training that fails counts with what is left of it, a policy that does nothing.
    """
    program, config = RewardProgram(parse_graph(graph, environment.interface)), settings(task.pack, setting)
    members = [Member("pick", FRESH_SEED + task.repetition * setting.fresh + i) for i in range(setting.fresh)]
    world = environment.make_world(len(members) * config.num_envs)
    population = PopulationPPO(world, config, members, {"pick": program}, root=0)
    population.restart_episodes()
    for _ in range(config.iterations):
        population.iterate()
    shown = graph if program.uses_memory else ""
    policies = [population.policy(i, environment.spec, memory_graph=shown) for i in range(len(members))]
    world.close()
    fitness, success = np.mean(measured(environment, policies, setting), axis=0)
    return float(fitness), float(success)


# --- searches ---------------------------------------------------------------------------------------------------------


def design_config(task: Task, setting: Setting, model: ModelConfig) -> DesignConfig:
    """Every candidate is trained once, to the end; the root seed is the repetition."""
    judged = {"feedback": "proxy", "proxy_mistakes": MISTAKES if task.arm == "icpl_mistakes" else 0.0}
    return DesignConfig(
        env=EnvSpec(name=task.pack),
        method="eureka" if task.arm == "eureka" else "icpl",
        candidates=setting.candidates,
        rounds=setting.rounds,
        seeds=1,
        guarantee=True,
        racing=False,
        final_seeds=0,
        videos=False,
        workers=1,
        seed=task.repetition,
        model=model,
        training={"env_steps": setting.steps or STEPS[task.pack], "evaluations": 4},
        **({} if task.arm == "eureka" else judged),
    )


def picks(run: RunSummary) -> list[str | None]:
    """What the search would hand over after each of its rounds."""
    if run.judgements:
        return [judgement.best for judgement in run.judgements]
    results = [(c.proposal.round, c.id, c.training) for c in run.candidates if c.training is not None]
    return [
        pick_best({id: training for at, id, training in results if at <= round})
        for round in range(1, run.config.rounds + 1)
    ]


def comparisons(judgements: Sequence[Judgement]) -> int:
    """Of two policies each, that the raters' picks stand for: K - 1, K - 2, and one with the best so far, a round."""
    count, before = 0, None
    for judgement in judgements:
        fresh = len([id for id in judgement.shown if id != before])
        count += max(0, fresh - 1) + max(0, fresh - 2) + (before is not None and fresh > 0)
        before = judgement.best
    return count


def searched(task: Task, setting: Setting, model: ModelConfig, environment: Environment) -> dict[str, Any]:
    """Search, and train anew what was picked: after the last round, with mistakes after every one.

    Raises: RuntimeError: the search found nothing.
    """
    with tempfile.TemporaryDirectory() as runs:
        run = design_reward(design_config(task, setting, model), runs=runs)
        folder = RunFolder.open(run.root)
        picked = picks(run)
        if picked[-1] is None:
            raise RuntimeError(f"{task}: no reward could be trained")
        scores = {c.id: c.score[1] for c in run.candidates if c.score is not None}
        wanted = dict.fromkeys(id for id in (picked if task.arm == "icpl_mistakes" else picked[-1:]) if id)
        again = {id: retrained(task, folder.candidate(id).read_graph(), setting, environment) for id in wanted}
    fitness, success = again[picked[-1]]
    return {
        "fitness": fitness,
        "success": success,
        "trainings": sum(c.training is not None for c in run.candidates),
        "comparisons": comparisons(run.judgements),
        "search_fitness": [scores.get(id or "") for id in picked],
        "after_rounds": [again[id][0] if id in again else None for id in picked],
    }


# --- learned rewards --------------------------------------------------------------------------------------------------


def learned(task: Task, setting: Setting, environment: Environment, oracle: Program) -> list[dict[str, Any]]:
    """Of each number of queries. Raises: RuntimeError: a training failed."""
    config = settings(task.pack, setting, trainings=setting.trainings if task.arm == "prefppo" else 1)
    found = learn_while_training(environment, config, oracle, QUERIES, seed=task.repetition, sessions=setting.sessions)
    scores = measured(environment, [each.policy for each in found], setting)
    return [
        {
            "fitness": fitness,
            "success": success,
            "trainings": 1,
            "comparisons": each.queries,
            "accuracy": each.accuracy,
            "ties": each.ties,
        }
        for each, (fitness, success) in zip(found, scores, strict=True)
    ]


# --- one repetition, in a worker process ------------------------------------------------------------------------------


def designer(task: Task, replay: Path | None) -> ModelConfig:
    """Raises: RuntimeError: there is no such cassette."""
    if replay is None or task.arm not in SEARCHES:
        return ModelConfig()
    path = replay / task.pack / f"{task.arm}.jsonl"
    if not path.is_file():
        raise RuntimeError(f"there is no cassette {path}")
    return ModelConfig(llm=f"replay:{path.resolve()}")


def identity(pack: str, arm: str, setting: Setting, replay: Path | None) -> dict[str, Any]:
    """What a line of results has to agree in, so that it counts."""
    constants = (MISTAKES, MEASURING, QUERIES, SEGMENT, RECENT, POOL)
    config = settings(pack, setting).model_dump(mode="json")
    return {
        "pack": pack,
        "arm": arm,
        "designer": "" if arm not in SEARCHES else "builtin" if replay is None else f"replay:{replay.name}",
        "settings": content_id([config, setting._asdict(), constants]),
        "versions": installed_versions(),
    }


def perform(task: Task, setting: Setting, published: str, replay: Path | None) -> list[dict[str, Any]]:
    """A line of results for each of the task's arms.

    Args:
        published: graph JSON of the pack's published reward.
    """
    keep_freed_memory()
    started, environment = time.perf_counter(), resolve_env(task.pack)
    if task.arm in LEARNED:
        found = learned(task, setting, environment, RewardProgram(parse_graph(published, environment.interface)))
    elif task.arm == "human":
        fitness, success = retrained(task, published, setting, environment)
        found = [{"fitness": fitness, "success": success, "trainings": 0, "comparisons": 0}]
    else:
        found = [searched(task, setting, designer(task, replay), environment)]
    wall_s = round(time.perf_counter() - started, 1)
    return [
        {**identity(task.pack, arm, setting, replay), "repetition": task.repetition, **line, "wall_s": wall_s}
        for arm, line in zip(task.arms, found, strict=True)
    ]


# --- raters alone -----------------------------------------------------------------------------------------------------


class Poll(NamedTuple):
    """How well raters' picks tell how good items are: over repetitions."""

    mistakes: float
    temperature: float
    agreement: Interval  # Kendall's tau of utilities and true worth
    regret: Interval  # of the item ranked first, in deviations of the worth; 0 is none


def poll(mistakes: float, temperature: float, *, repetitions: int = 50) -> Poll:
    """24 votes of one rater, each for the best and the worst of 4 of 12 items, and the utilities learned from them."""
    items, shown, votes = 12, 4, 24
    rater, names = SimulatedRater(mistakes=mistakes, temperature=temperature), [f"item{i:02d}" for i in range(items)]
    taus, regrets = [], []
    for repetition in range(repetitions):
        rng = np.random.default_rng([repetition])
        worth = rng.standard_normal(items)
        seen = rater.see({name: [value] for name, value in zip(names, worth, strict=True)})
        drawn = [rng.choice(names, shown, replace=False).tolist() for _ in range(votes)]
        said = [choice for sample in drawn for choice in choices(rater.answer(seen, sample, rng))]
        learned = utilities(names, said)
        taus.append(kendalltau(learned.mean, worth)[0])
        regrets.append((worth.max() - worth[int(learned.mean.argmax())]) / worth.std())
    return Poll(mistakes, temperature, interval(taus, of="mean"), interval(regrets, of="mean"))


# --- verdicts ---------------------------------------------------------------------------------------------------------


class Table:
    """What is known: lines of results by pack and arm, one for each repetition."""

    def __init__(self, found: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> None:
        self._lines = {
            key: {line["repetition"]: line for line in sorted(lines, key=lambda line: line["repetition"])}
            for key, lines in found.items()
        }
        self.packs = tuple(dict.fromkeys(pack for pack, _ in self._lines))

    def lines(self, pack: str, arm: str) -> list[Mapping[str, Any]]:
        return list(self._lines.get((pack, arm), {}).values())

    def repetitions(self, pack: str, arm: str) -> set[int]:
        return set(self._lines.get((pack, arm), {}))

    def fitness(self, pack: str, arm: str) -> list[float]:
        return [line["fitness"] for line in self.lines(pack, arm)]


class Answer(NamedTuple):
    """`estimate` None: too little is known for any interval."""

    estimate: Interval | None
    verdict: Verdict


def answer(estimate: Interval | None, bar: float, *, repetitions: Sequence[int]) -> Answer:
    """Whether the interval lies above the bar, or below it, or on it.

    Args:
        repetitions: of the arm that has fewest, on each pack.
    """
    enough = [count for count in repetitions if count >= LEAST]
    if estimate is None or len(enough) < max(LEAST_PACKS, len(repetitions)):
        return Answer(estimate, "cannot tell yet")
    return Answer(estimate, "yes" if estimate.low > bar else "no" if estimate.high < bar else "cannot tell yet")


def against(table: Table, ours: str, theirs: str, *, bar: float) -> Answer:
    """The chance that a repetition of one arm exceeds one of the other on the same pack, over packs."""
    counts = [min(len(table.fitness(pack, arm)) for arm in (ours, theirs)) for pack in table.packs]
    packs = [pack for pack, count in zip(table.packs, counts, strict=True) if count >= MIN_SEEDS]
    estimate = None
    if packs:
        estimate = probability_of_improvement(*([table.fitness(p, arm) for p in packs] for arm in (ours, theirs)))
    return answer(estimate, bar, repetitions=counts)


def improvement(table: Table) -> Answer:
    """Of the pick after the last round on the first round's: +1 better, 0 the same, -1 worse, over all repetitions."""
    signs, counts = [], []
    for pack in table.packs:
        curves = [line["after_rounds"] for line in table.lines(pack, "icpl_mistakes")]
        found = [float(np.sign(c[-1] - c[0])) for c in curves if c[0] is not None and c[-1] is not None]
        signs += found
        counts.append(len(found))
    return answer(interval(signs, of="mean") if len(signs) >= MIN_SEEDS else None, 0.0, repetitions=counts)


# --- the program ------------------------------------------------------------------------------------------------------


def shown_scores(scores: Sequence[float]) -> str:
    if len(scores) < MIN_SEEDS:
        return ", ".join(f"{score:.4g}" for score in scores) or "not measured"
    return str(interval(scores))


def shown(table: Table) -> str:
    """All arms on all packs as text: fitness by the metric, higher is better."""
    columns = "{:14} {:14} {:10} {:>4} {:28} {:28} {:>11} {:>9}  {}"
    heads = ("pack", "arm", "designer", "reps", "fitness", "success", "comparisons", "accuracy", "after each round")
    lines = [columns.format(*heads)]
    for pack in table.packs:
        for arm in ARMS:
            found = table.lines(pack, arm)
            if not found:
                continue
            accuracy = [line["accuracy"] for line in found if line.get("accuracy") is not None]
            curves = [c for line in found if arm == "icpl_mistakes" and None not in (c := line["after_rounds"])]
            rounds = " ".join(f"{value:.4g}" for value in np.median(curves, axis=0)) if curves else ""
            lines.append(
                columns.format(
                    pack,
                    arm,
                    found[0]["designer"],
                    len(found),
                    shown_scores([line["fitness"] for line in found]),
                    shown_scores([line["success"] for line in found]),
                    max(line["comparisons"] for line in found),
                    f"{np.mean(accuracy):.2f}" if accuracy else "",
                    rounds,
                )
            )
    return "\n".join(lines)


def report(figures: Figures, table: Table) -> None:
    """The figures of the arms and of the targets."""
    for pack in table.packs:
        for arm in ARMS:
            scores = table.fitness(pack, arm)
            estimate = interval(scores) if len(scores) >= MIN_SEEDS else None
            about = f"fitness, IQM over {len(scores)} repetitions"
            for part in ("point", "low", "high"):
                figures.add(
                    f"preferences.{pack}.{arm}.{part}", getattr(estimate, part) if estimate else None, "", about
                )
    asked = [line["comparisons"] for pack in table.packs for line in table.lines(pack, "icpl")]
    figures.add("preferences.icpl.comparisons", max(asked, default=None), "", "at most, of a repetition")
    targets = {
        "icpl_reaches_eureka": against(table, "icpl", "eureka", bar=0.5 - MARGIN),
        "icpl_above_prefppo_1500": against(table, "icpl", "prefppo_1500", bar=0.5),
        "icpl_above_short_1500": against(table, "icpl", "short_1500", bar=0.5),
        "improves_with_mistakes": improvement(table),
    }
    for name, found in targets.items():
        decided = {"yes": 1.0, "no": 0.0}.get(found.verdict)
        figures.add(f"preferences.{name}", decided, "", found.verdict)
        for part in ("point", "low", "high"):
            value = getattr(found.estimate, part) if found.estimate else None
            figures.add(f"preferences.{name}.{part}", value, "", "what the verdict is about")


def report_polls(figures: Figures, polls: Sequence[Poll]) -> None:
    for found in polls:
        name = f"preferences.raters.mistakes_{found.mistakes:g}.temperature_{found.temperature:g}"
        figures.add(f"{name}.tau", found.agreement.point, "", f"with the true order, {found.agreement}")
        figures.add(f"{name}.regret", found.regret.point, "", f"of the best one, deviations, {found.regret}")


def missing(packs: Sequence[str], count: int, table: Table) -> list[Task]:
    """What is still to be done, repetition by repetition, so that all arms get on alike."""
    arms = ("human", "short", "prefppo", *SEARCHES)
    tasks = [Task(pack, arm, repetition) for repetition in range(count) for pack in packs for arm in arms]
    return [t for t in tasks if any(t.repetition not in table.repetitions(t.pack, arm) for arm in t.arms)]


def known(packs: Sequence[str], setting: Setting, results: Results, replay: Path | None) -> Table:
    return Table({(p, arm): results.lines(identity(p, arm, setting, replay)) for p in packs for arm in ARMS})


def carry_out(tasks: Sequence[Task], setting: Setting, results: Results, replay: Path | None, deadline: float) -> None:
    """`deadline`: of `time.monotonic`; no task begins after it, those under way are finished."""
    if not tasks:
        return
    published = {pack: published_reward(pack) for pack in dict.fromkeys(task.pack for task in tasks)}
    workers, left = mp.get_context("spawn"), deque(tasks)
    with ProcessPoolExecutor(PROCESSES, workers, prepare_worker, (os.getpid(),)) as pool:
        running = set()
        while left or running:
            while left and len(running) < PROCESSES and time.monotonic() < deadline:
                task = left.popleft()
                running.add(pool.submit(perform, task, setting, published[task.pack], replay))
            if not running:
                return
            done = next(as_completed(running))
            running.remove(done)
            for line in done.result():
                results.add(line)
                told = "{pack} {arm} {repetition}: {fitness:.4g} (success {success:.2f}), {wall_s:.0f} s".format(**line)
                print(told, file=sys.stderr)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", nargs="+", choices=STEPS, default=PACKS, metavar="PACK", help=", ".join(STEPS))
    parser.add_argument("--repetitions", type=int, default=LEAST, help="of each arm on each pack (%(default)s)")
    parser.add_argument("--steps", type=int, help="env steps of one training (default: by pack)")
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin nothing after so many")
    parser.add_argument("--replay", type=Path, metavar="DIR", help="cassettes DIR/PACK/ARM.jsonl in place of builtin")
    parser.add_argument("--results", type=Path, metavar="FILE", help="keep every repetition here, and go on from there")
    parser.add_argument("--quick", action="store_true", help="under 5 minutes: few rewards, one pack, no verdict")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args()
    if args.quick and (args.results or args.replay):
        parser.error("--quick neither reads nor keeps results, and is of builtin alone")
    if args.quick:
        args.packs, args.repetitions, args.minutes = QUICK_PACKS, 1, min(args.minutes, 3.0)
    return args


def main() -> None:
    args = arguments()
    figures, deadline = Figures(), time.monotonic() + 60 * args.minutes
    setting = QUICK if args.quick else Setting(steps=args.steps)
    results = Results(args.results)
    look = lambda: known(args.packs, setting, results, args.replay)
    polls = [poll(mistakes, temperature) for mistakes in (0.0, 0.1, 0.2) for temperature in (0.0, 0.5, 1.0)]
    carry_out(missing(args.packs, args.repetitions, look()), setting, results, args.replay, deadline)
    table = look()
    print(shown(table))
    print(LEGEND)
    report(figures, table)
    report_polls(figures, polls)
    figures.write(args.json)


if __name__ == "__main__":
    main()
