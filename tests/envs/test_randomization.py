"""Randomized physics: decided by the episode's seed, exactly that of a changed model, and saved with the rest."""

from __future__ import annotations

import re

import gymnasium as gym
import numpy as np
import pytest
import torch

from rewardsmith.envs import resolve_env
from rewardsmith.envs.physics import SCALABLE, load_mujoco
from rewardsmith.envs.randomization import Randomization
from rewardsmith.errors import EnvironmentFault
from rewardsmith.resources import resource_root

EVERYTHING = {name: [0.7, 1.4] for name in SCALABLE}


def seeds(*values):
    return np.array(values, dtype=np.uint64)


def randomized(name, ranges):
    return resolve_env(name, kwargs={"randomize": ranges})


def action_of(world, rng):
    shape = (world.num_envs, *world.action.shape)
    return torch.from_numpy(rng.uniform(world.action.low, world.action.high, shape).astype(np.float32))


def test_factors_follow_from_the_seed_alone():
    drawn = Randomization({"mass": [0.5, 2.0], "friction": [1.0, 3.0]}, "hopper")
    assert list(drawn.ranges) == ["friction", "mass"]
    first = drawn.draw(seeds(1, 2, 2**64 - 1))
    assert first.shape == (3, 2)
    assert np.array_equal(drawn.draw(seeds(2**64 - 1, 1)), first[[2, 0]])
    assert len(np.unique(first)) == first.size
    many = drawn.draw(np.arange(500, dtype=np.uint64))
    assert (many >= [1.0, 0.5]).all() and (many <= [3.0, 2.0]).all()
    assert many.min(0) == pytest.approx([1.0, 0.5], abs=0.05) and many.max(0) == pytest.approx([3.0, 2.0], abs=0.05)


@pytest.mark.parametrize("name", ["hopper", "ant", "swimmer"])
def test_factors_of_one_change_nothing(name):
    """Not a single bit, neither in the start states nor later."""
    plain, same = resolve_env(name).make_world(2), randomized(name, {key: [1, 1] for key in SCALABLE}).make_world(2)
    for world in (plain, same):
        world.reset(np.arange(2), seeds(3, 4))
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert torch.equal(plain.obs, same.obs)
        action = action_of(plain, rng)
        for world in (plain, same):
            world.step(action)


@pytest.mark.parametrize("name", ["walker2d", "ant", "swimmer"])
def test_randomized_physics_is_that_of_the_changed_model(name):
    """Gymnasium's environment with every property multiplied by hand; rows are reset in any order."""
    mujoco = load_mujoco()
    environment = randomized(name, EVERYTHING)
    world = environment.make_world(3)
    world.reset(np.arange(3), seeds(7, 8, 9))
    world.step(torch.zeros(3, *world.action.shape))
    world.reset(np.array([2, 0]), seeds(21, 20))
    env = gym.make(environment.pack.file.env.gymnasium)
    model = env.unwrapped.model
    for key, factor in zip(sorted(EVERYTHING), Randomization(EVERYTHING, name).draw(seeds(21))[0], strict=True):
        for field in SCALABLE[key]:
            holder = model.opt if field.startswith("opt.") else model
            setattr(holder, field.removeprefix("opt."), factor * getattr(holder, field.removeprefix("opt.")))
    mujoco.mj_setConst(model, mujoco.MjData(model))
    env.reset(seed=21)
    unlike = resolve_env(name).make_world(3)
    unlike.reset(np.arange(3), seeds(20, 8, 21))
    assert torch.equal(world.fields()["qpos"][2], unlike.fields()["qpos"][2])
    rng = np.random.default_rng(0)
    for _ in range(40):
        action = action_of(world, rng)
        world.step(action)
        unlike.step(action)
        obs, *_ = env.step(action[2].numpy())
        assert np.array_equal(world.fields()["qpos"][2].numpy(), env.unwrapped.data.qpos)
        assert np.allclose(world.obs[2].numpy(), obs, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(world.obs[2], unlike.obs[2])


def test_restored_rows_keep_their_own_physics():
    environment = randomized("hopper", EVERYTHING)
    world, other = environment.make_world(2), environment.make_world(3)
    world.reset(np.arange(2), seeds(1, 2))
    other.reset(np.arange(3), seeds(10, 11, 12))
    start = action_of(world, np.random.default_rng(0))
    world.step(start)
    other.set_state(np.array([2, 0]), world.get_state(np.array([0, 1])))
    rng = np.random.default_rng(1)
    for _ in range(30):
        action = action_of(world, rng)
        world.step(action)
        other.step(torch.stack([action[1], action[0], action[0]]))
        for mine, theirs in ((0, 2), (1, 0)):
            assert torch.equal(world.obs[mine], other.obs[theirs])
            assert world.native_reward[mine] == other.native_reward[theirs]
    assert not torch.equal(other.obs[1], other.obs[2])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (0.2, "randomize is no object: 0.2"),
        ({"masses": [1, 2]}, "unknown property 'masses'; did you mean mass"),
        ({"mass": 2.0}, r"randomize.mass is not \[lowest, highest\]"),
        ({"mass": [1.0]}, "randomize.mass is not"),
        ({"mass": [0.0, 1.0]}, "positive factors"),
        ({"mass": [1.0, float("nan")]}, "positive factors"),
        ({"mass": ["1", "2"]}, "positive factors"),
        ({"mass": [1.2, 0.8]}, "lowest factor 1.2 is above the highest 0.8"),
    ],
)
def test_mistakes_name_the_property_and_show_how_it_is_written(given, words):
    with pytest.raises(EnvironmentFault, match=words) as caught:
        randomized("hopper", given)
    assert '{"randomize": {"mass"' in caught.value.hint


def test_only_mujoco_packs_can_be_randomized():
    with pytest.raises(EnvironmentFault, match="unknown option 'randomize'"):
        randomized("cartpole", {"mass": [0.5, 2.0]})
    assert randomized("hopper", {}).make_world(1).num_envs == 1


def test_every_property_is_documented():
    text = (resource_root("envs") / "README.md").read_text().split("## Randomized physics")[1]
    assert set(re.findall(r"`(\w+)`", text.split("Properties:")[1])) == set(SCALABLE)
