"""Rollouts, rewards, bootstraps, scale: what one iteration must do, on the tiny world."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rewardsmith.train import PpoConfig
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.types import Member
from tests.helpers.tiny_world import HORIZON, GoNear, Output, PointEnvironment, Shaped, ThereAndBack
from tests.train.conftest import SMALL

ONE = SMALL.model_copy(update={"epochs": 10, "minibatch_size": 30})


def population(programs: dict[str, Any], members: list[tuple[str, int]], ppo: PpoConfig = ONE, **options: Any):
    world = PointEnvironment(**options).make_world(len(members) * ppo.num_envs)
    trained = PopulationPPO(world, ppo, [Member(*m) for m in members], programs, root=0)
    trained.restart_episodes()
    return trained


class Scaled(Shaped):
    """Dense reward and shaping, both times `scale`."""

    def __call__(self, obs: Any, action: torch.Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        return GoNear(self.scale)(obs, action, next_obs)


@pytest.mark.parametrize("scale", [1024.0, 2.0**-20])
def test_a_power_of_two_times_the_reward_trains_the_same_bits(scale: float) -> None:
    trained = population({"a": Scaled(1.0), "b": Scaled(scale)}, [("a", 0), ("b", 0)])
    for _ in range(5):
        trained.iterate()
    assert torch.equal(trained.net.flat[0], trained.net.flat[1])


@pytest.mark.parametrize("scale", [1000.0, 1e-3])
def test_any_multiple_of_the_reward_trains_the_same(scale: float) -> None:
    trained = population({"a": Scaled(1.0), "b": Scaled(scale)}, [("a", 0), ("b", 0)])
    trained.iterate()
    assert (trained.net.flat[0] - trained.net.flat[1]).abs().max() < 1e-5


def test_rewards_are_called_once_per_rollout_for_all_seeds_together() -> None:
    program = GoNear()
    trained = population({"a": program}, [("a", 0), ("a", 1)])
    trained.iterate()
    trained.iterate()
    assert program.rows == [128, 128]  # 2 seeds x 3 environments x 20 steps = 120, padded to a multiple of 128


class Recorder(GoNear):
    """Keeps what it was shown."""

    def __call__(self, obs: Any, action: torch.Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        self.shown = obs, action, next_obs
        return super().__call__(obs, action, next_obs)


def test_rewards_see_the_last_real_state_of_an_episode_and_the_applied_action() -> None:
    program = Recorder()
    ppo = SMALL.model_copy(update={"rollout_steps": HORIZON + 5, "num_envs": 2, "minibatch_size": 25})
    trained = population({"a": program}, [("a", 0)], ppo)
    trained.iterate()
    obs, action, next_obs = program.shown
    steps, rows = HORIZON + 5, 2
    x, after = obs["position"][: steps * rows].view(steps, rows), next_obs["position"][: steps * rows].view(steps, rows)
    v_after = next_obs["velocity"][: steps * rows].view(steps, rows)
    torch.testing.assert_close(after - x, v_after)  # every step moves by its velocity: none was seen over a reset
    torch.testing.assert_close(x[1:HORIZON], after[: HORIZON - 1])
    assert not torch.allclose(x[HORIZON], after[HORIZON - 1])  # a new episode
    assert not next_obs["terminated"][: steps * rows].any()  # a time limit is not a termination
    assert action.abs().max() <= 1


def test_truncation_bootstraps_and_termination_does_not() -> None:
    ppo = SMALL.model_copy(update={"num_envs": 2, "normalize_reward": "off", "minibatch_size": 40})
    trained = population({"a": GoNear()}, [("a", 0)], ppo)
    with torch.no_grad():
        trained._collect()
        bootstrap = torch.zeros(20, 1, 2)
        trained._value_truncated(bootstrap)
    cut = trained._truncated.view(20, 1, 2)
    assert cut[-1].all() and not cut[:-1].any()
    assert (bootstrap[~cut] == 0).all()
    assert (bootstrap[cut] != 0).all()
    # the value is that of the state the episode was cut in, not of the one after the reset
    final = trained._recorder.raw().after["state"][-1]
    x = torch.zeros(1, 2, trained._inputs)
    x[0, :, :3] = torch.cat([final, final[:, :1].cos()], 1).float()
    with torch.no_grad():
        expected = trained.net.value(trained._normalized(trained._twin(x)))[:1]
    torch.testing.assert_close(bootstrap[-1], expected)


def test_shaping_is_added_by_the_trainer() -> None:
    """gamma * (1 - terminated) * potential(next) - potential(obs), with terminations in it."""
    program = Shaped()
    ppo = SMALL.model_copy(update={"gamma": 0.9, "rollout_steps": 200, "minibatch_size": 100})
    trained = population({"a": program}, [("a", 0), ("a", 1)], ppo)
    with torch.no_grad():
        trained._collect()
        before, after = trained._recorder.transitions(trained.world)
    from rewardsmith.train.rewards import rollout_rewards

    terminated = trained._terminated.clone()
    terminated[7, 3] = True
    got = rollout_rewards(
        trained._blocks,
        trained._recorder.transitions(trained.world),
        trained.head.applied(trained._raw),
        terminated,
        num_envs=3,
        gamma=0.9,
    )
    expected = 0.9 * (~terminated).float() * -after["position"].abs() + before["position"].abs()
    torch.testing.assert_close(got.total.view(200, 6), expected)


def test_memory_is_part_of_the_input_and_starts_anew_with_every_episode() -> None:
    trained = population({"m": ThereAndBack()}, [("m", 0)], SMALL)
    assert trained.memory is not None and trained._used == 4
    with torch.no_grad():
        trained._collect()
        stage = trained._x[:, :, 3].clone()
        position = trained._recorder.raw().after["state"][..., 0]
    assert set(stage.unique().tolist()) <= {0.0, 1.0, 2.0} and stage.max() > 0
    assert (stage[HORIZON] == 0).all()
    reached = (position > 0.5).cumsum(0) > 0
    assert torch.equal((stage[1:HORIZON] > 0), reached[: HORIZON - 1])


def test_first_iteration_numbers_do_not_depend_on_history(tmp_path: Any) -> None:
    first, second = (population({"a": GoNear()}, [("a", 3)]) for _ in range(2))
    for _ in range(3):
        first.iterate()
        second.iterate()
    assert torch.equal(first.net.flat, second.net.flat)
    assert np.array_equal(first.member_state(0)["episodes"], second.member_state(0)["episodes"])


def test_constant_and_zero_rewards_train_without_harm() -> None:
    class Constant(GoNear):
        def __call__(self, obs: Any, action: torch.Tensor, next_obs: Any, *, memory: Any = None) -> Output:
            return Output(torch.full((len(action),), self.scale), {}, None)

    trained = population({"zero": Constant(0.0), "one": Constant(1.0)}, [("one", 0), ("zero", 0)])
    for _ in range(3):
        trained.iterate()
    assert not trained.failures and torch.isfinite(trained.net.flat).all()
