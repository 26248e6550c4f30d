"""`GymWorld`: any Gymnasium environment as a `VecWorld`, in one lean loop over preallocated arrays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from rewardsmith.envs.snapshot import snapshot_for
from rewardsmith.envs.spaces import Leaf, native_actions
from rewardsmith.envs.world import VecWorld
from rewardsmith.errors import EnvironmentFault
from rewardsmith.types import ActionSpec

log = logging.getLogger(__name__)


class FieldReader(Protocol):
    """Raw state beyond the observation."""

    @property
    def shapes(self) -> Mapping[str, tuple[tuple[int, ...], str]]:
        """Field names with (shape per row, numpy dtype)."""
        ...

    def read(self, env: gym.Env, info: Mapping[str, Any], action: Any) -> Mapping[str, Any]:
        """Values by name after a reset (`action` is None) or a step; a name left out is zero."""
        ...


class GymWorld(VecWorld):
    """See `VecWorld`. Steps bare environments (no checker, no order enforcing) and keeps the time limit itself."""

    def __init__(
        self,
        make_env: Callable[[], gym.Env],
        num_envs: int,
        *,
        name: str,
        action: ActionSpec,
        leaves: list[Leaf],
        horizon: int,
        featurize: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        draw: Callable[[gym.Env, int], np.ndarray],
        reader: FieldReader | None = None,
        info_names: tuple[str, ...] = (),
    ) -> None:
        """Args:
        make_env: builds one bare environment.
        leaves: the arrays of its observation.
        featurize: raw fields to named features.
        draw: (environment, size) to a picture.
        info_names: numeric `info` keys that metrics read.
        """
        self._envs = [make_env() for _ in range(num_envs)]
        self._name, self.action, self.horizon = name, action, horizon
        self._leaves, self._featurize, self._draw, self._reader = leaves, featurize, draw, reader
        self._native_actions = native_actions(self._envs[0].action_space)
        self._allocate(num_envs, sum(leaf.width for leaf in leaves))
        shapes = {leaf.field: (leaf.shape, leaf.dtype) for leaf in leaves}
        shapes |= {key: (shape, np.dtype(dtype)) for key, (shape, dtype) in (reader.shapes if reader else {}).items()}
        self._arrays = {key: np.zeros((num_envs, *shape), dtype) for key, (shape, dtype) in shapes.items()}
        self._previous = {key: array.copy() for key, array in self._arrays.items()}
        self._fields = {key: torch.from_numpy(array) for key, array in self._arrays.items()}
        self._sizes = [int(np.prod(leaf.shape)) for leaf in leaves]
        self._only_box = leaves[0] if len(leaves) == 1 and leaves[0].kind == "real" else None
        self._obs, self._reward = self.obs.numpy(), self.native_reward.numpy()
        self._terminated, self._truncated = self.terminated.numpy(), self.truncated.numpy()
        self.info = {key: torch.zeros(num_envs, dtype=torch.float64) for key in info_names}
        self._t = np.zeros(num_envs, np.int64)
        self._snapshot = snapshot_for(self._envs[0])
        self.can_restore = self._snapshot is not None
        self._keeps_world = type(self._envs[0].unwrapped).__module__ == "gymnasium.envs.box2d.bipedal_walker"
        self._clocks = [_physics_clock(env) for env in self._envs]

    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        if len(ids) == 0:
            return
        for i, seed in zip(ids.tolist(), seeds.tolist(), strict=True):
            if self._keeps_world:
                _renew_world(self._envs[i].unwrapped)
            try:
                obs, info = self._envs[i].reset(seed=seed)
            except Exception as error:  # a boundary: the environment is someone else's code
                raise self._fault("reset", i, f"seed {seed}", error) from error
            try:
                self._record(i, obs, info, None)
            except Exception as error:  # the same boundary: what it returned
                raise self._misfit("reset", i, obs, 0.0, info, error) from error
        rows = np.asarray(ids, dtype=np.int64)
        self._t[rows] = 0
        self._terminated[rows] = self._truncated[rows] = False
        self.diverged.numpy()[rows] = False
        self._reward[rows] = 0.0
        self._flatten(rows)

    def step(self, action: Tensor) -> None:
        for key, array in self._arrays.items():
            np.copyto(self._previous[key], array)
        self._t += 1
        blown: list[int] = []
        for i, (env, act) in enumerate(zip(self._envs, self._native_actions(action), strict=True)):
            clock = self._clocks[i]
            before = clock() if clock else 0.0
            try:
                obs, reward, terminated, truncated, info = env.step(act)
            except Exception as error:  # a boundary: the environment is someone else's code
                raise self._fault("step", i, f"action {act!r}", error) from error
            try:
                self._record(i, obs, info, act)
                self._reward[i] = float(reward)  # type: ignore[arg-type]
                self._terminated[i], self._truncated[i] = terminated, truncated
            except Exception as error:  # the same boundary: what it returned
                raise self._misfit("step", i, obs, reward, info, error) from error
            if clock and clock() <= before:  # MuJoCo resets a simulation that blew up, without a word
                blown.append(i)
        self._truncated |= self._t >= self.horizon
        self.diverged.zero_()
        good = np.ones(self.num_envs, bool)
        for leaf in self._leaves:
            if leaf.kind == "real":
                good &= np.isfinite(self._arrays[leaf.field].reshape(self.num_envs, -1)).all(1)
        good[blown] = False
        if not good.all():
            self._undo(np.flatnonzero(~good))
        self._truncated &= ~self._terminated
        self._flatten(slice(None))

    def _record(self, i: int, obs: Any, info: Mapping[str, Any], action: Any) -> None:
        if self._only_box is not None:
            self._write(self._only_box, self._sizes[0], i, obs)
        else:
            for leaf, size in zip(self._leaves, self._sizes, strict=True):
                self._write(leaf, size, i, leaf.pick(obs))
        if self._reader is not None:
            values = self._reader.read(self._envs[i], info, action)
            for key in self._reader.shapes:
                self._arrays[key][i] = values.get(key, 0)
        for key, tensor in self.info.items():
            tensor[i] = float(info.get(key, 0.0))

    def _write(self, leaf: Leaf, size: int, i: int, value: Any) -> None:
        if np.size(value) != size:  # numpy would repeat a single number
            raise ValueError(f"{np.size(value)} numbers for {size}")
        self._arrays[leaf.field][i] = value

    def _undo(self, rows: np.ndarray) -> None:
        """Rows that blew up end here, with their last real observation."""
        for key, array in self._arrays.items():
            array[rows] = self._previous[key][rows]
        self._terminated[rows] = True
        self.diverged.numpy()[rows] = True
        self._reward[rows] = 0.0

    def _flatten(self, rows: np.ndarray | slice) -> None:
        if self._only_box is not None:
            flat = self._arrays["obs"][rows]
            self._obs[rows] = flat.reshape(len(flat), -1)
            return
        chosen = torch.arange(self.num_envs)[rows]
        self.obs[chosen] = torch.cat([leaf.flatten(self._fields[leaf.field][chosen]) for leaf in self._leaves], 1)

    def fields(self) -> dict[str, Tensor]:
        return self._fields

    def featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._featurize(fields)

    def render(self, id: int = 0, *, size: int = 256) -> np.ndarray:
        return self._draw(self._envs[id], size)

    def get_state(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        if self._snapshot is None or not self.can_restore:
            return super().get_state(ids)
        saved = [self._snapshot.get(self._envs[i]) for i in ids]
        rows = {key: np.stack([one[key] for one in saved]) for key in saved[0]} if saved else {}
        return rows | {key: array[ids].copy() for key, array in self._buffers().items()}

    def set_state(self, ids: np.ndarray, state: dict[str, np.ndarray]) -> None:
        if self._snapshot is None or not self.can_restore:
            return super().set_state(ids, state)
        for key, array in self._buffers().items():
            array[ids] = state[key]
        for k, i in enumerate(ids):
            env = self._envs[i]
            try:
                env.reset(seed=0)  # some environments refuse to step before their first reset
            except Exception as error:  # a boundary, as in `reset`
                raise self._fault("reset", int(i), "seed 0", error) from error
            self._snapshot.set(env, {key: state[key][k] for key in state if key.startswith("env.")})
        return None

    def _buffers(self) -> dict[str, np.ndarray]:
        return {
            "t": self._t,
            "obs": self._obs,
            "terminated": self._terminated,
            "truncated": self._truncated,
            "diverged": self.diverged.numpy(),
            "native_reward": self._reward,
            **{f"field.{key}": array for key, array in self._arrays.items()},
            **{f"info.{key}": tensor.numpy() for key, tensor in self.info.items()},
        }

    def close(self) -> None:
        for env in self._envs:
            try:
                env.close()
            except Exception as error:  # a boundary: the environment is someone else's code
                log.warning("%s failed in close: %s: %s", self._name, type(error).__name__, error)

    def _fault(self, what: str, row: int, at: str, error: Exception) -> EnvironmentFault:
        return EnvironmentFault(
            f"{self._name} failed in {what} (row {row}, {at}): {type(error).__name__}: {error}",
            hint="this is an error of the environment itself: try it alone with gymnasium.make",
        )

    def _misfit(self, what: str, row: int, obs: Any, reward: Any, info: Any, error: Exception) -> EnvironmentFault:
        if isinstance(error, EnvironmentFault):  # a pack's reader names its own faults
            return error
        wrong = _what_is_wrong(self._leaves, obs, reward, info)
        wrong = wrong or f"what nobody can read ({type(error).__name__}: {error})"
        return EnvironmentFault(
            f"{self._name} returned {wrong} from {what} (row {row})",
            hint="correct the environment or wrap it; gymnasium.utils.env_checker.check_env tells everything about it",
        )


def _what_is_wrong(leaves: Sequence[Leaf], obs: Any, reward: Any, info: Any) -> str:
    """What is no number, no dict, or does not fit the declared spaces; else empty."""
    try:
        float(reward)
    except Exception:
        return f"a reward that is no number ({_kind(reward)})"
    if not isinstance(info, Mapping):
        return f"no dict as info ({_kind(info)})"
    for leaf in leaves:
        name = f"an observation {leaf.name!r}" if leaf.name else "an observation"
        value = obs
        try:
            value = leaf.pick(obs)
            array = np.asarray(value)
            array.astype(leaf.dtype)
        except Exception:
            return f"{name} that is no array of numbers ({_kind(value)})"
        if array.shape != leaf.shape:
            return f"{name} of shape {array.shape}, where its space says {leaf.shape}"
    return ""


def _kind(value: Any) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _physics_clock(env: gym.Env) -> Callable[[], float] | None:
    """Reads the simulation time of a MuJoCo environment, or None."""
    data = getattr(env.unwrapped, "data", None)
    if data is None or type(data).__name__ != "MjData":
        return None
    return lambda: data.time


def _renew_world(walker: Any) -> None:
    """A new Box2D world: BipedalWalker keeps its own when it is reset, and with it traces of earlier episodes."""
    walker._destroy()
    walker.world = type(walker.world)()
