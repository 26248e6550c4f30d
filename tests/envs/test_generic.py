"""Gymnasium ids without a pack: features, actions, refusals, goals."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rewardsmith.critic.native import record_native
from rewardsmith.envs import resolve_env
from rewardsmith.envs.introspect import slug, tables
from rewardsmith.errors import EnvironmentFault, MissingExtra
from tests.envs import toys

MODULE = toys.__name__
WALK = f"{MODULE}:ToyWalk-v0"
SPACES = f"{MODULE}:ToySpaces-v0"
BOX = spaces.Box(-1, 1, (3,), np.float32)


def build(observation, action=BOX):
    return resolve_env(SPACES, kwargs={"observation_space": observation, "action_space": action})


def started(environment, rows=2):
    world = environment.make_world(rows)
    world.reset(np.arange(rows), np.arange(rows, dtype=np.uint64))
    return world


def test_names_units_and_info_come_from_the_docstring_and_info():
    features = {spec.name: spec for spec in resolve_env(WALK).interface.features}
    assert list(features) == ["place", "drift", "info_x_squared", "info_late"]
    assert features["place"].unit == "m" and features["place"].about == "place (of point)"
    assert features["info_late"].shape == (2,)
    assert [(spec.low, spec.high) for spec in features.values()] == [(-9, 9), (-1, 1), (None, None), (None, None)]


def test_info_that_would_give_the_answer_away_is_no_feature():
    """Neither the native reward nor success."""
    names = [spec.name for spec in resolve_env(WALK).interface.features]
    assert not [name for name in names if "reward" in name or "success" in name]
    names = [spec.name for spec in resolve_env("Hopper-v5").interface.features]
    assert "info_x_velocity" in names
    assert not [name for name in names if "reward" in name]


def test_info_features_are_zero_before_the_first_step_and_follow_info():
    environment = resolve_env(WALK)
    world = started(environment, 1)
    start = {name: value.clone() for name, value in world.featurize(world.fields()).items()}
    assert start["info_late"].tolist() == [[0, 0]]
    assert start["info_x_squared"].item() == pytest.approx(start["place"].item() ** 2)
    world.step(torch.tensor([[0.5]]))
    now = world.featurize(world.fields())
    assert now["info_late"][0].tolist() == pytest.approx([now["place"].item(), 1.0])


def test_dict_and_tuple_leaves_are_named():
    environment = build(
        spaces.Dict(
            {
                "arm": spaces.Dict({"pose": BOX, "grip": spaces.Discrete(3, start=-1)}),
                "flags": spaces.MultiBinary(2),
                "pair": spaces.Tuple([spaces.MultiDiscrete([2, 4]), spaces.Box(0, 5, (2, 2), np.float64)]),
            }
        )
    )
    shapes = {spec.name: (spec.shape, spec.dtype) for spec in environment.interface.features}
    assert shapes == {
        "arm_pose": ((3,), "float32"),
        "arm_grip": ((), "int64"),
        "flags": ((2,), "bool"),
        "pair_0": ((2,), "int64"),
        "pair_1": ((2, 2), "float32"),
    }
    world = started(environment)
    assert world.obs_dim == 3 + 3 + 2 + 6 + 4
    values = world.featurize(world.fields())
    at = 0
    for leaf in world._leaves:  # policy inputs are the leaves in order, choices one-hot
        value = values[leaf.name.replace(".", "_")]
        part = world.obs[:, at : at + leaf.width]
        if leaf.kind == "choices":
            assert torch.equal(part.sum(1), torch.full((2,), float(len(leaf.nvec))))
        else:
            assert torch.equal(part, value.reshape(2, -1).float())
        at += leaf.width
    values = {name: value[0] for name, value in values.items()}
    assert int(values["arm_grip"]) in (-1, 0, 1)


@pytest.mark.parametrize(
    ("action", "kind", "shape", "given"),
    [
        (spaces.Discrete(3), "discrete", (), [0, 2]),
        (spaces.Discrete(3, start=5), "discrete", (), [0, 2]),
        (spaces.MultiDiscrete([2, 3]), "multi_discrete", (2,), [[0, 2], [1, 0]]),
        (spaces.MultiDiscrete([2, 3], start=[1, -1]), "multi_discrete", (2,), [[0, 2], [1, 0]]),
        (spaces.MultiBinary(2), "multi_discrete", (2,), [[0, 1], [1, 0]]),
        (spaces.Box(-1, 1, (2,), np.float32), "continuous", (2,), [[0.5, -1], [1, 0]]),
        (spaces.Box(-2, 1, (2, 1), np.float64), "continuous", (2,), [[0.5, -2], [1, 0]]),
        (spaces.Box(-np.inf, np.inf, (1,), np.float32), "continuous", (1,), [[3.0], [-7.0]]),
    ],
)
def test_actions_of_every_kind_reach_the_environment(action, kind, shape, given):
    environment = build(BOX, action)
    spec = environment.interface.action
    assert (spec.kind, spec.shape) == (kind, shape)
    world = started(environment)
    world.step(torch.tensor(given, dtype=getattr(torch, spec.dtype)))
    for i, env in enumerate(world._envs):
        taken = env.taken[-1]
        assert action.contains(taken)
        start = getattr(action, "start", 0)
        assert np.allclose(np.asarray(taken).ravel() - np.asarray(start).ravel(), np.ravel(given[i]))


def test_an_action_bounded_on_one_side_has_no_bounds_and_never_leaves_the_space():
    action = spaces.Box(-np.inf, 1, (1,), np.float32)
    environment = build(BOX, action)
    spec = environment.interface.action
    assert spec.low is None and spec.high is None
    world = started(environment)
    world.step(torch.tensor([[-5.0], [3.0]]))
    assert [env.taken[-1].tolist() for env in world._envs] == [[-5.0], [1.0]]


@pytest.mark.parametrize(
    ("observation", "action", "words"),
    [
        (spaces.Box(0, 255, (8, 8, 3), np.uint8), BOX, "images"),
        (spaces.Dict({"camera": spaces.Box(0, 255, (8, 8), np.uint8)}), BOX, "camera"),
        (spaces.Text(5), BOX, "Text"),
        (spaces.Box(-1, 1, (100, 100), np.float32), BOX, "10000 numbers"),
        (spaces.Dict({}), BOX, "0 numbers"),
        (BOX, spaces.Dict({"a": BOX}), "actions of the kind"),
        (BOX, spaces.Box(0, 255, (2,), np.uint8), "actions of the kind"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(observation, action, words):
    with pytest.raises(EnvironmentFault, match=words) as caught:
        build(observation, action)
    assert caught.value.hint


ROW = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ((ROW, "much", False, False, {}), "a reward that is no number (str)"),
        ((ROW, None, False, False, {}), "a reward that is no number (NoneType)"),
        ((ROW, np.ones(2), False, False, {}), "a reward that is no number (an array of shape (2,))"),
        ((np.zeros(4), 0.0, False, False, {}), "an observation of shape (4,), where its space says (3,)"),
        ((np.zeros(1), 0.0, False, False, {}), "an observation of shape (1,), where its space says (3,)"),
        ((0.0, 0.0, False, False, {}), "an observation of shape (), where its space says (3,)"),
        ((None, 0.0, False, False, {}), "an observation of shape (), where its space says (3,)"),
        (("up", 0.0, False, False, {}), "an observation that is no array of numbers (str)"),
        (([object()] * 3, 0.0, False, False, {}), "an observation that is no array of numbers (list)"),
        ((ROW, 0.0, np.ones(2, bool), False, {}), "what nobody can read ("),
        ((ROW, 0.0, False), "failed in step (row 0"),
    ],
)
def test_what_an_environment_returns_wrongly_is_named(returned, words):
    environment = resolve_env(f"{MODULE}:ToyOdd-v0", kwargs={"returned": returned})
    world = started(environment)
    world.step(torch.zeros(2, 3))
    with pytest.raises(EnvironmentFault) as caught:
        world.step(torch.zeros(2, 3))
    assert words in caught.value.message
    assert caught.value.hint
    with pytest.raises(EnvironmentFault):
        record_native(environment, transitions=100, seed=0)


def test_a_leaf_that_is_missing_is_named():
    space = spaces.Dict(a=spaces.Discrete(2), b=BOX)
    world = started(resolve_env(f"{MODULE}:ToyOdd-v0", kwargs={"returned": ({"a": 1}, 0, 0, 0, {}), "space": space}))
    world.step(torch.zeros(2, 3))
    with pytest.raises(EnvironmentFault, match="an observation 'b' that is no array of numbers"):
        world.step(torch.zeros(2, 3))


def test_a_bad_reset_is_named():
    world = started(resolve_env(f"{MODULE}:ToyOdd-v0", kwargs={"start": (np.zeros(7), {})}))
    with pytest.raises(EnvironmentFault, match=r"shape \(7,\), where its space says \(3,\) from reset \(row 1\)"):
        world.reset(np.array([1]), np.array([1], np.uint64))


def test_info_that_is_no_dict_is_named(monkeypatch):
    environment = resolve_env(WALK)
    monkeypatch.setattr(toys.Walk, "step", lambda self, action: (np.zeros(2), 0.0, False, False, None))
    with pytest.raises(EnvironmentFault, match="no dict as info"):
        started(environment).step(torch.zeros(2, 1))
    with pytest.raises(EnvironmentFault, match="info is no dict but NoneType"):
        resolve_env(WALK)


def test_the_right_numbers_may_be_nested_differently():
    returned = (np.ones((1, 3)), np.array(2.0), 0, 1, {})
    world = started(resolve_env(f"{MODULE}:ToyOdd-v0", kwargs={"returned": returned}), 1)
    world.step(torch.zeros(1, 3))
    world.step(torch.zeros(1, 3))
    assert world.obs.tolist() == [[1.0, 1.0, 1.0]]
    assert (world.native_reward.item(), world.terminated.item(), world.truncated.item()) == (2.0, False, True)


def test_a_close_that_fails_costs_nothing(monkeypatch, caplog):
    world = started(resolve_env(WALK))
    monkeypatch.setattr(toys.Walk, "close", lambda self: 1 / 0)
    world.close()
    assert caplog.text.count("failed in close: ZeroDivisionError") == 2


@pytest.mark.parametrize("action", [spaces.Box(-1, 1, (0,)), spaces.MultiDiscrete(np.zeros(0, np.int64))])
def test_no_action_at_all_is_refused(action):
    with pytest.raises(EnvironmentFault, match="actions of size 0"):
        build(BOX, action)


def test_actions_beyond_all_bounds_have_none():
    environment = build(BOX, spaces.Box(-1e300, 1e300, (2,), np.float64))
    assert environment.interface.action.low is None
    assert record_native(environment, transitions=10, seed=0).random.action.isfinite().all()


def test_mujoco_names_become_features():
    features = {spec.name: spec.shape for spec in resolve_env("Ant-v5").interface.features}
    assert features["observation"] == (105,)
    assert features["torso_position"] == (3,)
    assert features["root_joint_position"] == (7,) and features["root_joint_velocity"] == (6,)
    assert features["hip_1_joint_angle"] == ()
    environment = resolve_env("InvertedPendulum-v5")
    world = started(environment)
    world.step(torch.tensor([[1.0], [-1.0]]))
    values = world.featurize(world.fields())
    assert torch.equal(values["hinge_joint_angle"], world.obs[:, 1])
    assert values["slider_joint_velocity"][0] > 0 > values["slider_joint_velocity"][1]


def test_features_match_what_they_declare_for_any_number_of_rows():
    for name in (WALK, "CartPole-v1", "FrozenLake-v1", "Walker2d-v5"):
        environment = resolve_env(name)
        world = started(environment)
        for rows in (0, 1, 2):
            values = world.featurize({key: field[:rows].clone() for key, field in world.fields().items()})
            for spec in environment.interface.features:
                assert values[spec.name].shape == (rows, *spec.shape)
                assert values[spec.name].dtype == getattr(torch, spec.dtype)


def test_native_metric_is_success_then_threshold_then_nothing():
    ones = torch.ones(2, dtype=torch.float64)
    empty = {}

    def judged(environment, info):
        metric = environment.metric(None)
        step = metric.step(
            empty, empty, action=ones, native_reward=torch.tensor([4.0, 6.0]), terminated=ones.bool(), info=info
        )
        fitness, success = metric.episode(step, step, step, step, ones)
        return fitness.tolist(), success.tolist(), metric.about

    fitness, success, about = judged(resolve_env(WALK), {"is_success": torch.tensor([1.0, 0.0])})
    assert (fitness, success) == ([4, 6], [1, 0]) and "is_success" in about
    kwargs = {"observation_space": BOX, "action_space": BOX}
    fitness, success, about = judged(resolve_env(f"{MODULE}:ToyThreshold-v0", kwargs=kwargs), {})
    assert (fitness, success) == ([4, 6], [0, 1]) and "threshold 5" in about
    fitness, success, about = judged(build(BOX), {})
    assert (fitness, success) == ([4, 6], [0, 0]) and "no success" in about


def test_without_a_pack_there_are_no_tasks():
    environment = resolve_env(WALK)
    assert environment.tasks == {} and environment.reference_rewards == {}
    with pytest.raises(EnvironmentFault, match="no task 'fly'"):
        environment.metric("fly")


def test_an_undeclared_time_limit_is_said():
    environment = resolve_env(f"{MODULE}:ToyUnlimited-v0")
    assert environment.horizon == 1000
    assert "no time limit" in environment.about
    assert resolve_env(WALK).horizon == 20


def test_keyword_arguments_reach_the_environment_and_wrong_ones_are_named():
    world = started(resolve_env(WALK, kwargs={"scale": 3.0}))
    assert world._envs[0].scale == 3.0
    with pytest.raises(EnvironmentFault, match="speed") as caught:
        resolve_env(WALK, kwargs={"speed": 3.0})
    assert "--env-kwargs" in caught.value.hint


def test_an_environment_that_fails_at_once_is_named():
    with pytest.raises(EnvironmentFault, match=r"ToyBroken-v0 failed within 20 random steps: ValueError: the gearbox"):
        resolve_env(f"{MODULE}:ToyBroken-v0")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hoper", "did you mean hopper"),
        ("CartPol-v1", "CartPole-v1"),
        ("cartpole-v1", "CartPole-v1"),
        ("Nothing-v0", "unknown environment 'Nothing-v0'"),
        ("no_such_module:Thing-v0", "no_such_module"),
        ("HalfCheetah-v1", "v"),
        ("./nowhere", "no such pack folder"),
        ("", "unknown environment"),
    ],
)
def test_unknown_names_get_close_matches(name, words):
    with pytest.raises(EnvironmentFault) as caught:
        resolve_env(name)
    assert words in str(caught.value)


def test_a_missing_extra_is_named(monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "minihack" else real(name, *a))
    monkeypatch.setattr(
        gym, "registry", {key: value for key, value in gym.registry.items() if not key.startswith("MiniHack")}
    )
    with pytest.raises(MissingExtra, match=r"rewardsmith\[minihack\]"):
        resolve_env("MiniHack-KeyRoom-S5-v0")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Cart Position", "cart_position"),
        ("velocity of the x-coordinate of the torso", "velocity_x_coordinate_torso"),
        ("2nd joint", "f_2nd_joint"),
        ("the", "the"),
        ("   ", "feature"),
        ("x = cos(theta)", "x_cos_theta"),
        ("a" * 60, "a" * 40),
        ("Größe", "gr_e"),
    ],
)
def test_slugs_are_feature_names(text, name):
    import re

    got = slug(text)
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,39}", got)
    assert got == name or text.startswith("x =")


def test_tables_are_read_only_when_they_are_about_the_thing():
    action = "| Num | Action | Unit |\n|--|--|--|\n| 0 | push | force (N) |\n"
    doc = f"{action}\n| Num | Observation |\n|--|--|\n| 0 | a |\n| 1 | b |\n"
    assert [row.text for row in tables(doc, "observation")] == ["a", "b"]
    assert [(row.text, row.unit) for row in tables(doc, "action")] == [("push", "N")]
    assert tables("no table at all | here", "observation") == []
