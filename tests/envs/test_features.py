"""Derived features against the simulator's own geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardsmith.envs import resolve_env
from rewardsmith.envs.physics import load_mujoco
from tests.envs.packs import PACKS


def lowest_of_capsule(data, model, name):
    """Height of the lowest point of a capsule geom."""
    geom = model.geom(name)
    axis = data.geom(name).xmat.reshape(3, 3)[:, 2]
    return data.geom(name).xpos[2] - abs(axis[2]) * geom.size[1] - geom.size[0]


def posed(environment, rng):
    """A simulation in a random pose, and the pack's features of it."""
    mujoco = load_mujoco()
    world = environment.make_world(1)
    data = mujoco.MjData(environment._model)
    data.qpos[:] = rng.uniform(-1.0, 1.0, data.qpos.shape)
    mujoco.mj_kinematics(environment._model, data)
    fields = {name: field.clone() for name, field in world.fields().items()}
    fields["qpos"] = torch.from_numpy(data.qpos.copy())[None]
    return data, world.featurize(fields)


@pytest.mark.parametrize(
    ("pack", "feature", "geoms"),
    [
        ("hopper", "foot_height", ["foot_geom"]),
        ("half_cheetah", "foot_heights", ["bfoot", "ffoot"]),
        ("walker2d", "foot_heights", ["foot_geom", "foot_left_geom"]),
        ("ant", "foot_heights", [f"{leg}_ankle_geom" for leg in ("left", "right", "third", "fourth")]),
    ],
)
def test_foot_heights_are_those_of_the_model(pack, feature, geoms):
    environment = resolve_env(pack)
    rng = np.random.default_rng(0)
    for _ in range(20):
        data, features = posed(environment, rng)
        wanted = [lowest_of_capsule(data, environment._model, name) for name in geoms]
        assert features[feature].reshape(-1).tolist() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("pack", "column", "sign"), [("ant", 2, 1), ("humanoid", 2, 1), ("humanoid_standup", 0, -1)])
def test_orientations_are_those_of_the_model(pack, column, sign):
    environment = resolve_env(pack)
    rng = np.random.default_rng(1)
    for _ in range(5):
        data, features = posed(environment, rng)
        axes = data.body("torso").xmat.reshape(3, 3)
        assert features["upright"].item() == pytest.approx(sign * axes[2, column], abs=1e-6)
        if "heading" in features:
            assert features["heading"][0].tolist() == pytest.approx(axes[:2, 0].tolist(), abs=1e-6)


@pytest.mark.parametrize("pack", ["humanoid", "humanoid_standup"])
def test_standing_goal_states_stand_on_the_ground(pack):
    """The feet that goals.py states are where the model has them, at or just above the ground."""
    mujoco = load_mujoco()
    environment = resolve_env(pack)
    states = environment.pack.member("goals.py", "goal_states")(5, np.random.default_rng(0))
    data = mujoco.MjData(environment._model)
    for i in range(5):
        data.qpos[:] = states["qpos"][i]
        mujoco.mj_kinematics(environment._model, data)
        for side in ("right", "left"):
            stated = states[f"geom_xpos:{side}_foot"][i]
            assert stated.tolist() == pytest.approx(data.geom(f"{side}_foot").xpos.tolist(), abs=0.01)
            assert 0.07 <= stated[2] < 0.2


def test_contact_forces_show_in_the_features_only_while_there_is_contact():
    world = resolve_env("ant").make_world(2)
    world.reset(np.arange(2), np.arange(2, dtype=np.uint64))
    felt = lambda: world.featurize(world.fields())["contact_force_square"]
    assert felt().tolist() == [0, 0]
    for _ in range(10):
        world.step(torch.zeros(2, 8))
    assert (felt() > 0.1).all()
    world.reset(np.array([1]), np.array([3], dtype=np.uint64))
    assert felt()[0] > 0.1 and felt()[1] == 0


def test_reacher_fingertip_velocity_is_the_derivative_of_its_position():
    mujoco = load_mujoco()
    environment = resolve_env("reacher")
    model = environment._model
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    data.qpos[:], data.qvel[:] = rng.uniform(-1, 1, 4), rng.uniform(-5, 5, 4)
    mujoco.mj_forward(model, data)
    velocity = np.zeros(6)
    body = model.body("fingertip").id
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body, velocity, 0)
    fields = {
        "qpos": data.qpos[None],
        "qvel": data.qvel[None],
        "xpos:fingertip": data.xpos[body][None],
        "xpos:target": data.body("target").xpos[None],
    }
    got = environment.make_world(1).featurize({name: torch.from_numpy(value) for name, value in fields.items()})
    assert got["fingertip_velocity"][0].tolist() == pytest.approx(velocity[3:5].tolist(), abs=1e-6)


def test_lunar_lander_sides_and_signs():
    """The first leg is the right one; engine 1 turns the craft left; positive angle leans left."""
    world = resolve_env("lunar_lander").make_world(1)
    world.reset(np.array([0]), np.array([3], dtype=np.uint64))
    env = world._envs[0].unwrapped
    assert env.legs[0].position.x > env.lander.position.x
    before = world.featurize(world.fields())["angular_velocity"].clone()
    for _ in range(5):
        world.step(torch.tensor([1]))
    after = world.featurize(world.fields())
    assert after["angular_velocity"] > before
    assert after["side_engine"].item() == -1


@pytest.mark.parametrize("pack", PACKS)
def test_features_have_the_declared_shapes_dtypes_and_words(pack):
    environment = resolve_env(pack)
    world = environment.make_world(3)
    world.reset(np.arange(3), np.arange(3, dtype=np.uint64))
    for rows in (0, 1, 3):
        values = world.featurize({name: field[:rows].clone() for name, field in world.fields().items()})
        assert list(values) == [spec.name for spec in environment.interface.features]
        for spec in environment.interface.features:
            assert values[spec.name].shape == (rows, *spec.shape)
            assert values[spec.name].dtype == getattr(torch, spec.dtype)
    for spec in environment.interface.features:
        assert spec.about, spec.name
        assert spec.unit or spec.dtype == "bool", spec.name


@pytest.mark.parametrize("pack", PACKS)
def test_features_stay_within_their_declared_range(pack):
    environment = resolve_env(pack)
    world = environment.make_world(4)
    world.reset(np.arange(4), np.arange(4, dtype=np.uint64))
    rng = np.random.default_rng(0)
    for _ in range(60):
        if world.action.kind == "discrete":
            action = torch.from_numpy(rng.integers(world.action.n, size=4))
        else:
            action = torch.from_numpy(rng.uniform(-1, 1, (4, *world.action.shape)).astype(np.float32))
        world.step(action)
        values = world.featurize(world.fields())
        for spec in environment.interface.features:
            value = values[spec.name].float()
            assert torch.isfinite(value).all()
            assert spec.low is None or value.min() >= spec.low - 1e-6, spec.name
            assert spec.high is None or value.max() <= spec.high + 1e-6, spec.name
        done = torch.nonzero(world.terminated | world.truncated)[:, 0].numpy()
        world.reset(done, done.astype(np.uint64) + 100)
