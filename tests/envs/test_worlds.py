"""What every `VecWorld` promises: rows stand alone, seeds decide, state restores, blown-up rows end alone."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from rewardsmith.envs import resolve_env
from rewardsmith.errors import EnvironmentFault
from tests.envs import toys
from tests.envs.packs import pack

MODULE = toys.__name__
ALL = (
    "hopper",
    "reacher",
    "half_cheetah",
    "mountain_car_continuous",
    "lunar_lander",
    "bipedal_walker",
    "ant",
    "inverted_double_pendulum",
    "cartpole",
    "pendulum",
    "CartPole-v1",
    "Pendulum-v1",
    "FrozenLake-v1",
    f"{MODULE}:ToyWalk-v0",
)


def seeds(*values):
    return np.array(values, dtype=np.uint64)


def actions(world, rng):
    spec = world.action
    if spec.kind == "discrete":
        return torch.from_numpy(rng.integers(spec.n, size=world.num_envs))
    low, high = (torch.tensor(bound) for bound in (spec.low, spec.high))
    return 0.9 * (low + (high - low) * torch.from_numpy(rng.random((world.num_envs, *spec.shape), dtype=np.float32)))


def history(world, steps, rng, watch, *, restart=()):
    """What row `watch` shows over some steps; `restart` rows are reset now and then, and all rows when they end."""
    out = []
    for t in range(steps):
        action = actions(world, rng)
        world.step(action)
        names = ("obs", "terminated", "truncated", "native_reward")
        row = [getattr(world, name)[watch].clone() for name in names]
        out.append([*row, *(field[watch].clone() for field in world.fields().values())])
        done = (world.terminated | world.truncated).numpy()
        if done[watch]:
            break
        ids = [i for i in range(world.num_envs) if done[i] or (i in restart and t % 7 == 3)]
        world.reset(np.array(ids, dtype=np.int64), np.array([1000 + t + i for i in ids], dtype=np.uint64))
    return out


def same(a, b):
    return len(a) == len(b) and all(
        torch.equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)
    )


class Replayed:
    """Actions for one row from its own generator, for the rest from another."""

    def __init__(self, own, other, row, width):
        self.own, self.other, self.row, self.width = own, other, row, width

    def integers(self, n, size):
        out = self.other.integers(n, size=size)
        out[self.row] = self.own.integers(n)
        return out

    def random(self, shape, dtype):
        out = self.other.random(shape, dtype=dtype)
        out[self.row] = self.own.random(shape[1:], dtype=dtype)
        return out


@pytest.mark.parametrize("name", ALL)
def test_a_row_depends_on_its_seed_and_actions_only(name):
    """The same episode in a world of one, in row 2 of four after other episodes, and beside rows that are reset."""
    environment = resolve_env(name)
    alone = environment.make_world(1)
    alone.reset(np.array([0]), seeds(42))
    first = alone.obs[0].clone()
    expected = history(alone, 60, Replayed(np.random.default_rng(5), np.random.default_rng(0), 0, 1), 0)

    crowd = environment.make_world(4, threads=2)
    crowd.reset(np.arange(4), seeds(1, 2, 3, 4))
    for _ in range(3):
        crowd.step(actions(crowd, np.random.default_rng(9)))
    crowd.reset(np.array([3, 0, 1]), seeds(7, 8, 9))
    crowd.reset(np.array([2]), seeds(42))
    assert torch.equal(crowd.obs[2], first)
    rng = Replayed(np.random.default_rng(5), np.random.default_rng(1), 2, 4)
    assert same(history(crowd, 60, rng, 2, restart=(0, 1)), expected)


@pytest.mark.parametrize("name", ["cartpole", "pendulum"])
def test_the_number_of_rows_changes_no_bit(name):
    """Sines and cosines are the same in the middle of many rows, at their end, and alone."""
    environment = resolve_env(name)
    sizes = (1, 3, 17, 130)
    worlds = [environment.make_world(size) for size in sizes]
    for world, size in zip(worlds, sizes, strict=True):
        world.reset(np.arange(size), np.arange(7, 7 - size, -1).astype(np.uint64))  # the first row is the same in all
    rng = np.random.default_rng(0)
    for _ in range(100):
        action = actions(worlds[0], rng)
        for world, size in zip(worlds, sizes, strict=True):
            world.step(action.expand(size, *action.shape[1:]))
            world.reset(np.arange(1, size), rng.integers(2**63, size=size - 1).astype(np.uint64))
        assert all(torch.equal(world.obs[0], worlds[0].obs[0]) for world in worlds)
        for world in worlds if worlds[0].terminated[0] else ():
            world.reset(np.array([0]), seeds(11))


@pytest.mark.parametrize("name", ["bipedal_walker", "lunar_lander", "BipedalWalker-v3", pack("fetch_push")])
def test_earlier_episodes_leave_no_trace(name):
    """After none to six episodes in a simulator that keeps more than numbers, the next one is always the same."""
    environment = resolve_env(name)
    world = environment.make_world(1)
    played = []
    for earlier in range(7):
        world.reset(np.array([0]), seeds(42))
        played.append(history(world, 100, np.random.default_rng(5), 0))
        world.reset(np.array([0]), seeds(earlier))
        history(world, 150, np.random.default_rng(earlier), 0)
    assert all(same(played[0], later) for later in played[1:])


@pytest.mark.parametrize("name", ALL)
def test_different_seeds_give_different_episodes(name):
    if name == "FrozenLake-v1":
        pytest.skip("it always starts in the same corner")
    world = resolve_env(name).make_world(2)
    world.reset(np.arange(2), seeds(1, 2**64 - 1))
    assert not torch.equal(world.obs[0], world.obs[1])


@pytest.mark.parametrize("name", ALL)
def test_restored_rows_continue_bit_exactly(name):
    """Saved in the middle of an episode, restored into other rows of another world."""
    environment = resolve_env(name)
    world = environment.make_world(3)
    world.reset(np.arange(3), seeds(5, 6, 7))
    if not world.can_restore:
        assert name in ("lunar_lander", "bipedal_walker", f"{MODULE}:ToyWalk-v0")
        with pytest.raises(NotImplementedError, match="reset all episodes"):
            world.get_state(np.array([0]))
        return
    world.step(actions(world, np.random.default_rng(0)))
    saved = world.get_state(np.array([0, 2]))
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in saved.values())
    shown = [world.obs[0].clone(), *(field[0].clone() for field in world.fields().values())]
    expected = history(world, 40, Replayed(np.random.default_rng(5), np.random.default_rng(0), 0, 3), 0)

    other = environment.make_world(2)
    other.reset(np.arange(2), seeds(50, 60))
    other.step(actions(other, np.random.default_rng(4)))
    other.set_state(np.array([1, 0]), saved)
    restored = [other.obs[1], *(field[1] for field in other.fields().values())]
    assert all(torch.equal(a, b) for a, b in zip(shown, restored, strict=True))
    assert same(history(other, 40, Replayed(np.random.default_rng(5), np.random.default_rng(0), 1, 2), 1), expected)


@pytest.mark.parametrize("name", ALL)
def test_time_limits_truncate_and_flags_clear(name):
    environment = resolve_env(name)
    world = environment.make_world(1)
    world.horizon = 3
    world.reset(np.array([0]), seeds(0))
    rng = np.random.default_rng(0)
    for t in range(3):
        assert not world.truncated.any()
        world.step(actions(world, rng))
        if world.terminated[0]:
            assert not world.truncated[0]
            return
        assert bool(world.truncated[0]) == (t == 2)
    world.reset(np.array([0]), seeds(0))
    assert not world.truncated.any() and world.native_reward[0] == 0


def test_resetting_no_rows_changes_nothing():
    for name in ("hopper", "CartPole-v1"):
        world = resolve_env(name).make_world(2)
        world.reset(np.arange(2), seeds(1, 2))
        before = world.obs.clone()
        world.reset(np.array([], dtype=np.int64), np.array([], dtype=np.uint64))
        assert torch.equal(world.obs, before)


@pytest.mark.parametrize("name", ["hopper", "half_cheetah", "reacher"])
def test_a_diverged_simulation_ends_its_row_only(name, tmp_path, monkeypatch):
    """It is reported, keeps its last real state, writes no log file, and works again after a reset."""
    monkeypatch.chdir(tmp_path)
    environment = resolve_env(name)
    world, twin = environment.make_world(4, threads=2), environment.make_world(4)
    for each in (world, twin):
        each.reset(np.arange(4), seeds(1, 2, 3, 4))
    state = world.get_state(np.array([1]))
    world.fields()["qvel"][1] = 1e12
    broken = {key: value[1].clone() for key, value in world.fields().items()}
    for _ in range(5):
        action = actions(world, np.random.default_rng(0))
        world.step(action)
        twin.step(action)
        others = [0, 2, 3]
        assert torch.equal(world.obs[others], twin.obs[others])
        assert world.diverged.tolist() == [False, True, False, False]
        assert bool(world.terminated[1]) and not bool(world.truncated[1])
        assert torch.isfinite(world.obs).all() and torch.isfinite(world.native_reward).all()
        assert all(torch.equal(world.fields()[key][1], value) for key, value in broken.items() if key != "before:qpos")
    world.set_state(np.array([1]), state)
    world.step(actions(world, np.random.default_rng(0)))
    assert not world.diverged.any()
    world.reset(np.array([1]), seeds(2))
    world.step(actions(world, np.random.default_rng(0)))
    assert not world.diverged.any()
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_is_no_number_ends_its_row_only():
    """In an environment of torch functions: the row keeps its last real state, the others go on."""
    world, twin = resolve_env("pendulum").make_world(2), resolve_env("pendulum").make_world(2)
    for each in (world, twin):
        each.reset(np.arange(2), seeds(1, 2))
    before = world.obs.clone()
    world.step(torch.tensor([[0.5], [float("nan")]]))
    twin.step(torch.tensor([[0.5], [0.5]]))
    assert world.diverged.tolist() == [False, True] == world.terminated.tolist()
    assert torch.equal(world.obs[0], twin.obs[0]) and world.native_reward[0] == twin.native_reward[0]
    assert torch.equal(world.obs[1], before[1]) and world.native_reward[1] == 0
    world.reset(np.array([1]), seeds(2))
    assert torch.equal(world.obs[1], before[1]) and not world.diverged.any()


def test_nan_observations_end_their_row_only():
    world = resolve_env(f"{MODULE}:ToyWalk-v0").make_world(2)
    world.reset(np.arange(2), seeds(1, 2))
    world.step(torch.tensor([[0.1], [0.2]]))
    before = world.obs.clone()
    world.step(torch.tensor([[0.1], [1.0]]))
    assert world.diverged.tolist() == [False, True] == world.terminated.tolist()
    assert torch.equal(world.obs[1], before[1])
    assert not torch.equal(world.obs[0], before[0])
    assert torch.isfinite(world.native_reward).all()


def test_a_reward_that_is_no_number_ends_nothing_and_is_told():
    """Only metrics read the native reward; where one does, it must not be made a zero."""
    world = resolve_env(f"{MODULE}:ToyNanReward-v0").make_world(2)
    world.reset(np.arange(2), seeds(1, 2))
    world.step(torch.tensor([[-0.5], [0.5]]))
    assert world.native_reward.isnan().tolist() == [False, True]
    assert not world.diverged.any() and not world.terminated.any()


def test_gymnasiums_own_mujoco_environments_report_divergence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = resolve_env("InvertedPendulum-v5").make_world(2)
    world.reset(np.arange(2), seeds(1, 2))
    world.step(torch.zeros(2, 1))
    world._envs[0].unwrapped.data.qvel[:] = 1e12
    world.step(torch.zeros(2, 1))
    assert world.diverged.tolist() == [True, False]
    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_raises_names_itself():
    world = resolve_env(f"{MODULE}:ToyNoDrawing-v0").make_world(1)
    world.reset(np.array([0]), seeds(0))
    world._envs[0].step = lambda action: 1 / 0
    with pytest.raises(EnvironmentFault, match=r"ToyNoDrawing-v0 failed in step \(row 0"):
        world.step(torch.zeros(1, 1))


def test_worlds_step_bare_environments():
    """No checker, no order enforcing, no time limit around them."""
    world = resolve_env("CartPole-v1").make_world(1)
    assert world._envs[0] is world._envs[0].unwrapped
    assert not isinstance(world._envs[0], gym.Wrapper)


def test_info_of_the_last_step_reaches_metrics():
    environment = resolve_env(f"{MODULE}:ToyWalk-v0")
    world = environment.make_world(1)
    world.reset(np.array([0]), seeds(0))
    assert world.info["is_success"].tolist() == [0]
    for _ in range(5):
        world.step(torch.tensor([[0.9]]))
    assert world.info["is_success"].tolist() == [1]
