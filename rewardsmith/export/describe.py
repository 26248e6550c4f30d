"""Where an environment's features come from, as plain data that feature code outside rewardsmith can follow."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from rewardsmith.envs.construct import bare_env, full_id
from rewardsmith.envs.environment import Environment, PackEnvironment
from rewardsmith.envs.introspect import describe
from rewardsmith.envs.mujoco_world import BEFORE
from rewardsmith.envs.spaces import Leaf, observation_leaves
from rewardsmith.errors import EnvironmentFault

_ELEMENTS = {"geom": "geom", "site": "site", "cam": "camera", "light": "light"}  # else: body


def describe_environment(environment: Environment) -> dict[str, Any]:
    """JSON-able: how to build the environment with Gymnasium, its raw fields with their sources, and its features.

    Raises: EnvironmentFault: a field that cannot be read outside rewardsmith.
    """
    if isinstance(environment, PackEnvironment):
        gymnasium = environment.pack.file.env.gymnasium
        return _common(environment, gymnasium, environment.native_kwargs) | _pack(environment)
    return _common(environment, environment.name, environment.spec.kwargs) | _gymnasium(environment)


def _common(environment: Environment, gymnasium: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    action = environment.interface.action
    return {
        "name": environment.name,
        "gymnasium": full_id(gymnasium),
        "kwargs": kwargs,
        "horizon": environment.horizon,
        "gamma": environment.training.gamma,
        "action": {"kind": action.kind, "low": action.low, "high": action.high},
    }


def _pack(environment: PackEnvironment) -> dict[str, Any]:
    pack = environment.pack
    if pack.file.env.backend == "nle":
        raise EnvironmentFault(
            f"{pack.name} cannot be exported: NLE blanks the observation of an episode's last step",
            hint="train and evaluate it with rewardsmith",
        )
    env = bare_env(pack.file.env.gymnasium, environment.native_kwargs)
    try:
        leaves = observation_leaves(env.observation_space, pack.name)
    finally:
        env.close()
    if pack.file.env.backend == "mujoco":
        fields = {name: _mujoco_field(name) for name in _with_sources(pack.module("world.py").FIELDS)}
    else:
        fields = {leaf.field: _leaf_field(leaf) for leaf in leaves}
        fields |= {
            name: {"from": "read", "shape": list(shape), "dtype": dtype}
            for name, (shape, dtype) in getattr(pack.module("features.py"), "FIELDS", {}).items()
        }
    features = [{"name": f.name, "dtype": f.dtype} for f in environment.interface.features]
    return {"pack": True, "fields": fields, "features": features, "observation": [_leaf(leaf) for leaf in leaves]}


def _with_sources(names: list[str] | tuple[str, ...]) -> list[str]:
    """The fields, each field that is wanted from before the step preceded by its present self."""
    return list(dict.fromkeys([*(name.removeprefix(BEFORE) for name in names), *names]))


def _gymnasium(environment: Environment) -> dict[str, Any]:
    env = bare_env(environment.name, environment.spec.kwargs)
    try:
        found = describe(env, environment.name)
        named = _mujoco_names(env)
    finally:
        env.close()
    fields = {leaf.field: _leaf_field(leaf) for leaf in found.leaves}
    for name, (shape, dtype) in (found.reader.shapes if found.reader else {}).items():
        source = named[name] if name in named else {"from": "info", "key": name.removeprefix("info.")}
        fields[name] = {**source, "shape": list(shape), "dtype": dtype}
    features = [
        {
            "name": column.spec.name,
            "dtype": column.spec.dtype,
            "field": column.field,
            "index": [column.index.start, column.index.stop] if isinstance(column.index, slice) else column.index,
        }
        for column in found.columns
    ]
    return {"pack": False, "fields": fields, "features": features, "observation": [_leaf(x) for x in found.leaves]}


def _leaf_field(leaf: Leaf) -> dict[str, Any]:
    return {"from": "observation", "path": list(leaf.path), "shape": list(leaf.shape), "dtype": leaf.dtype.name}


def _leaf(leaf: Leaf) -> dict[str, Any]:
    return {"path": list(leaf.path), "kind": leaf.kind, "nvec": list(leaf.nvec), "start": list(leaf.start)}


def _mujoco_field(name: str) -> dict[str, Any]:
    """The source of a field named as physics backends name them: `qpos`, `xpos:fingertip`, `sensordata:gyro`."""
    if name.startswith(BEFORE):
        inner = _mujoco_field(name.removeprefix(BEFORE))
        return {**inner, "from": "before", "field": name.removeprefix(BEFORE)}
    base, _, element = name.partition(":")
    kind = ("sensor" if base == "sensordata" else _ELEMENTS.get(base.split("_")[0], "body")) if element else ""
    shape = [-1] if kind == "sensor" else None
    return {"from": "mujoco", "mujoco": base, "kind": kind, "name": element, "shape": shape, "dtype": "float64"}


def _mujoco_names(env: gym.Env) -> dict[str, dict[str, Any]]:
    """Every field that is read from named elements of a MuJoCo model, as introspection names them."""
    model: Any = getattr(env.unwrapped, "model", None)
    if type(model).__name__ != "MjModel":
        return {}

    def element(kind: str, name: str, field: str) -> dict[str, Any]:
        return {"from": "mujoco", "mujoco": field, "kind": kind, "name": name}

    found: dict[str, dict[str, Any]] = {}
    for name in (model.body(i).name for i in range(1, model.nbody)):
        found[f"mujoco.{name}_position"] = element("body", name, "xpos")
    for name in (model.joint(i).name for i in range(model.njnt)):
        found |= {f"mujoco.{name}_joint_{what}": element("joint", name, "qpos") for what in ("angle", "position")}
        found[f"mujoco.{name}_joint_velocity"] = element("joint", name, "qvel")
    for name in (model.sensor(i).name for i in range(model.nsensor)):
        found[f"mujoco.{name}_sensor"] = element("sensor", name, "sensordata")
    return found
