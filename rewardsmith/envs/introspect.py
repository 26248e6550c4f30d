"""Named features for an environment without a pack: from its spaces, its docstring's observation table, the numbers in
`info`, and, for MuJoCo, the names of bodies, joints and sensors."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from rewardsmith.engine import alive
from rewardsmith.envs.gym_world import FieldReader
from rewardsmith.envs.physics import load_mujoco
from rewardsmith.envs.rendering import MujocoEnvArtist, draw_gym
from rewardsmith.envs.spaces import Leaf, action_spec, observation_leaves
from rewardsmith.errors import EnvironmentFault
from rewardsmith.types import Dtype, FeatureSpec, RewardInterface

PROBE_STEPS = 20
MAX_INFO_NUMBERS = 16
ABOUT_CHARS = 500
_HIDDEN_INFO = re.compile(r"rew|success|TimeLimit|episode|terminal|final_")
"""`info` keys that would hand a reward function the answer (native reward, goal), or are wrappers' bookkeeping."""
_REWARD_TERM = re.compile("rew")
_DTYPES: dict[str, Dtype] = {"real": "float32", "flags": "bool", "choices": "int64"}
_MINOR = frozenset({"of", "the", "a", "an", "and", "to", "in", "on", "at", "for", "by", "from", "with"})


@dataclass(frozen=True)
class Column:
    """One feature and the field, with an index into its row, that it is read from."""

    spec: FeatureSpec
    field: str
    index: int | None = None


@dataclass(frozen=True)
class Description:
    """What `describe` found out."""

    interface: RewardInterface
    leaves: list[Leaf]
    about: str
    dt: float | None
    reader: FieldReader | None
    has_success: bool
    reward_terms: tuple[str, ...]  # keys of single numbers in `info` that are parts of the native reward
    columns: tuple[Column, ...]
    draw: Callable[[Any, int], np.ndarray]

    def featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        out = {}
        for column in self.columns:
            value = fields[column.field]
            if column.index is not None:
                value = value[:, column.index]
            out[column.spec.name] = value.to(getattr(torch, column.spec.dtype))
        return out


def describe(env: gym.Env, name: str) -> Description:
    """Find out what rewards may read in `env`, by its declarations and by up to 20 random steps.

    Raises: EnvironmentFault: its actions or observations are of a kind that cannot be used, or it fails.
    """
    doc = next((cls.__doc__ for cls in type(env.unwrapped).__mro__ if cls.__doc__ and "Num" in cls.__doc__), None)
    doc = doc or type(env.unwrapped).__doc__ or ""
    action = action_spec(env.action_space, name, "; ".join(row.text for row in tables(doc, "action")[:12]))
    leaves = observation_leaves(env.observation_space, name)
    try:
        infos = _probe(env)
        reader = _Reader(env, infos)
    except Exception as error:  # a boundary: the environment is someone else's code
        raise EnvironmentFault(
            f"{name} failed within {PROBE_STEPS} random steps: {type(error).__name__}: {error}",
            hint="this is an error of the environment itself: try it alone with gymnasium.make",
        ) from error
    columns: list[Column] = []
    taken: set[str] = set()

    def add(feature: str, field: str, shape: tuple[int, ...], index: int | None = None, **more: Any) -> None:
        unique = feature
        for k in range(2, 1000):
            if unique not in taken:
                break
            unique = f"{feature[:36]}_{k}"
        taken.add(unique)
        columns.append(Column(FeatureSpec(name=unique, shape=shape, **more), field, index))

    table = tables(doc, "observation")
    for leaf in leaves:
        _add_leaf(leaf, table if len(leaves) == 1 else [], add)
    for feature, field, shape, about, unit in reader.features:
        add(feature, field, shape, about=about, unit=unit)
    dt = getattr(env.unwrapped, "dt", None)
    return Description(
        interface=RewardInterface(features=tuple(column.spec for column in columns), action=action),
        leaves=leaves,
        about=_first_paragraph(doc) or f"the Gymnasium environment {name}",
        dt=float(dt) if isinstance(dt, (int, float)) else None,
        reader=reader if reader.shapes else None,
        has_success=any("is_success" in info for info in infos),
        reward_terms=_reward_terms(infos),
        columns=tuple(columns),
        draw=_draw_mujoco(env) if reader.model is not None else draw_gym,
    )


