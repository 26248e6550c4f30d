"""Variants of parameters, and the screening that keeps what agrees with the metric and is not the same again."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardsmith.errors import UsageError
from rewardsmith.tune import RewardFails, Segments, agreement, screen, tunable, variants
from tests.reward.corpus.benign import BENIGN
from tests.tune.worlds import (
    DRIFT,
    HEIGHT,
    REMEMBERING,
    SPEED,
    compiled,
    linear,
    make_bank,
    mean_per_episode,
    measured,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def bank():
    return make_bank(150)


@pytest.fixture(scope="module")
def three(jail):
    return linear(jail, {"speed": SPEED, "drift": DRIFT, "height": HEIGHT}, {"speed": 1.0, "drift": -0.2, "height": 0})


def test_variants_keep_signs_and_cover_their_range(three) -> None:
    found = variants(three, 64, rng())
    assert found[0] == {"speed": 1.0, "drift": -0.2, "height": 0.0}
    assert len(found) == len({tuple(v.values()) for v in found}) == 64
    for name, default in (("speed", 1.0), ("drift", -0.2)):
        logs = np.array([math.log(v[name] / default) for v in found[1:]]) / math.log(4)  # fails where a sign changes
        assert np.abs(logs).max() <= 1.001
        assert np.histogram(logs, bins=9, range=(-1, 1))[0].tolist() == [7] * 9
    heights = np.array([v["height"] for v in found[1:]])
    assert 25 <= (heights == 0).sum() <= 38
    assert (heights < 0).sum() >= 10 and (heights > 0).sum() >= 10
    moved = np.abs(heights[heights != 0])
    assert moved.min() >= 0.25 and moved.max() <= 4 and moved.max() / moved.min() > 8


def test_variants_depend_on_the_seed_alone(three) -> None:
    assert variants(three, 20, rng(3)) == variants(three, 20, rng(3))
    assert variants(three, 20, rng(3)) != variants(three, 20, rng(4))


def test_structural_parameters_are_left_alone(jail) -> None:
    program = compiled(jail, BENIGN["structural_parameter"])
    assert program.structural == ("mode", "power") and tunable(program) == ["scale"]
    found = variants(program, 5, rng())
    assert len(found) == 5 and all(set(v) == {"scale"} for v in found)


def test_without_parameters_there_is_one_variant(jail) -> None:
    assert variants(compiled(jail, BENIGN["zeros_with_len"]), 10, rng()) == [{}]


@pytest.mark.parametrize("options", [{"count": 0, "keep": 1}, {"count": 5, "keep": 0}])
def test_less_than_one_makes_no_sense(three, bank, options) -> None:
    with pytest.raises(UsageError, match="make"):
        screen(three, bank, **options, rng=rng())


def test_screening_finds_the_right_sign_and_scale(three, bank) -> None:
    """The metric wants speed, and height twice as much, but downwards; drift does not matter."""
    velocity, height = (mean_per_episode(bank, bank.next_obs[k]) for k in ("velocity", "height"))
    del velocity
    speed = mean_per_episode(bank, bank.next_obs["velocity"][:, 0])
    known = measured(bank, speed - 2 * height)
    found = screen(three, known, count=200, keep=3, rng=rng())
    assert not found.inconclusive and len(found.kept) == 3
    [default] = agreement(three, known).found
    best = found.kept[0]
    assert best.agreement is not None and default is not None
    assert best.agreement.per_step.tau > 0.9 > 0.4 > default.per_step.tau
    for variant in found.kept:
        assert variant.parameters["height"] / variant.parameters["speed"] == pytest.approx(-2, rel=0.6)
        assert abs(variant.parameters["drift"]) < 0.5 * variant.parameters["speed"]
        assert variant.agreement is not None and variant.agreement.score >= best.agreement.score - 0.05


def test_screening_is_deterministic(three, bank) -> None:
    known = measured(bank, mean_per_episode(bank, bank.next_obs["height"]))
    first = screen(three, known, count=30, keep=4, rng=rng(1))
    assert first == screen(three, known, count=30, keep=4, rng=rng(1))
    assert first.kept != screen(three, known, count=30, keep=4, rng=rng(2)).kept


def test_inconclusive_episodes_give_diverse_variants(three, bank) -> None:
    found = screen(three, measured(bank, torch.zeros(150)), count=40, keep=4, rng=rng())
    assert "1 different values" in found.inconclusive
    assert found.kept[0].parameters == three.parameters
    assert all(variant.agreement is None for variant in found.kept)
    some = variants(three, 40, rng())[:4]
    assert nearest_pair(three, bank, [v.parameters for v in found.kept]) > 2 * nearest_pair(three, bank, some)


def nearest_pair(program, bank, settings) -> float:
    """Smallest angle between the rewards of two settings, in radians."""
    rows = torch.stack([Segments.episodes(bank).rewards(program, s).double() for s in settings])
    unit = rows / rows.norm(dim=1, keepdim=True)
    cosine = (unit @ unit.T).clamp(-1, 1)
    return float(torch.acos(cosine[~torch.eye(len(settings), dtype=torch.bool)]).min())


def test_the_same_up_to_scale_is_kept_once(jail, bank) -> None:
    program = linear(jail, {"speed": SPEED}, {"speed": 1.0})
    known = measured(bank, mean_per_episode(bank, bank.next_obs["velocity"][:, 0]))
    [only] = screen(program, known, count=20, keep=5, rng=rng()).kept
    assert only.parameters == {"speed": 1.0}


def test_a_bonus_for_every_step_is_not_the_same_as_none(jail, bank) -> None:
    """It decides whether episodes should be long, so an offset makes another reward."""
    program = linear(jail, {"speed": SPEED, "alive": 'torch.ones_like(next_obs["height"])'}, {"speed": 1, "alive": 1})
    assert len(screen(program, measured(bank, torch.zeros(150)), count=20, keep=5, rng=rng()).kept) == 5


def test_variants_that_are_not_finite_are_left_out(jail, bank) -> None:
    code = (
        "def compute_reward(obs, action, next_obs, *, limit={limit}, weight=1.0):\n"
        '    r = torch.sqrt(limit - next_obs["contact"].float()) + weight * next_obs["height"]\n    return r, {{}}\n'
    )
    known = measured(bank, mean_per_episode(bank, bank.next_obs["height"]))
    kept = screen(compiled(jail, code.format(limit=1.5)), known, count=30, keep=20, rng=rng()).kept
    assert len(kept) > 3 and all(variant.parameters["limit"] >= 1 for variant in kept)
    with pytest.raises(RewardFails, match="whatever its parameters"):
        screen(compiled(jail, code.format(limit=0.1)), known, count=10, keep=2, rng=rng())


def test_rewards_with_memory_are_screened_too(jail, bank) -> None:
    program = compiled(jail, REMEMBERING)
    known = measured(bank, mean_per_episode(bank, bank.next_obs["velocity"][:, 0]))
    best = screen(program, known, count=20, keep=1, rng=rng()).kept[0]
    assert best.parameters["speed_weight"] / best.parameters["stage_weight"] > 2
