"""A goal with checks: success counts only in episodes that meet all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rewardsmith.envs import PackMetric, resolve_env, score_episodes
from rewardsmith.train import load_metric
from rewardsmith.train.checks import CheckedMetric
from rewardsmith.types import Check, Goal

# four episodes: far and slow, far and fast, near and slow, near and fast; both metrics call their quantity "value"
LENGTHS = torch.tensor([2, 2, 1, 1])
ROWS = {
    "position": torch.tensor([0.0, 9.0, 0.0, 9.0, 1.0, 1.0]),
    "speed": torch.tensor([1.0, 2.0, 5.0, 1.0, 1.0, 5.0]),
}
FAR = PackMetric(
    lambda features, previous: {"value": features["position"]},
    lambda sums, last: (last["value"], last["value"] > 5),
    "far",
)
SLOW = PackMetric(
    lambda features, previous: {"value": features["speed"]},
    lambda sums, last, high: (-high["value"], high["value"] < 3),
    "slow",
)
CHECK_FILE = (
    "def step(features, previous):\n    return {'speed': features['velocity'].abs()}\n\n"
    "def episode(sums, last, high):\n    return -high['speed'], high['speed'] < 0.03\n"
)


def judge(metric) -> tuple[list[float], list[float]]:
    nothing = torch.zeros(6)
    quantities = metric.step(ROWS, ROWS, action=nothing, native_reward=nothing, terminated=nothing)
    fitness, success = score_episodes(metric, quantities, LENGTHS)
    return fitness.tolist(), success.tolist()


def test_success_counts_where_every_check_holds_and_fitness_stays() -> None:
    assert judge(FAR)[1] == [1, 1, 0, 0]
    assert judge(SLOW)[1] == [1, 0, 1, 0]
    assert judge(CheckedMetric(FAR, [SLOW])) == ([9, 9, 1, 1], [1, 0, 0, 0])
    assert judge(CheckedMetric(FAR, [SLOW, SLOW])) == judge(CheckedMetric(FAR, [SLOW]))
    assert CheckedMetric(FAR, [SLOW]).about == "far; and slow"


def test_where_the_goal_knows_no_success_the_checks_decide() -> None:
    unknown = PackMetric(FAR._step, lambda sums, last: (last["value"], torch.zeros(4)), "return")
    assert judge(CheckedMetric(unknown, [SLOW], knows_success=False)) == ([9, 9, 1, 1], [1, 0, 1, 0])
    assert judge(CheckedMetric(unknown, [SLOW]))[1] == [0, 0, 0, 0]


def test_a_goal_is_loaded_with_its_checks(tmp_path: Path) -> None:
    file = tmp_path / "gently.py"
    file.write_text(CHECK_FILE)
    check = Check(kind="metric_file", path=str(file), wish="gently", about="never fast")
    env = resolve_env("mountain_car_continuous")
    metric = load_metric(env, Goal(kind="pack", task="reach_flag", checks=(check,)))
    assert metric.about.endswith("; and never fast")
    native = load_metric(resolve_env("Pendulum-v1"), Goal(kind="native", checks=(check,)))
    assert isinstance(native, CheckedMetric) and not native._knows_success


def test_checks_are_part_of_what_is_measured_and_their_files_are_not() -> None:
    plain = Goal(kind="pack", task="reach_flag")
    one = Check(kind="model", code="x", path="check-1.graph.json", wish="gently")
    checked = plain.model_copy(update={"checks": (one,)})
    assert checked.digest != plain.digest
    moved = plain.model_copy(update={"checks": (one.model_copy(update={"path": "/elsewhere"}),)})
    assert moved.digest == checked.digest
    other = plain.model_copy(update={"checks": (one.model_copy(update={"code": "y"}),)})
    assert other.digest != checked.digest
    with pytest.raises(ValueError, match="checks"):
        Check.model_validate({"kind": "native", "wish": "a", "checks": []})  # or trust could not see them
