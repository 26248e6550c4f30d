"""The program that compares our returns with Stable-Baselines3's: verdicts, what it keeps, and what it measures."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from rewardsmith.envs import resolve_env
from rewardsmith.train.seeding import evaluation_seeds
from tests.helpers.tiny_world import GoNear, Output

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import parity
from parity import LEAST, MEASURING, Comparison, Results, Study, Task

FAST = Comparison("cartpole", "fast", 2048)
SPREAD = np.linspace(0.9, 1.1, LEAST)


# --- verdicts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "sb3", "verdict"),
    [
        (103 * SPREAD, 100 * SPREAD, "equivalent"),
        (-103 * SPREAD, -100 * SPREAD, "equivalent"),
        (150 * SPREAD, 100 * SPREAD, "different"),
        (60 * SPREAD, 100 * SPREAD, "different"),
        (115 * SPREAD, 100 * SPREAD, "cannot tell yet"),
        (100 * SPREAD**8, 100 * SPREAD**8, "cannot tell yet"),  # equal, but too far spread for so few seeds
        (100 * SPREAD[1:], 100 * SPREAD, "cannot tell yet"),  # too few seeds, however close
        (500 * np.ones(LEAST), 500 * np.ones(LEAST), "equivalent"),
        (np.zeros(LEAST), SPREAD - 1, "cannot tell yet"),  # nothing to divide by
    ],
)
def test_verdicts(ours: Sequence[float], sb3: Sequence[float], verdict: str) -> None:
    assert parity.standing(ours, sb3).verdict == verdict


@pytest.mark.parametrize(("ours", "sb3", "wanted"), [(110, 100, 0.1), (80, 100, -0.2), (-80, -100, 0.2)])
def test_differences_are_relative_and_positive_where_ours_is_better(ours: float, sb3: float, wanted: float) -> None:
    found = parity.relative_difference(ours * SPREAD, sb3 * SPREAD)
    assert found.point == pytest.approx(wanted)
    assert found.low < wanted < found.high


def test_two_seeds_have_no_interval() -> None:
    assert parity.standing([1.0, 2.0], [1.0, 2.0, 3.0]).difference is None


# --- what is kept --------------------------------------------------------------------------------------------------


def lines_of(comparison: Comparison, who: parity.Trainer, returns: Sequence[float]) -> list[dict[str, Any]]:
    config = parity.settings(comparison, resolve_env(comparison.env))
    return [
        {**parity.identity(comparison, who, config), "seed": seed, "return": value}
        for seed, value in enumerate(returns)
    ]


def test_a_torn_line_does_not_count_and_harms_no_other(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    first, second, third = lines_of(FAST, "ours", [1.0, 2.0, 3.0])
    Results(file).add(first)
    with file.open("a") as torn:
        torn.write(json.dumps(second)[:40])
    Results(file).add(third)
    wanted = parity.identity(FAST, "ours", parity.settings(FAST, resolve_env("cartpole")))
    assert Results(file).returns(wanted) == {0: 1.0, 2: 3.0}


def test_only_lines_of_the_same_settings_and_versions_count(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    (line,) = lines_of(FAST, "sb3", [7.0])
    others = [
        *lines_of(FAST._replace(steps=4096), "sb3", [1.0]),
        *lines_of(FAST._replace(preset="sb3"), "sb3", [1.0]),
        *lines_of(FAST, "ours", [1.0]),
        {**line, "versions": {**line["versions"], "torch": "1.0"}, "return": 1.0},
    ]
    results = Results(file)
    for each in [line, *others]:
        results.add(each)
    study = Study([FAST], Results(file), max_seeds=8)
    assert study.standing(FAST).sb3 == (7.0,) and study.standing(FAST).ours == (1.0,)


# --- what is trained -----------------------------------------------------------------------------------------------


def test_rounds_go_on_with_what_is_missing() -> None:
    results = Results(None)
    study = Study([FAST], results, max_seeds=6)
    sb3, ours = study.next_round()
    assert sb3 == [Task(FAST, "sb3", (seed,)) for seed in range(4)]
    assert ours == [Task(FAST, "ours", (0, 2)), Task(FAST, "ours", (1, 3))]
    for line in [*lines_of(FAST, "sb3", [1.0] * 4), *lines_of(FAST, "ours", [1.0, 2.0, 3.0])]:
        results.add(line)
    assert study.next_round() == [[Task(FAST, "ours", (3,))]]
    results.add(lines_of(FAST, "ours", [1.0] * 4)[3])
    ours, sb3 = study.next_round()  # the other goes first, and no more than are allowed
    assert ours == [Task(FAST, "ours", (4,)), Task(FAST, "ours", (5,))]
    assert sb3 == [Task(FAST, "sb3", (4,)), Task(FAST, "sb3", (5,))]


def test_nothing_more_is_trained_for_what_is_decided() -> None:
    results, other = Results(None), FAST._replace(preset="sb3")
    for line in [*lines_of(FAST, "sb3", [500.0] * LEAST), *lines_of(FAST, "ours", [500.0] * LEAST)]:
        results.add(line)
    study = Study([FAST, other], results, max_seeds=64)
    assert {task.comparison for turn in study.next_round() for task in turn} == {other}
    assert Study([FAST], results, max_seeds=64).next_round() == []


def test_stable_baselines_gets_the_settings_and_learning_rates_of_ours() -> None:
    ppo = pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed").PPO
    config = parity.settings(Comparison("cartpole", "fast", 4 * 1024), resolve_env("cartpole"))
    arguments = parity.sb3_arguments(config)
    assert set(arguments) < set(inspect.signature(ppo.__init__).parameters)
    assert config.anneal and config.iterations == 4
    remaining = [1 - (i + 1) / 4 for i in range(4)]  # as it is when the peer learns on its i-th rollout
    rates = [config.learning_rate * (1 - i / 4) for i in range(4)]
    assert [arguments["learning_rate"](r) for r in remaining] == pytest.approx(rates)
    assert parity.sb3_arguments(parity.settings(FAST._replace(preset="sb3"), resolve_env("cartpole"))) == {}


# --- what is measured ----------------------------------------------------------------------------------------------


class HopperPays(GoNear):
    """Hopper-v5's reward; `fallen` is paid for a step that ends the episode."""

    def __init__(self, fallen: float) -> None:
        super().__init__()
        self._fallen = fallen

    def __call__(self, obs: Any, action: torch.Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        healthy = torch.where(next_obs["terminated"], self._fallen, 1.0)
        return Output(next_obs["forward_velocity"] + healthy - 1e-3 * action.square().sum(1), {}, None)


@pytest.mark.parametrize("fallen", [0.0, 1.0])
def test_a_reward_is_the_published_one_in_every_step_or_is_found_out(fallen: float) -> None:
    paid, native = parity.random_rewards(resolve_env("hopper").make_world(4), HopperPays(fallen))
    differ = ~torch.isclose(paid, native, rtol=1e-4, atol=1e-4)
    assert bool(differ.any()) == (fallen == 1.0)
    assert int(differ.sum()) < 0.2 * differ.numel()  # the ends of episodes, nothing else


class One(GoNear):
    """CartPole-v1's reward."""

    def __call__(self, obs: Any, action: torch.Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        return Output(torch.ones(len(action)), {}, None)


@pytest.mark.parametrize("who", parity.TRAINERS)
def test_returns_are_those_of_gymnasium(who: parity.Trainer) -> None:
    """The final policy, run by hand in the environment that it stands for."""
    if who == "sb3":
        pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed")
    environment = resolve_env("cartpole")
    config, task = parity.settings(FAST, environment), Task(FAST, who, (3,))
    if who == "ours":
        trained = parity.train_ours(task, environment, config, One())
    else:
        trained = parity.train_sb3(task, environment, config)
    assert trained.env_steps == 2048
    (policy,) = trained.policies
    (scores,) = parity.evaluate(environment, environment.native_metric(), [policy], episodes=5, seed=MEASURING)
    env, returns = gym.make("CartPole-v1"), []
    for seed in evaluation_seeds(MEASURING, 5):
        obs, _ = env.reset(seed=int(seed))
        total, over = 0.0, False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(int(policy.act(torch.from_numpy(obs)[None])[0]))
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    assert scores.fitness.tolist() == returns
