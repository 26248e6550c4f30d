"""Packs: the bundled ones are complete; a mistake names the pack, the file, the field and the fix."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint

import gymnasium as gym
import numpy as np
import pytest
import torch

from rewardsmith.envs import TrainingDefaults, list_packs, resolve, resolve_env, score_episodes
from rewardsmith.envs.pack import _SECTIONS, PackFile, bundled_packs
from rewardsmith.errors import EnvironmentFault, MissingExtra
from rewardsmith.resources import resource_root
from tests.envs.packs import PACKS

GOAL_ENDS = ("bipedal_walker", "mountain_car_continuous", "lunar_lander", "minihack_room")
STUMBLED_UPON = ("minihack_room",)  # a random walk crosses the whole room


@pytest.fixture
def folder(tmp_path):
    """A copy of the hopper pack to make mistakes in."""
    return shutil.copytree(bundled_packs()["hopper"], tmp_path / "hopper")


@pytest.fixture
def lander(tmp_path):
    return shutil.copytree(bundled_packs()["lunar_lander"], tmp_path / "lunar_lander")


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_bundled_packs_are_listed():
    infos = {info.name: info for info in list_packs()}
    assert set(bundled_packs()) <= set(infos)
    for info in infos.values():
        assert not info.error and info.about and info.default_task == info.tasks[0]
        assert "extra" not in info.about, "designers read it, and can install nothing"
    assert [infos[name].extra for name in ("hopper", "fetch_push", "minihack_room")] == ["", "robotics", "minihack"]


def test_whether_success_ends_the_episode_may_be_left_open(folder):
    assert resolve_env(str(folder)).goal_ends("hop_forward") is False
    replace(folder / "pack.toml", "goal_ends = false\n", "")
    environment = resolve_env(str(folder))
    assert [environment.goal_ends(task) for task in ("hop_forward", "no such task", None)] == [None] * 3


@pytest.mark.parametrize("name", PACKS)
def test_bundled_packs_are_complete(name):
    environment = resolve_env(name)
    assert environment.name == name
    assert environment.interface.features and environment.about
    registered = gym.spec(environment.pack.file.env.gymnasium)
    assert registered.max_episode_steps is None or environment.horizon <= registered.max_episode_steps
    assert environment.dt is None or environment.dt > 0
    for task in environment.tasks.values():
        assert task.instruction and "success" in task.metric_about and "fitness" in task.metric_about
        assert environment.metric(task.name).about == task.metric_about
        assert environment.goal_ends(task.name) == (name in GOAL_ENDS)
    assert environment.metric(None).about == environment.metric(environment.default_task).about
    assert set(environment.reference_rewards) == {"human", "sparse"}
    assert "http" in environment.reference_rewards["human"].splitlines()[0]
    for rows in (0, 3):
        goal = environment.goal_states(rows, np.random.default_rng(0))
        assert (goal is None) == (environment.default_task == "balance")
        for feature in environment.interface.features if goal else ():
            assert goal[feature.name].shape == (rows, *feature.shape)
            assert torch.isfinite(goal[feature.name].float()).all()
            assert feature.low is None or (goal[feature.name] >= feature.low - 1e-6).all(), feature.name
            assert feature.high is None or (goal[feature.name] <= feature.high + 1e-6).all(), feature.name
    assert isinstance(environment.training, TrainingDefaults)
    rollout = environment.training.num_envs * environment.training.rollout_steps
    assert rollout % environment.training.minibatch_size == 0
    assert environment.training.env_steps >= 10 * rollout


@pytest.mark.parametrize("name", PACKS)
def test_reference_rewards_read_declared_features_only(name):
    environment = resolve_env(name)
    known = {spec.name for spec in environment.interface.features} | {"terminated"}
    for source in environment.reference_rewards.values():
        tree = ast.parse(source)
        used = {
            node.slice.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Subscript)
            and ast.unparse(node.value) != "memory"
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, str)
        }
        assert used <= known
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == "compute_reward":
                assert all(isinstance(ast.literal_eval(default), float) for default in node.args.kw_defaults)


@pytest.mark.parametrize("name", [case for case in PACKS if case.values[0] not in STUMBLED_UPON])
def test_random_behaviour_does_not_succeed(name):
    """The sparse reward is hard: the random policy (nearly) never gets it."""
    environment = resolve_env(name)
    metric = environment.metric(None)
    world = environment.make_world(8)
    world.reset(np.arange(8), np.arange(8, dtype=np.uint64))
    rng = np.random.default_rng(0)
    before = {key: value.clone() for key, value in world.featurize(world.fields()).items()}
    steps, length = [], torch.zeros(8, dtype=torch.int64)
    alive = torch.ones(8, dtype=torch.bool)
    for _ in range(min(environment.horizon, 300)):
        if world.action.kind == "discrete":
            action = torch.from_numpy(rng.integers(world.action.n, size=8))
        else:
            action = torch.from_numpy(rng.uniform(-1, 1, (8, *world.action.shape)).astype(np.float32))
        world.step(action)
        after = {key: value.clone() for key, value in world.featurize(world.fields()).items()}
        values = metric.step(
            after,
            before,
            action=action,
            native_reward=world.native_reward.clone(),
            terminated=world.terminated.clone(),
        )
        assert all(value.shape == (8,) and value.dtype == torch.float64 for value in values.values())
        steps.append(values)
        length += alive
        alive &= ~(world.terminated | world.truncated)
        if not alive.any():
            break
        before = after
    quantities = {
        key: torch.cat([torch.stack([step[key][i] for step in steps[: int(length[i])]]) for i in range(8)])
        for key in steps[0]
    }
    fitness, success = score_episodes(metric, quantities, length)
    assert success.mean() <= 0.25
    assert torch.isfinite(fitness).all()


def test_tasks_of_their_own_have_metrics_of_their_own():
    environment = resolve_env("half_cheetah")
    x = {"torso_x": torch.tensor([60.0, -60.0])}
    kwargs = {"action": x["torso_x"], "native_reward": x["torso_x"], "terminated": x["torso_x"] > 0}
    for task, winner in (("run_forward", [1, 0]), ("run_backward", [0, 1])):
        metric = environment.metric(task)
        step = metric.step(x, x, **kwargs)
        assert metric.episode(step, step, step, step, torch.ones(2))[1].tolist() == winner
    with pytest.raises(EnvironmentFault, match=r"unknown task 'run_forwards'; did you mean run_forward"):
        environment.metric("run_forwards")


def test_a_pack_is_found_by_its_folder_from_anywhere(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    environment = resolve_env("./hopper")
    assert environment.spec.name == str(folder)
    assert resolve_env(environment.spec.name).interface == environment.interface
    environment.make_world(1)


def test_packs_of_other_packages_join_by_entry_point(folder, monkeypatch, tmp_path):
    (tmp_path / "their_package.py").write_text(f"def pack():\n    return {str(folder)!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("their_hopper", "their_package:pack", "rewardsmith.envs"),
        EntryPoint("broken", "their_package:missing", "rewardsmith.envs"),
    ]
    monkeypatch.setattr(resolve, "entry_points", lambda group: points)
    assert resolve_env("their_hopper").interface == resolve_env("hopper").interface
    infos = {info.name: info for info in list_packs()}
    assert infos["their_hopper"].source == "plugin" and not infos["their_hopper"].error
    assert "missing" in infos["broken"].error
    with pytest.raises(EnvironmentFault, match="plugin pack 'broken'"):
        resolve_env("broken")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("env_steps =", "env_stepz =", ["training.env_stepz", "unknown field", "use 'env_steps'"]),
        ("env_steps = 300_000", "env_steps = -1", ["training.env_steps", "greater than 0", "-1"]),
        ("horizon = 1000", "", ["env.horizon", "missing", "add 'horizon' to [env]"]),
        ('backend = "mujoco"', 'backend = "bullet"', ["env.backend", "'gymnasium', 'mujoco', 'torch' or 'nle'"]),
        ("[[task]]", "[[tasks]]", ["tasks", "unknown field", "use 'task'"]),
        ('name = "hop_forward"', 'name = "Hop forward"', ["task.0.name"]),
        ("goal_ends = false", 'goal_ends = "perhaps"', ["task.0.goal_ends", "boolean", "perhaps"]),
        ("goal_ends", "goal_end", ["task.0.goal_end", "unknown field", "use 'goal_ends'"]),
        ('about = "A', "about = A", ["not valid TOML"]),
        ('gymnasium = "Hopper-v5"', 'gymnasium = "Hoper-v5"', ["env.gymnasium", "Hoper-v5", "Hopper-v5"]),
        ('model = "hopper.xml"', 'model = "hoper.xml"', ["env.model", "hoper.xml"]),
        ('model = "hopper.xml"', 'model = "bad.xml"', ["env.model", "does not load"]),
    ],
)
def test_mistakes_in_pack_toml_name_the_field_and_the_fix(folder, old, new, words):
    (folder / "bad.xml").write_text("<mujoco><nonsense/></mujoco>")
    replace(folder / "pack.toml", old, new)
    with pytest.raises(EnvironmentFault) as caught:
        resolve_env(str(folder))
    message = str(caught.value)
    for word in ["pack 'hopper'", "pack.toml", *words]:
        assert word in message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("features.py", "FEATURES = (", "FEATURE = (", ["FEATURES is not defined"]),
        ("features.py", "import torch\n", "import torchh\n", ["ModuleNotFoundError", "torchh"]),
        ("features.py", "def features", "def feature", ["features is not defined"]),
        ("features.py", '"torso_pitch": pitch', '"torso_tilt": pitch', ["torso_pitch", "torso_tilt", "disagree"]),
        ("features.py", '"torso_x": qpos[:, 0]', '"torso_x": qpos', ["torso_x", "(1, 6)", "(1,)"]),
        ("features.py", "pitch = qpos[:, 2]", "pitch = qpos[:, 20]", ["features() fails", "IndexError"]),
        ("world.py", "def start", "def begin", ["start is not defined"]),
        ("world.py", '"before:qpos"', '"before:qpoos"', ["qpoos"]),
        ("world.py", '"qvel",', '"qvel", "xpos:tail",', ["body 'tail'"]),
    ],
)
def test_mistakes_in_python_files_name_the_file_and_the_thing(folder, file, old, new, words):
    replace(folder / file, old, new)
    with pytest.raises(EnvironmentFault) as caught:
        resolve_env(str(folder)).make_world(1)
    message = str(caught.value)
    for word in [file, *words]:
        assert word in message
    assert caught.value.hint


def test_missing_files_are_named(folder):
    (folder / "metric.py").unlink()
    with pytest.raises(EnvironmentFault, match=r"metric.py: the file is missing"):
        resolve_env(str(folder)).metric(None)
    (folder / "sparse.py").unlink()
    (folder / "goals.py").unlink()
    environment = resolve_env(str(folder))
    assert set(environment.reference_rewards) == {"human"}
    assert environment.goal_states(2, np.random.default_rng(0)) is None
    (folder / "features.py").unlink()
    with pytest.raises(EnvironmentFault, match=r"features.py: the file is missing"):
        resolve_env(str(folder))


def test_a_broken_bundled_pack_is_listed_with_its_error(folder, monkeypatch):
    replace(folder / "pack.toml", "horizon", "horizn")
    monkeypatch.setattr(resolve, "bundled_packs", lambda: {"hopper": folder})
    (info,) = list_packs()
    assert info.name == "hopper" and "horizn" in info.error


def test_options_are_those_the_pack_lists():
    environment = resolve_env("lunar_lander", kwargs={"gravity": -5.0})
    world = environment.make_world(1)
    assert world._envs[0].gravity == -5.0
    with pytest.raises(EnvironmentFault, match=r"unknown option 'gravitty'; did you mean gravity"):
        resolve_env("lunar_lander", kwargs={"gravitty": -5.0})
    with pytest.raises(EnvironmentFault, match="Hopper-v5 instead of the pack"):
        resolve_env("hopper", kwargs={"ctrl_cost_weight": 1.0})


def test_a_pack_of_a_missing_extra_names_it(monkeypatch):
    monkeypatch.delitem(gym.registry, "FetchPushDense-v4", raising=False)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "robotics" in name else found(name))
    with pytest.raises(MissingExtra, match=r"rewardsmith\[robotics\]"):
        resolve_env("fetch_push")


def test_two_packs_of_one_name_keep_their_own_code(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "hopper")
    replace(copy / "features.py", '"torso_x": qpos[:, 0]', '"torso_x": 2 * qpos[:, 0]')
    worlds = [resolve_env(str(path)).make_world(1) for path in (folder, copy)]
    fields = {"qpos": torch.ones(1, 6, dtype=torch.float64), "qvel": torch.zeros(1, 6, dtype=torch.float64)}
    fields["before:qpos"] = fields["qpos"]
    assert [world.featurize(fields)["torso_x"].item() for world in worlds] == [1, 2]


@pytest.mark.parametrize("name", PACKS)
def test_feature_names_can_be_used_in_rewards(name):
    for spec in resolve_env(name).interface.features:
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,39}", spec.name)


def test_resolving_writes_nothing_and_prints_nothing(tmp_path):
    code = "from rewardsmith.envs import resolve_env\nfor n in ('hopper', 'lunar_lander'): resolve_env(n).make_world(1)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_every_setting_of_a_pack_is_documented():
    """The example in envs/README.md shows every field, and is itself a valid pack.toml."""
    text = (resource_root("envs") / "README.md").read_text()
    example = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL).group(1))
    PackFile.model_validate(example)
    for section, model in _SECTIONS.items():
        shown = example if not section else example[section]
        shown = shown[0] if isinstance(shown, list) else shown
        assert set(shown) == set(model.model_fields), section
