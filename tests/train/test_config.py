from __future__ import annotations

import pytest
from pydantic import ValidationError

from rewardsmith.errors import UsageError
from rewardsmith.train import PpoConfig, RacingConfig
from rewardsmith.train.config import iterations_until, schedule
from tests.helpers.tiny_world import PointEnvironment


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": (50,)},
        {"hidden": ()},
        {"minibatch_size": 4096},
        {"gamma": 1.5},
        {"enviroment_steps": 5},
        {"preset": "slow"},
        {"num_envs": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        PpoConfig(**wrong)
    with pytest.raises(UsageError, match=str(next(iter(wrong)))):
        PpoConfig.for_environment(PointEnvironment(), **wrong)


def test_presets_fill_what_is_not_given() -> None:
    parity = PpoConfig(preset="sb3", epochs=3)
    assert (parity.num_envs, parity.rollout_steps, parity.epochs) == (1, 2048, 3)
    assert parity.normalize_reward == "vecnormalize"
    assert PpoConfig.for_environment(PointEnvironment(), preset="sb3").minibatch_size == 64
    assert PpoConfig.for_environment(PointEnvironment()).minibatch_size == 256


def test_settings_survive_json() -> None:
    for preset in ("fast", "sb3"):
        config = PpoConfig(preset=preset, env_steps=12345)  # type: ignore[arg-type]
        assert PpoConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(("iterations", "evaluations"), [(1, 10), (3, 10), (10, 10), (97, 10), (97, 1)])
def test_evaluations_are_spread_and_end_at_the_end(iterations: int, evaluations: int) -> None:
    config = PpoConfig(env_steps=iterations * 2048 + 5, evaluations=evaluations)
    plan = schedule(config)
    assert plan.total == plan.evaluations[-1] == iterations
    assert len(plan.evaluations) == min(iterations, evaluations) == len(set(plan.evaluations))
    assert plan.checkpoints == plan.evaluations


def test_extra_checkpoints_are_added_to_the_evaluations() -> None:
    config = PpoConfig(env_steps=10 * 2048, evaluations=2, checkpoint_steps=3 * 2048)
    assert schedule(config).checkpoints == (3, 5, 6, 9, 10)
    assert iterations_until(config, 6 * 2048) == 6 and iterations_until(config, None) == 10


def test_rungs_are_evaluations() -> None:
    plan = schedule(PpoConfig(env_steps=100 * 2048))
    assert [plan.rung(r) for r in (0.01, 0.25, 0.5, 0.95)] == [10, 30, 50, 100]


@pytest.mark.parametrize("wrong", [{"rungs": (0.5, 0.25)}, {"rungs": (1.0,)}, {"keep": 0.9, "at_most": 0.5}])
def test_racing_settings_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        RacingConfig(**wrong)


def test_one_hidden_layer_may_be_given_as_a_number() -> None:
    assert PpoConfig(hidden=64).hidden == (64,)  # type: ignore[arg-type]


def test_whole_iterations_are_trained() -> None:
    assert PpoConfig(env_steps=10_000).trained_steps == 8_192
    assert PpoConfig(env_steps=1).trained_steps == 2_048
