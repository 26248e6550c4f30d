"""Reads the named features that the reward was written over from a live Gymnasium environment.

environment.json says where each number comes from; a pack's own functions are in pack_features.py.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
DESCRIPTION: dict[str, Any] = json.loads((HERE / "environment.json").read_text(encoding="utf-8"))


class FeatureReader:
    """Named features of one environment, as a batch of one row. Call `read` once after each reset and each step."""

    def __init__(self, env: gym.Env) -> None:
        self._env = env.unwrapped
        self._sources: dict[str, dict[str, Any]] = DESCRIPTION["fields"]
        self._pack: Any = importlib.import_module("pack_features") if DESCRIPTION["pack"] else None
        self._last: dict[str, np.ndarray] = {}

    def read(self, obs: Any, info: Mapping[str, Any], action: Any = None) -> dict[str, Tensor]:
        """Features {name: (1, ...)}. `action` is what `env.step` was given; None after a reset."""
        if action is None:
            self._last = {}
        given = self._pack.read(self._env, info, action) if hasattr(self._pack, "read") else {}
        now = {name: self._field(name, source, obs, info, given) for name, source in self._sources.items()}
        self._last = {name: value for name, value in now.items() if not name.startswith("before:")}
        fields = {name: torch.from_numpy(value[None].copy()) for name, value in now.items()}
        if self._pack is not None:
            values = self._pack.features(fields)
        else:
            values = {f["name"]: _column(fields[f["field"]], f["index"]) for f in DESCRIPTION["features"]}
        return {f["name"]: values[f["name"]].to(getattr(torch, f["dtype"])) for f in DESCRIPTION["features"]}

    def _field(
        self, name: str, source: Mapping[str, Any], obs: Any, info: Mapping[str, Any], given: Mapping[str, Any]
    ) -> np.ndarray:
        if source["from"] == "before" and source["field"] in self._last:
            return self._last[source["field"]]
        if source["from"] == "observation":
            value = pick(obs, source["path"])
        elif source["from"] == "info":
            value = info.get(source["key"], 0)
        elif source["from"] == "read":
            value = given.get(name, 0)
        else:
            value = self._mujoco(source)
        dtype = np.dtype(source["dtype"])
        if source["shape"] is None:
            return np.array(value, dtype=dtype)
        return np.broadcast_to(np.asarray(value, dtype=dtype), source["shape"]).copy()

    def _mujoco(self, source: Mapping[str, Any]) -> Any:
        """A field of MjData: all of it, or the part that belongs to a named body, geom, site, joint or sensor."""
        data: Any = getattr(self._env, "data")  # noqa: B009 - only MuJoCo environments have it
        kind, name = source["kind"], source["name"]
        if not kind:
            return getattr(data, source["mujoco"])
        element = getattr(data, kind)(name)
        if kind in ("joint", "sensor"):
            return getattr(element, "data" if kind == "sensor" else source["mujoco"]).reshape(source["shape"])
        return getattr(data, source["mujoco"])[element.id]


def pick(obs: Any, path: list) -> Any:
    """One array out of nested dictionaries and tuples."""
    for key in path:
        obs = obs[key]
    return obs


def _column(value: Tensor, index: int | list[int] | None) -> Tensor:
    if index is None:
        return value
    rows = value.reshape(len(value), -1)
    return rows[:, index] if isinstance(index, int) else rows[:, index[0] : index[1]]


def flatten_observation(obs: Any) -> np.ndarray:
    """The observation as the trained policy takes it, (obs_dim,) float32: arrays in a row, choices one-hot."""
    parts = []
    for leaf in DESCRIPTION["observation"]:
        value = np.asarray(pick(obs, leaf["path"]))
        if leaf["kind"] != "choices":
            parts.append(value.astype(np.float32).ravel())
            continue
        for choice, start, n in zip(value.ravel(), leaf["start"], leaf["nvec"], strict=True):
            parts.append(np.eye(n, dtype=np.float32)[int(np.clip(choice - start, 0, n - 1))])
    return np.concatenate(parts)
