"""Ranked signals against weighted ones when a unit changes: `python benchmarks/hierarchy.py`.

The mountain car with three signals: whether the flag was reached, energy gained, and effort saved. Effort is stated in
units a thousand times smaller, as it is, and a thousand times larger. HERON compares recorded episodes level by level
and fits the weights of the three terms to the comparisons; the rival is their sum with HERON's fixed weights 1, 1/2 and
1/4. Each reward, as a graph, is given to the ordinary trainer; the clean evaluator measures how it went.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from figures import Figures, options
from torch import Tensor

from rewardsmith.blend import weighted_sum
from rewardsmith.engine import LocalEngine
from rewardsmith.envs import Environment, resolve_env
from rewardsmith.prefer.hierarchy import Learned, Pairs, learn, margins, preferences
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.reward.graph import RewardGraph, to_json
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train import PpoConfig, train_population
from rewardsmith.types import Goal

PACK, EPISODES, ENV_STEPS, SEEDS, QUICK_SEEDS = "mountain_car_continuous", 200, 40_000, 5, 3
UNITS = {"small": 1e-3, "usual": 1.0, "large": 1e3}
RIVAL = {"reached": 1.0, "gain": 0.5, "saved": 0.25}
TERMS = {
    "reached": 'next_obs["terminated"].float()',
    "gain": 'next_obs["energy"] - obs["energy"]',
    "saved": "-{unit} * action[:, 0] ** 2",
}
REWARD = """
def compute_reward(obs, action, next_obs):
    pay = {pay}
    return pay, {{"pay": pay}}
"""


def term_graphs(environment: Environment, unit: float) -> dict[str, RewardGraph]:
    """The three terms as rewards. Raises: AssertionError: one does not compile."""
    found = {}
    with reward_jail() as jail:
        for name, pay in TERMS.items():
            result = compile_reward(REWARD.format(pay=pay.format(unit=unit)), environment.interface, jail)
            assert result.program is not None, result.findings
            found[name] = result.program.graph
    return found


def record(environment: Environment, programs: Mapping[str, RewardProgram]) -> Tensor:
    """What the terms pay, (EPISODES, T, 3), zero after the end, under scripted drivers from lazy to skilled.

    Each pushes the way it rolls with a probability and a force of its own, else at random.
    """
    world, rng = environment.make_world(EPISODES), np.random.default_rng(0)
    skill, force = (torch.from_numpy(rng.uniform(0, 1, EPISODES)).float() for _ in range(2))
    paid = torch.zeros(EPISODES, environment.horizon, len(programs))
    running = torch.ones(EPISODES, dtype=torch.bool)
    world.reset(np.arange(EPISODES), np.arange(EPISODES, dtype=np.uint64))
    for t in range(environment.horizon):
        before = {name: value.clone() for name, value in world.featurize(world.fields()).items()}
        noise = torch.from_numpy(rng.uniform(-1, 1, EPISODES)).float()
        skilled = torch.from_numpy(rng.uniform(0, 1, EPISODES)).float() < skill
        action = torch.where(skilled, before["velocity"].sign() * force, noise * force)[:, None]
        world.step(action)
        after = world.featurize(world.fields()) | {"terminated": world.terminated}
        rows = torch.stack([program(before, action, after).total for program in programs.values()], 1)
        paid[:, t] = torch.where(running[:, None], rows, 0.0)
        running &= ~world.terminated
        if len(ended := world.ended()):
            world.reset(ended, ended.astype(np.uint64))
    world.close()
    return paid


def learned(environment: Environment, graphs: Mapping[str, RewardGraph]) -> tuple[Pairs, Learned]:
    """Comparisons of recorded episodes by their sums of the terms, and the weights that follow from them."""
    paid = record(environment, {name: RewardProgram(graph) for name, graph in graphs.items()})
    signals = paid.double().sum(1)
    pairs = preferences(signals, (1, 1, 1), margins(signals, sigma_mult=0.5))
    return pairs, learn(paid, pairs, hidden=(), steps=1000, learning_rate=0.02)


def fitness(environment: Environment, rewards: Mapping[str, RewardGraph], seeds: int) -> dict[str, list[list[float]]]:
    """Learning curves, a list of fitness values for each seed, by reward."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, graph in rewards.items():
            paths[name] = Path(folder) / f"{name}.json"
            paths[name].write_text(to_json(graph), encoding="utf-8")
        results = train_population(
            environment.spec,
            Goal(kind="pack", task=environment.default_task or ""),
            paths,
            seeds=range(seeds),
            ppo=PpoConfig.for_environment(environment, env_steps=ENV_STEPS, eval_episodes=16),
            engine=LocalEngine(),
            out=folder,
            racing=False,
        )
    return {name: [[p.fitness for p in m.curve] for m in result.members] for name, result in results.items()}


def apart(curves: Mapping[str, list[list[float]]], way: str) -> float:
    """Largest gap between units of one way's mean learning curves, at any point."""
    means = [np.mean(curves[f"{way}_{unit}"], axis=0) for unit in UNITS]
    return float(np.ptp(means, axis=0).max())


def main() -> None:
    args = options(__doc__ or "")
    torch.set_num_threads(1)
    seeds, figures, environment = QUICK_SEEDS if args.quick else SEEDS, Figures(), resolve_env(PACK)
    rewards, judged = {}, {}
    for unit, factor in UNITS.items():
        graphs = term_graphs(environment, factor)
        judged[unit], found = learned(environment, graphs)
        weights = dict(zip(TERMS, found.scorer.weights().tolist(), strict=True))
        rewards[f"heron_{unit}"] = weighted_sum(graphs, weights, environment.interface)
        rewards[f"sum_{unit}"] = weighted_sum(graphs, RIVAL, environment.interface)
        figures.add(
            f"hierarchy.accuracy.{unit}", found.accuracy, "", "share of the comparisons that the reward agrees with"
        )
    usual = judged["usual"]
    same = all(torch.equal(usual.better, p.better) and torch.equal(usual.worse, p.worse) for p in judged.values())
    curves = fitness(environment, rewards, seeds)
    noise = max(float(np.std(curves[f"heron_{unit}"], axis=0).max()) for unit in UNITS)
    figures.add("hierarchy.same_pairs", float(same), "", "1 if all units give the same comparisons; target 1")
    figures.add("hierarchy.intransitive", usual.intransitive, "", "share of cycles among decided triples of episodes")
    for name, found in curves.items():
        final = statistics.mean(curve[-1] for curve in found)
        figures.add(f"hierarchy.{name}", final, "", f"mean fitness of {seeds} seeds after {ENV_STEPS:,} env steps")
    figures.add("hierarchy.heron.apart", apart(curves, "heron"), "", "largest gap between the units' learning curves")
    figures.add("hierarchy.sum.apart", apart(curves, "sum"), "", "the same of the weighted sum")
    figures.add(
        "hierarchy.seed_noise", noise, "", "largest deviation among seeds of one HERON reward; aim: gap within it"
    )
    figures.write(args.json)


if __name__ == "__main__":
    main()