def _add_leaf(leaf: Leaf, table: list[Row], add: Callable[..., None]) -> None:
    base = slug(leaf.name) if leaf.name else "observation"
    dtype = _DTYPES[leaf.kind]
    if leaf.kind == "real" and len(leaf.shape) == 1 and len(table) == leaf.shape[0]:
        for i, row in enumerate(table):
            low, high = leaf.bounds(i)
            add(slug(row.text), leaf.field, (), i, dtype=dtype, about=row.text, unit=row.unit, low=low, high=high)
        return
    low, high = leaf.bounds() if leaf.kind == "real" else (None, None)
    about = f"{leaf.name or 'observation'} as the environment gives it"
    if leaf.kind == "choices":
        about += f", one of {', '.join(map(str, leaf.nvec[:8]))} values"
    add(base, leaf.field, leaf.shape, dtype=dtype, about=about, low=low, high=high)


# --- the docstring's tables ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One row of a table: what it says, and the unit."""

    text: str
    unit: str


def tables(doc: str, kind: str) -> list[Row]:
    """Rows 0, 1, 2, ... of the first Markdown table in `doc` whose header has a column named like `kind`; else none."""
    rows: list[Row] = []
    header: list[str] | None = None
    for line in doc.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if "|" in line else []
        if not cells:
            if rows:
                break
            header = None
        elif header is None and len(cells) >= 2 and cells[0].lower() in ("num", "index", "#"):
            header = cells if kind in cells[1].lower() else None
        elif header is not None and cells[0].isdigit() and int(cells[0]) == len(rows):
            by_name = dict(zip((h.lower() for h in header), cells, strict=False))
            unit = next((value for key, value in by_name.items() if "unit" in key), "")
            inner = re.search(r"\(([^()]*)\)\s*$", unit)
            rows.append(Row(cells[1].replace("`", ""), inner.group(1) if inner else unit))
    return rows


def slug(text: str) -> str:
    """A feature name from words: lower case, at most 40 characters, small words dropped."""
    text = re.sub(r"\([^)]*\)$", "", text.strip()) or text
    words = [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]
    words = [word for word in words if word not in _MINOR] or words or ["feature"]
    name = "_".join(words)
    name = name if name[0].isalpha() else f"f_{name}"
    while len(name) > 40 and "_" in name:
        name = name.rpartition("_")[0]
    return name[:40]


def _first_paragraph(doc: str) -> str:
    lines = [line.strip() for line in doc.strip().splitlines()]
    text: list[str] = []
    for line in lines:
        if line.startswith("#") or (not line and not text):
            continue
        if not line:
            break
        text.append(line)
    return textwrap.shorten(" ".join(text), ABOUT_CHARS, placeholder=" ...")


# --- info and MuJoCo -----------------------------------------------------------------------------------------------


def _probe(env: gym.Env) -> list[dict[str, Any]]:
    """The infos of a reset and of up to 20 random steps."""
    env.action_space.seed(0)
    infos = [env.reset(seed=0)[1]]
    for _ in range(PROBE_STEPS):
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
        alive()
        infos.append(info)
        if terminated or truncated:
            break
    if wrong := {type(info).__name__ for info in infos if not isinstance(info, Mapping)}:
        raise TypeError(f"info is no dict but {', '.join(sorted(wrong))}")
    return infos


def _info_shape(value: Any) -> tuple[int, ...] | None:
    """Shape of a numeric info value with at most 16 numbers, else None."""
    if isinstance(value, (bool, int, float, np.number, np.bool_)):
        return ()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.size <= MAX_INFO_NUMBERS:
        return value.shape
    return None


def _reward_terms(infos: list[dict[str, Any]]) -> tuple[str, ...]:
    found = dict.fromkeys(key for info in infos for key in info if isinstance(key, str) and _REWARD_TERM.search(key))
    return tuple(key for key in found if all(_info_shape(info[key]) == () for info in infos if key in info))


