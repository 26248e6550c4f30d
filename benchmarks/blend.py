"""What blending makes of an opposing reward: `python benchmarks/blend.py`.

CartPole, and the mountain car: the primary reward asks for the task, the auxiliary one pays, and pays more, for what
works against it. From the naive sum of both BARFI learns weights beside a policy. Then the ordinary trainer is given
three rewards, each as a graph: the primary alone, the naive sum, and the blend. What counts is the fitness that the
clean evaluator measures, in which no reward has a part. Last, a helpful auxiliary reward: how much sooner than with the
primary one alone, which is paid at the flag only, the mountain car gets there.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from figures import Figures, options

from rewardsmith.blend import blend, weighted_sum
from rewardsmith.engine import LocalEngine
from rewardsmith.envs import resolve_env
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.reward.graph import to_json
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train import PpoConfig, train_population
from rewardsmith.types import Goal

REWARD = """
def compute_reward(obs, action, next_obs):
    pay = {pay}
    return pay, {{"pay": pay}}
"""


class Case(NamedTuple):
    """A pack, what the primary and the auxiliary reward pay, and env steps to learn it in."""

    pack: str
    primary: str
    auxiliary: str
    env_steps: int


CASES = {
    "cartpole": Case(
        "cartpole", 'torch.ones_like(next_obs["pole_angle"])', '-2.0 * torch.ones_like(next_obs["pole_angle"])', 60_000
    ),
    "mountain_car": Case(
        "mountain_car_continuous",
        'next_obs["energy"] - obs["energy"] + 0.2 * next_obs["terminated"].float()',
        '-2.0 * (next_obs["energy"] - obs["energy"])',
        40_000,
    ),
}
HELPFUL = Case(
    "mountain_car_continuous", 'next_obs["terminated"].float()', 'next_obs["energy"] - obs["energy"]', 40_000
)
SOLVED = 0.9  # of the episodes that ended in a rollout reached the flag
SEEDS, QUICK_SEEDS = 5, 3


def programs(case: Case) -> dict[str, RewardProgram]:
    """The two parts, `primary` and the auxiliary one. Raises: AssertionError: one does not compile."""
    found, interface = {}, resolve_env(case.pack).interface
    with reward_jail() as jail:
        for name, pay in (("primary", case.primary), ("auxiliary", case.auxiliary)):
            result = compile_reward(REWARD.format(pay=pay), interface, jail)
            assert result.program is not None, result.findings
            found[name] = result.program
    return found


def learned_weights(case: Case, parts: Mapping[str, RewardProgram], seed: int) -> dict[str, float]:
    environment = resolve_env(case.pack)
    ppo = PpoConfig.for_environment(environment, env_steps=case.env_steps)
    return blend(environment, parts, "primary", ppo, start=dict.fromkeys(parts, 1.0), seed=seed).weights


def fitness(case: Case, rewards: Mapping[str, str], seeds: int, folder: Path) -> dict[str, list[float]]:
    """Mean fitness of each seed's last evaluation by reward, trained on graphs as JSON."""
    environment = resolve_env(case.pack)
    paths = {}
    for name, graph in rewards.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(graph, encoding="utf-8")
    results = train_population(
        environment.spec,
        Goal(kind="pack", task=environment.default_task or ""),
        paths,
        seeds=range(100, 100 + seeds),
        ppo=PpoConfig.for_environment(environment, env_steps=case.env_steps, eval_episodes=16),
        engine=LocalEngine(),
        out=folder,
        racing=False,
    )
    return {name: [member.curve[-1].fitness for member in result.members] for name, result in results.items()}


def measure(name: str, case: Case, seeds: int, figures: Figures, folder: Path) -> None:
    parts = programs(case)
    graphs = {part: program.graph for part, program in parts.items()}
    interface = resolve_env(case.pack).interface
    found = [learned_weights(case, parts, seed) for seed in range(seeds)]
    ratios = [w["auxiliary"] / w["primary"] for w in found]
    assert all(w["primary"] > 0 for w in found), found
    blended = found[ratios.index(statistics.median_high(ratios))]
    rewards = {
        "alone": to_json(graphs["primary"]),
        "naive": to_json(weighted_sum(graphs, dict.fromkeys(graphs, 1.0), interface)),
        "blend": to_json(weighted_sum(graphs, blended, interface)),
    }
    reached = {reward: statistics.mean(scores) for reward, scores in fitness(case, rewards, seeds, folder).items()}
    figures.add(f"blend.{name}.weight", max(ratios), "", f"largest of {seeds} weights against the primary; target <= 0")
    for reward, score in reached.items():
        figures.add(
            f"blend.{name}.{reward}",
            score,
            "",
            f"mean fitness of {seeds} fresh seeds after {case.env_steps:,} env steps",
        )
    ratio = reached["blend"] / reached["alone"]
    figures.add(f"blend.{name}.ratio", ratio, "x", "blend over primary alone; target >= 0.95")


def measure_help(case: Case, seeds: int, figures: Figures) -> None:
    parts, environment = programs(case), resolve_env(case.pack)
    ppo = PpoConfig.for_environment(environment, env_steps=case.env_steps)
    spent: dict[str, list[int]] = {"alone": [], "blend": []}
    weights = []
    for seed in range(seeds):
        alone = blend(environment, {"primary": parts["primary"]}, "primary", ppo, seed=seed)
        both = blend(environment, parts, "primary", ppo, seed=seed)
        weights.append(both.weights["auxiliary"])
        for way, found in (("alone", alone), ("blend", both)):
            solved = (point.env_steps for point in found.course if point.primary >= SOLVED)
            spent[way].append(next(solved, case.env_steps))
    figures.add(
        "blend.helpful.weight", min(weights), "", f"smallest of {seeds} weights of the helpful reward; target > 0"
    )
    for way, steps in spent.items():
        figures.add(
            f"blend.helpful.{way}", statistics.median(steps), "", f"env steps until solved, at most {case.env_steps:,}"
        )
    gain = statistics.median(spent["alone"]) / statistics.median(spent["blend"])
    figures.add("blend.helpful.speed", gain, "x", "primary alone over blend, at least; target >= 2")


def main() -> None:
    args = options(__doc__ or "")
    torch.set_num_threads(1)
    figures, seeds = Figures(), QUICK_SEEDS if args.quick else SEEDS
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            out = Path(folder) / name
            out.mkdir()
            measure(name, case, seeds, figures, out)
    measure_help(HELPFUL, seeds, figures)
    figures.write(args.json)


if __name__ == "__main__":
    main()
