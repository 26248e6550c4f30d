from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rewardsmith.envs import PackMetric
from rewardsmith.errors import EnvironmentFault, RunError
from rewardsmith.train import Policy, evaluate, load_policy
from rewardsmith.train.policy import PolicyInfo, PolicyStack
from rewardsmith.train.rewards import MemoryTrack
from rewardsmith.types import EnvSpec
from tests.helpers.tiny_world import CONTINUOUS, DISCRETE, HORIZON, PointEnvironment, ThereAndBack


def linear_policy(gain: float, action=CONTINUOUS, memory: str = "") -> Policy:
    """tanh(-gain * position), as a network of 32 hidden units of which one works."""
    inputs = 3 + bool(memory)
    info = PolicyInfo(
        env=EnvSpec(name="tiny"), action=action, obs_dim=3, memory_width=int(bool(memory)), hidden=(32,),
        rescale_actions=True, memory_graph=memory,
    )  # fmt: skip
    outputs = 1 if action.kind == "continuous" else 3
    first, last = torch.zeros(inputs, 32), torch.zeros(32, outputs)
    first[0, 0], last[0, 0] = -gain, 1.0
    weights = ((first, torch.zeros(1, 32)), (last, torch.zeros(1, outputs)))
    zeros = torch.zeros(inputs, dtype=torch.float64)
    return Policy(info, weights, zeros, torch.ones_like(zeros))


def test_better_policies_score_better() -> None:
    environment = PointEnvironment()
    good, bad = evaluate(
        environment, environment.metric(), [linear_policy(3.0), linear_policy(-3.0)], episodes=5, seed=1
    )
    assert good.success.mean() == 1 and bad.success.mean() == 0
    assert good.fitness.min() > bad.fitness.max()
    assert (good.length == HORIZON).all() and (bad.length < HORIZON).all()  # running away terminates
    assert good.env_steps == 5 * HORIZON


def test_scores_do_not_depend_on_the_company_and_seeds_are_common() -> None:
    environment = PointEnvironment()
    policies = [linear_policy(g) for g in (3.0, -3.0, 0.1, 3.0)]
    together = evaluate(environment, environment.metric(), policies, episodes=3, seed=1)
    for policy, scores in zip(policies, together, strict=True):
        [alone] = evaluate(environment, environment.metric(), [policy], episodes=3, seed=1)
        assert np.array_equal(alone.fitness, scores.fitness) and np.array_equal(alone.length, scores.length)
    assert np.array_equal(together[0].fitness, together[3].fitness)
    [other] = evaluate(environment, environment.metric(), [policies[0]], episodes=3, seed=2)
    assert not np.array_equal(other.fitness, together[0].fitness)


def test_fitness_is_that_of_whole_episodes() -> None:
    """Against a plain loop over one environment."""
    environment, policy = PointEnvironment(), linear_policy(-1.0)
    [scores] = evaluate(environment, environment.metric(), [policy], episodes=4, seed=3, record=True)
    for i, trajectory in enumerate(scores.trajectories):
        world = environment.make_world(1)
        world.reset(np.array([0]), np.array([trajectory.seed], dtype=np.uint64))
        distances, states = [], [world.fields()["state"].clone()[0]]
        for action in trajectory.action:
            torch.testing.assert_close(policy.act(world.obs)[0], action)
            world.step(action[None])
            distances.append(abs(float(world.obs[0, 0])))
            states.append(world.fields()["state"].clone()[0])
        assert len(distances) == scores.length[i]
        assert bool(world.terminated[0]) == trajectory.terminated and bool(world.terminated[0] | world.truncated[0])
        assert scores.fitness[i] == pytest.approx(-np.mean(distances), rel=1e-6)
        assert torch.equal(torch.stack(states), trajectory.fields["state"])
        assert trajectory.features["position"].shape == (len(states),)


def test_policies_that_see_memory() -> None:
    environment = PointEnvironment()
    policies = [linear_policy(1.0, memory="x"), linear_policy(2.0, memory="x")]
    scores = evaluate(
        environment, environment.metric(), policies, episodes=2, seed=0, load_program=lambda _: ThereAndBack()
    )
    assert len(scores) == 2 and np.isfinite(scores[0].fitness).all()


