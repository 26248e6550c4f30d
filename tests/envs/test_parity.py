"""Worlds of packs against the environments they stand for: same seeds, same actions, same numbers."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch

from rewardsmith.envs import resolve_env
from rewardsmith.envs.pack import bundled_packs
from rewardsmith.reward.compile import compile_reward, reward_jail
from tests.envs.packs import PACKS, pack

MUJOCO = {
    "ant": "Ant-v5",
    "half_cheetah": "HalfCheetah-v5",
    "hopper": "Hopper-v5",
    "humanoid": "Humanoid-v5",
    "humanoid_standup": "HumanoidStandup-v5",
    "inverted_double_pendulum": "InvertedDoublePendulum-v5",
    "inverted_pendulum": "InvertedPendulum-v5",
    "pusher": "Pusher-v5",
    "reacher": "Reacher-v5",
    "swimmer": "Swimmer-v5",
    "walker2d": "Walker2d-v5",
}
CLASSIC = {"cartpole": "CartPole-v1", "pendulum": "Pendulum-v1"}
NATIVE = {
    "bipedal_walker": "BipedalWalker-v3",
    "fetch_push": "FetchPushDense-v4",
    "fetch_reach": "FetchReachDense-v4",
    "lunar_lander": "LunarLander-v3",
    "mountain_car_continuous": "MountainCarContinuous-v0",
}
BALANCING = ("cartpole", "inverted_pendulum", "inverted_double_pendulum")  # success is to last: no state shows it
NETHACK = {"minihack_room": "MiniHack-Room-Random-5x5-v0"}  # compared in test_nle.py
IDS = MUJOCO | CLASSIC | NATIVE | NETHACK
STEPS = 1000


def test_every_pack_is_compared():
    assert set(IDS) == set(bundled_packs())
    registered = {id for id in gym.registry if id.endswith("-v5") and "mujoco" in str(gym.spec(id).entry_point)}
    assert set(MUJOCO.values()) == registered


def actions(world, rng):
    if world.action.kind == "discrete":
        return torch.from_numpy(rng.integers(world.action.n, size=world.num_envs))
    shape = (world.num_envs, *world.action.shape)
    return torch.from_numpy(rng.uniform(world.action.low, world.action.high, shape).astype(np.float32))


def copied(fields):
    return {name: field.clone() for name, field in fields.items()}


def ulps(a, b):
    """Distance of float32 arrays in units of the last place."""
    return np.abs(a.astype(np.float64) - b.astype(np.float64)) / np.spacing(np.maximum(np.abs(a), np.abs(b)))


@pytest.mark.parametrize("name", MUJOCO)
def test_mujoco_packs_equal_gymnasium(name):
    """Resets from the same seeds and 1,000 steps: state and termination bit-identical, the rest to rounding."""
    rows = 2
    world = resolve_env(name).make_world(rows, threads=2)
    envs = [gym.make(IDS[name]) for _ in range(rows)]
    assert world.obs_dim == envs[0].observation_space.shape[0]
    rng = np.random.default_rng(7)
    next_seed = 100

    def reset(ids):
        nonlocal next_seed
        seeds = np.arange(next_seed, next_seed + len(ids), dtype=np.uint64)
        next_seed += len(ids)
        world.reset(np.array(ids), seeds)
        for i, seed in zip(ids, seeds, strict=True):
            check(i, envs[i].reset(seed=int(seed))[0])

    def check(i, obs):
        data = envs[i].unwrapped.data
        assert np.array_equal(world.fields()["qpos"][i].numpy(), data.qpos)
        assert np.array_equal(world.fields()["qvel"][i].numpy(), data.qvel)
        assert ulps(world.obs[i].numpy(), obs.astype(np.float32)).max() <= 1

    reset(range(rows))
    ends = 0
    for _ in range(STEPS):
        action = actions(world, rng)
        world.step(action)
        for i, env in enumerate(envs):
            obs, reward, terminated, truncated, _ = env.step(action[i].numpy())
            check(i, obs)
            assert bool(world.terminated[i]) == terminated
            assert bool(world.truncated[i]) == (truncated and not terminated)
            assert world.native_reward[i].item() == pytest.approx(reward, rel=1e-6, abs=1e-9)
        done = torch.nonzero(world.terminated | world.truncated)[:, 0].tolist()
        ends += len(done)
        reset(done)
    assert ends > 0


@pytest.fixture(scope="module")
def jail():
    with reward_jail() as jail:
        yield jail


def load_reward(environment, name, jail):
    """A reference reward as the trainer runs it, traced."""
    result = compile_reward(environment.reference_rewards[name], environment.interface, jail)
    assert result.program is not None, result.findings
    assert not [finding for finding in result.findings if finding.severity != "info"]
    return result.program


@pytest.mark.parametrize("name", PACKS)
def test_human_reward_is_the_native_one(name, jail):
    """1,000 random steps in several episodes; relative to the reward, or to 1 where that is smaller."""
    environment = resolve_env(name)
    reward = load_reward(environment, "human", jail)
    world = environment.make_world(4)
    rng = np.random.default_rng(3)
    world.reset(np.arange(4), np.arange(4, dtype=np.uint64))
    before, seed, worst = copied(world.fields()), 4, 0.0
    for _ in range(250):
        action = actions(world, rng)
        world.step(action)
        after = copied(world.fields())
        obs, next_obs = world.featurize(before), world.featurize(after)
        total, components, _ = reward(obs, action, next_obs | {"terminated": world.terminated.clone()})
        native = world.native_reward
        error = (total.double() - native).abs() / native.abs().clamp(min=1.0)
        worst = max(worst, error.max().item())
        assert all(value.shape == (4,) for value in components.values())
        done = torch.nonzero(world.terminated | world.truncated)[:, 0].numpy()
        world.reset(done, np.arange(seed, seed + len(done), dtype=np.uint64))
        seed += len(done)
        before = copied(world.fields())
    assert worst <= 1e-6


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_control_equals_gymnasium(name):
    """Resets from the same seeds and 1,000 steps: float32 observations to one unit in the last place."""
    environment = resolve_env(name)
    world = environment.make_world(3)
    world.reset(np.arange(3), np.arange(3, dtype=np.uint64))
    envs = [gym.make(IDS[name]) for _ in range(3)]
    for i, env in enumerate(envs):
        assert np.array_equal(world.obs[i].numpy(), env.reset(seed=i)[0])
    rng = np.random.default_rng(0)
    seed = 3
    for _ in range(STEPS):
        action = actions(world, rng)
        world.step(action)
        for i, env in enumerate(envs):
            native = action[i].item() if action.ndim == 1 else action[i].numpy()
            obs, reward, terminated, truncated, _ = env.step(native)
            assert ulps(world.obs[i].numpy(), obs).max() <= 1
            assert world.native_reward[i].item() == pytest.approx(reward, rel=1e-6, abs=1e-9)
            assert bool(world.terminated[i]) == terminated
            assert bool(world.truncated[i]) == (truncated and not terminated)
            if terminated or truncated:
                world.reset(np.array([i]), np.array([seed], dtype=np.uint64))
                assert np.array_equal(world.obs[i].numpy(), env.reset(seed=seed)[0])
                seed += 1
    assert seed > 3


@pytest.mark.parametrize("name", [pack(name) for name in NATIVE])
def test_gym_worlds_equal_gymnasium(name):
    """Row by row what `gymnasium.make` gives, whatever the other rows do."""
    environment = resolve_env(name)
    world = environment.make_world(2)
    world.reset(np.array([1, 0]), np.array([5, 6], dtype=np.uint64))
    env = gym.make(IDS[name], max_episode_steps=environment.horizon)

    def flat(obs):
        parts = [obs[key] for key in sorted(obs)] if isinstance(obs, dict) else [obs]
        return np.concatenate(parts).astype(np.float32)

    obs, _ = env.reset(seed=5)
    assert np.array_equal(world.obs[1].numpy(), flat(obs))
    rng = np.random.default_rng(0)
    for _ in range(400):
        action = actions(world, rng)
        world.step(action)
        if world.terminated[0] or world.truncated[0]:
            world.reset(np.array([0]), np.array([9], dtype=np.uint64))
        native = action[1].item() if action.ndim == 1 else action[1].numpy()
        obs, reward, terminated, truncated, _ = env.step(native)
        assert np.array_equal(world.obs[1].numpy(), flat(obs))
        assert world.native_reward[1].item() == reward
        assert (bool(world.terminated[1]), bool(world.truncated[1])) == (terminated, truncated)
        if terminated or truncated:
            break


@pytest.mark.parametrize("name", [pack(name) for name in IDS if name not in BALANCING])
def test_sparse_reward_is_the_success_of_the_metric(name, jail):
    """Over recorded and invented transitions: some step pays exactly where the metric sees success at the end."""
    environment = resolve_env(name)
    reward = load_reward(environment, "sparse", jail)
    goal = environment.goal_states(50, np.random.default_rng(0))
    assert goal is not None
    world = environment.make_world(8)
    world.reset(np.arange(8), np.arange(8, dtype=np.uint64))
    start = {
        key: value[:1].repeat(50, *[1] * (value.ndim - 1)) for key, value in world.featurize(world.fields()).items()
    }
    action = actions(SimpleNamespace(num_envs=50, action=world.action), np.random.default_rng(1))
    terminated = torch.zeros(50, dtype=torch.bool)
    paid, *_ = reward(start, action, goal | {"terminated": terminated})
    assert torch.equal(paid, torch.ones(50))
    metric = environment.metric(None)
    values = metric.step(
        goal, start, action=action, native_reward=torch.zeros(50, dtype=torch.float64), terminated=terminated
    )
    _, success = metric.episode(values, values, values, values, torch.ones(50, dtype=torch.float64))
    assert torch.equal(success, torch.ones(50, dtype=torch.float64))
    paid, *_ = reward(start, action, start | {"terminated": terminated})
    assert torch.equal(paid, torch.zeros(50))


@pytest.mark.parametrize("name", BALANCING)
def test_sparse_reward_of_balancing_is_paid_for_lasting(name, jail):
    """Three episodes: to the end, fallen in its last step, fallen one step before."""
    environment = resolve_env(name)
    assert environment.goal_states(1, np.random.default_rng(0)) is None
    reward, metric, horizon = load_reward(environment, "sparse", jail), environment.metric(None), environment.horizon
    world = environment.make_world(3)
    world.reset(np.arange(3), np.arange(3, dtype=np.uint64))
    obs, memory = copied(world.featurize(world.fields())), reward.initial_memory(3, "cpu")
    action = actions(world, np.random.default_rng(1))
    fall, paid = torch.tensor([horizon + 1, horizon, horizon - 1]), []
    for t in range(1, horizon + 1):
        ends = fall == t
        got = reward(obs, action, obs | {"terminated": ends}, memory=memory)
        memory = got.memory
        paid.append(got.total)
    assert torch.stack(paid).sum(0).tolist() == [1, 0, 1]  # the third one would be over before it is paid
    assert paid[-1].tolist() == [1, 0, 1]
    native = torch.zeros(3, dtype=torch.float64)
    last = metric.step(obs, obs, action=action, native_reward=native, terminated=fall <= horizon)
    lengths = torch.tensor([horizon, horizon, horizon - 1], dtype=torch.float64)
    assert metric.episode(last, last, last, last, lengths)[1].tolist() == [1, 0, 0]