class _Reader:
    """Reads numeric info keys and, from MuJoCo, named state. `features`: (name, field, shape, about, unit)."""

    def __init__(self, env: gym.Env, infos: list[dict[str, Any]]) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], str]] = {}
        self.features: list[tuple[str, str, tuple[int, ...], str, str]] = []
        self._info_keys: dict[str, str] = {}
        for key in dict.fromkeys(key for info in infos for key in info):
            shapes = {_info_shape(info[key]) for info in infos if key in info}
            shape = shapes.pop()
            if not isinstance(key, str) or _HIDDEN_INFO.search(key) or shapes or shape is None:
                continue
            field = f"info.{key}"
            self._info_keys[field] = key
            self.shapes[field] = (shape, "float64")
            late = "" if key in infos[0] else "; 0 before the first step"
            self.features.append((f"info_{slug(key)[:35]}", field, shape, f"info[{key!r}]{late}", ""))
        self.model = _mujoco_model(env)
        self._getters: dict[str, Callable[[Any], Any]] = {}
        if self.model is not None:
            self._name_mujoco(self.model)

    def _name_mujoco(self, model: Any) -> None:
        def add(name: str, shape: tuple[int, ...], about: str, unit: str, get: Callable[[Any], Any]) -> None:
            field = f"mujoco.{name}"
            self.shapes[field] = (shape, "float64")
            self._getters[field] = get
            self.features.append((slug(name), field, shape, about, unit))

        for i in range(1, model.nbody):
            if name := model.body(i).name:
                add(f"{name}_position", (3,), f"body {name}, world frame", "m", lambda d, i=i: d.xpos[i])
        for i in range(model.njnt):
            joint = model.joint(i)
            if not joint.name:
                continue
            q, v = int(joint.qposadr[0]), int(joint.dofadr[0])
            kind = int(joint.type[0])
            nq, nv = {0: (7, 6), 1: (4, 3)}.get(kind, (1, 1))
            angle = kind in (1, 3)
            what, units = ("angle", ("rad", "rad/s")) if angle else ("position", ("m", "m/s"))
            about = f"joint {joint.name}" + (": position and quaternion" if nq == 7 else "")
            shape_q, shape_v = (() if nq == 1 else (nq,)), (() if nv == 1 else (nv,))
            index_q = q if nq == 1 else slice(q, q + nq)
            index_v = v if nv == 1 else slice(v, v + nv)
            add(f"{joint.name}_joint_{what}", shape_q, about, units[0], lambda d, i=index_q: d.qpos[i])
            add(
                f"{joint.name}_joint_velocity", shape_v, f"joint {joint.name}", units[1], lambda d, i=index_v: d.qvel[i]
            )
        for i in range(model.nsensor):
            if name := model.sensor(i).name:
                start, size = int(model.sensor_adr[i]), int(model.sensor_dim[i])
                index = start if size == 1 else slice(start, start + size)
                shape = () if size == 1 else (size,)
                add(f"{name}_sensor", shape, f"sensor {name}", "", lambda d, i=index: d.sensordata[i])

    def read(self, env: gym.Env, info: Mapping[str, Any], action: Any) -> Mapping[str, Any]:
        out = {field: info[key] for field, key in self._info_keys.items() if key in info}
        if self._getters:
            data: Any = env.unwrapped.data  # pyright: ignore[reportAttributeAccessIssue]
            out |= {field: get(data) for field, get in self._getters.items()}
        return out


def _mujoco_model(env: gym.Env) -> Any | None:
    model = getattr(env.unwrapped, "model", None)
    if type(model).__name__ != "MjModel" or type(getattr(env.unwrapped, "data", None)).__name__ != "MjData":
        return None
    load_mujoco()
    return model


def _draw_mujoco(env: gym.Env) -> Callable[[Any, int], np.ndarray]:
    config = getattr(getattr(env.unwrapped, "mujoco_renderer", None), "default_cam_config", None) or {}
    model: Any = _mujoco_model(env)
    track = model.body(config["trackbodyid"]).name if config.get("trackbodyid", -1) > 0 else ""
    settings = {"distance": config.get("distance"), "elevation": config.get("elevation", -20.0)}
    return MujocoEnvArtist(track=track, **settings)