def test_policies_of_different_shapes_in_one_call() -> None:
    environment = PointEnvironment()
    policies = [linear_policy(1.0, memory="x"), linear_policy(2.0)]
    mixed = evaluate(
        environment, environment.metric(), policies, episodes=2, seed=0, load_program=lambda _: ThereAndBack()
    )
    [alone] = evaluate(environment, environment.metric(), [policies[1]], episodes=2, seed=0)
    assert np.array_equal(mixed[1].fitness, alone.fitness)


def test_no_policies() -> None:
    environment = PointEnvironment()
    assert evaluate(environment, environment.metric(), [], episodes=2, seed=0) == []


def test_a_metric_that_is_not_finite_is_an_error() -> None:
    metric = PackMetric(lambda f, p: {"x": f["position"]}, lambda s, _: (s["x"] * torch.nan, s["x"] * 0), "nan")
    with pytest.raises(EnvironmentFault, match="finite"):
        evaluate(PointEnvironment(), metric, [linear_policy(1.0)], episodes=1, seed=0)


def test_a_world_that_fails_is_the_environments_fault() -> None:
    environment = PointEnvironment(fail_beyond=0.5)
    with pytest.raises(EnvironmentFault, match="the wall broke"):
        evaluate(environment, environment.metric(), [linear_policy(-3.0)], episodes=8, seed=0)


@pytest.mark.parametrize("action", [CONTINUOUS, DISCRETE], ids=lambda a: a.kind)
def test_a_saved_policy_acts_the_same(tmp_path: Path, action) -> None:
    policy = linear_policy(2.0, action)
    policy.save(tmp_path / "policy.safetensors")
    again = load_policy(tmp_path / "policy.safetensors")
    obs = torch.randn(7, 3)
    assert torch.equal(again.act(obs), policy.act(obs)) and again.info == policy.info
    assert again.act(obs[:1]).shape == ((1, 1) if action.kind == "continuous" else (1,))


@pytest.mark.parametrize("data", [b"", b"12345", b"\xff" * 100, None])
def test_a_damaged_policy_is_a_clear_error(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "policy.safetensors"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(RunError, match=r"policy\.safetensors"):
        load_policy(path)


@pytest.mark.parametrize(
    "change",
    [
        {"obs_dim": 4},
        {"hidden": (7,)},
        {"memory_width": 1},
        {"action": CONTINUOUS.model_copy(update={"low": (0.0, 0.0)})},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_policy_whose_parts_do_not_fit_is_a_clear_error(tmp_path: Path, change) -> None:
    policy = linear_policy(2.0)
    replace(policy, info=policy.info.model_copy(update=change)).save(tmp_path / "policy.safetensors")
    with pytest.raises(RunError, match="not a readable policy"):
        load_policy(tmp_path / "policy.safetensors")


def test_a_policy_of_another_environment_is_a_clear_error() -> None:
    environment = PointEnvironment()
    with pytest.raises(RunError, match="was trained for"):
        evaluate(environment, environment.metric(), [linear_policy(1.0, DISCRETE)], episodes=1, seed=0)


def test_memory_reset_touches_the_given_rows_only() -> None:
    track = MemoryTrack([(ThereAndBack(), 0, 2), (ThereAndBack(), 2, 4)], 4, torch.device("cpu"))
    far = {"position": torch.full((4,), 0.9), "velocity": torch.zeros(4, 1)}
    track.step(far, torch.zeros(4, 1), far, torch.zeros(4, dtype=torch.bool))
    assert track.flat[:, 0].tolist() == [1, 1, 1, 1]
    track.reset(np.array([1, 2]))
    assert track.flat[:, 0].tolist() == [1, 0, 0, 1]
    saved = track.get(2, 4)
    track.reset(np.arange(4))
    track.set(2, 4, saved)
    assert track.flat[:, 0].tolist() == [0, 0, 0, 1]


def test_stack_of_one_needs_no_twin_outside() -> None:
    assert PolicyStack([linear_policy(1.0)]).act(torch.randn(5, 3)).shape == (5, 1)
