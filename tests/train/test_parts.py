"""Normalizers, random streams and goals, each on its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rewardsmith.errors import EnvironmentFault, UsageError
from rewardsmith.train import load_metric
from rewardsmith.train.normalize import ObsNormalizer, RewardScale
from rewardsmith.train.seeding import EpisodeSeeds, generator
from rewardsmith.types import Goal
from tests.helpers.tiny_world import PointEnvironment


def test_normalizer_knows_all_it_has_seen() -> None:
    torch.manual_seed(0)
    normalizer, seen = ObsNormalizer(2, 3, "cpu"), []
    for n in (5, 1, 40):
        x = torch.randn(2, n, 3) * torch.tensor([1.0, 1e-3, 1e4]) + torch.tensor([0.0, 5.0, -1e5])
        normalizer.update(x)
        seen.append(x)
    rows = torch.cat(seen, 1).double()
    torch.testing.assert_close(normalizer.mean, rows.mean(1, keepdim=True))
    torch.testing.assert_close(normalizer.var, rows.var(1, keepdim=True, unbiased=False))
    assert normalizer(rows.float()).abs().max() <= 10


def test_reward_scale_divides_by_the_deviation_of_returns() -> None:
    torch.manual_seed(0)
    reward, done = torch.randn(50, 1, 4) * 7, torch.zeros(50, 1, 4, dtype=torch.bool)
    done[20, 0, 1] = True
    scale = RewardScale(1, 4, 0.9, scale_free=True, device="cpu")
    got = scale(reward, done)
    returns, running = [], np.zeros(4)
    for t in range(50):
        running = running * 0.9 + reward[t, 0].numpy()
        returns.append(running.copy())
        running = running * ~done[t, 0].numpy()
    torch.testing.assert_close(got, (reward / np.std(returns)).float().clamp(-10, 10), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scale.returns[0], running, rtol=1e-6)


def test_streams_are_reproducible_and_apart() -> None:
    keys = [(r, s, p, i) for r in (0, 1) for s in (0, 1) for p in ("noise", "shuffle") for i in (0, 1)]
    draws = {k: generator(*k).integers(2**62) for k in keys}  # type: ignore[arg-type]
    assert len(set(draws.values())) == len(keys)
    assert all(generator(*k).integers(2**62) == v for k, v in draws.items())  # type: ignore[arg-type]


def test_every_episode_of_every_environment_has_a_seed_of_its_own() -> None:
    seeds = EpisodeSeeds(0, [0, 1, 0], 4)
    rows = np.arange(12)
    drawn = np.stack([seeds.draw(rows) for _ in range(50)])
    assert np.array_equal(drawn[:, :4], drawn[:, 8:])  # the same seed again: candidates are compared on equal terms
    assert len(np.unique(drawn[:, :8])) == 50 * 8
    again = EpisodeSeeds(0, [1], 4)
    assert again.draw(np.array([2]))[0] == drawn[0, 6]


METRIC = """
def step(features, previous):
    return {"x": features["position"]}

def episode(sums, last):
    return last["x"], last["x"] > 0
"""


def test_a_metric_file_is_a_goal(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(METRIC)
    metric = load_metric(PointEnvironment(), Goal(kind="metric_file", path=str(path)))
    values = metric.step(
        {"position": torch.tensor([2.0])}, {}, action=torch.zeros(1), native_reward=torch.zeros(1),
        terminated=torch.zeros(1, dtype=torch.bool),
    )  # fmt: skip
    assert values["x"].tolist() == [2.0]


@pytest.mark.parametrize("content", ["import nothing_like_this", "x = 1", "def step(:"])
def test_a_broken_metric_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(EnvironmentFault, match=r"mine\.py"):
        load_metric(PointEnvironment(), Goal(kind="metric_file", path=str(path)))


@pytest.mark.parametrize("kind", ["metric_file", "model"])
def test_a_missing_goal_file_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError, match="gone"):
        load_metric(PointEnvironment(), Goal(kind=kind, path=str(tmp_path / "gone.py")))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["native", "people"])
def test_goals_without_a_metric_use_the_environments_own(kind: str) -> None:
    assert load_metric(PointEnvironment(), Goal(kind=kind)).about  # type: ignore[arg-type]
