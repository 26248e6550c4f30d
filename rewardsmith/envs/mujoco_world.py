"""`MujocoWorld`: a MuJoCo task stated as batched torch functions over the raw fields of a `PhysicsBackend`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rewardsmith.envs.physics import PhysicsBackend
from rewardsmith.envs.world import VecWorld
from rewardsmith.types import ActionSpec

BEFORE = "before:"
"""Prefix of fields that hold the value before the last step (after a reset: the present one), `before:qpos`."""


class MujocoTask(Protocol):
    """What a pack's world.py states. All tensors are float64 and batched; `fields` are those named in FIELDS."""

    FIELDS: Sequence[str]

    def noise(self, rng: np.random.Generator) -> np.ndarray:
        """The random numbers of one reset, (d,), drawn in the native environment's order."""
        ...

    def start(self, noise: Tensor, qpos0: Tensor, qvel0: Tensor) -> tuple[Tensor, Tensor]:
        """Start positions (k, nq) and velocities (k, nv) from `noise` (k, d)."""
        ...

    def observation(self, fields: Mapping[str, Tensor]) -> Tensor:
        """Policy observation (B, obs_dim)."""
        ...

    def terminated(self, fields: Mapping[str, Tensor]) -> Tensor:
        """(B,) bool."""
        ...

    def native_reward(self, fields: Mapping[str, Tensor], action: Tensor, dt: float) -> Tensor:
        """The published reward of the last step, (B,); `dt` is the step's seconds."""
        ...


def backend_fields(task: MujocoTask) -> list[str]:
    """The fields a backend must keep for a task."""
    return list(dict.fromkeys(["qpos", "qvel", *(name.removeprefix(BEFORE) for name in task.FIELDS)]))


class MujocoWorld(VecWorld):
    """See `VecWorld`. Starts are drawn from each row's seed exactly as `gymnasium.Env.reset(seed=...)` draws them."""

    can_restore = True

    def __init__(
        self,
        backend: PhysicsBackend,
        task: MujocoTask,
        action: ActionSpec,
        *,
        horizon: int,
        frame_skip: int,
        featurize: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        draw: Callable[[Any, np.ndarray, int], np.ndarray],
    ) -> None:
        """Args:
        featurize: raw fields to named features.
        draw: (model, integration state (n,), size) to a picture.
        """
        self._backend, self._task, self._featurize, self._draw = backend, task, featurize, draw
        self.action, self.horizon, self.device = action, horizon, backend.device
        self._frame_skip, self._dt = frame_skip, frame_skip * backend.model.opt.timestep
        views = backend.fields()
        self._fields = {name: views[name] for name in task.FIELDS if not name.startswith(BEFORE)}
        self._before = {
            name: views[name.removeprefix(BEFORE)].clone() for name in task.FIELDS if name.startswith(BEFORE)
        }
        self._fields |= self._before
        self._saved = [name for name in backend_fields(task) if name not in ("qpos", "qvel")]
        backend.reset(np.arange(backend.num_envs))
        self._qpos0 = backend.view("qpos")[:1].clone()
        self._qvel0 = backend.view("qvel")[:1].clone()
        self._allocate(backend.num_envs, task.observation(self._fields).shape[1])
        self._t = torch.zeros(self.num_envs, dtype=torch.int64)

    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        if len(ids) == 0:
            return
        ids = np.asarray(ids, dtype=np.int64)
        noise = np.stack([self._task.noise(generator(seed)) for seed in seeds])
        qpos, qvel = self._task.start(torch.from_numpy(noise).to(self.device), self._qpos0, self._qvel0)
        self._backend.reset(ids)
        self._backend.set("qpos", ids, qpos)
        self._backend.set("qvel", ids, qvel)
        self._backend.forward(ids)
        rows = torch.from_numpy(ids)
        views = self._backend.fields()
        for name, buffer in self._before.items():
            buffer[rows] = views[name.removeprefix(BEFORE)][rows]
        self._t[rows] = 0
        self._clear(rows)
        self.obs[rows] = self._task.observation({name: field[rows] for name, field in self._fields.items()}).float()

    def _clear(self, rows: Tensor) -> None:
        self.terminated[rows] = self.truncated[rows] = self.diverged[rows] = False
        self.native_reward[rows] = 0.0

    def step(self, action: Tensor) -> None:
        views = self._backend.fields()
        for name, buffer in self._before.items():
            buffer.copy_(views[name.removeprefix(BEFORE)])
        faults = self._backend.step(action, self._frame_skip)
        self._t += 1
        self.obs.copy_(self._task.observation(self._fields))
        self.native_reward.copy_(self._task.native_reward(self._fields, action, self._dt))
        self.diverged.zero_()
        self.terminated.copy_(self._task.terminated(self._fields))
        if len(faults):
            rows = torch.from_numpy(faults)
            self.diverged[rows] = self.terminated[rows] = True
        torch.logical_and(self._t >= self.horizon, ~self.terminated, out=self.truncated)

    def fields(self) -> dict[str, Tensor]:
        return self._fields

    def featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._featurize(fields)

    def render(self, id: int = 0, *, size: int = 256) -> np.ndarray:
        return self._draw(self._backend.model, self._backend.view("state")[id].numpy(), size)

    def get_state(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        rows = torch.from_numpy(np.asarray(ids, dtype=np.int64))
        return {name: buffer[rows].numpy().copy() for name, buffer in self._restorable().items()}

    def set_state(self, ids: np.ndarray, state: dict[str, np.ndarray]) -> None:
        rows = torch.from_numpy(np.asarray(ids, dtype=np.int64))
        for name, buffer in self._restorable().items():
            buffer[rows] = torch.from_numpy(np.ascontiguousarray(state[name]))

    def _restorable(self) -> dict[str, Tensor]:
        """Everything that a step reads or that is shown before the next step."""
        return {
            "physics": self._backend.view("state"),
            "t": self._t,
            "obs": self.obs,
            "terminated": self.terminated,
            "truncated": self.truncated,
            "diverged": self.diverged,
            "native_reward": self.native_reward,
            **{f"field.{name}": self._backend.view(name) for name in self._saved},
            **{f"field.{name}": buffer for name, buffer in self._before.items()},
        }


def generator(seed: int | np.integer) -> np.random.Generator:
    """The generator `gymnasium.Env.reset(seed=seed)` makes."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int(seed))))
