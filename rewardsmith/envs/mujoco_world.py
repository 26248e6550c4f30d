"""`MujocoWorld`: a MuJoCo task stated as batched torch functions over the raw fields of a `PhysicsBackend`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rewardsmith.envs.physics import PhysicsBackend
from rewardsmith.envs.randomization import Randomization
from rewardsmith.envs.world import TensorWorld, reset_generator
from rewardsmith.types import ActionSpec

BEFORE = "before:"
"""Prefix of fields that hold the value before the last step (after a reset: the present one), `before:qpos`."""


class MujocoTask(Protocol):
    """What a pack's world.py states. All tensors are batched; `fields` are those named in FIELDS, float64 (float32 on
    mujoco-warp), and may live on a GPU.

    Fields that only `observation`, `terminated` and `native_reward` read may be named in an optional HIDDEN instead of
    in FIELDS: features do not see them and nobody records them.
    """

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


MUJOCO_TASK = ("FIELDS", "noise", "start", "observation", "terminated", "native_reward")
"""What a world.py has to define."""


def _read(task: MujocoTask) -> tuple[str, ...]:
    """All fields that a task's functions read."""
    return (*task.FIELDS, *getattr(task, "HIDDEN", ()))


def backend_fields(task: MujocoTask) -> list[str]:
    """The fields a backend must keep for a task."""
    return list(dict.fromkeys(["qpos", "qvel", *(name.removeprefix(BEFORE) for name in _read(task))]))


class MujocoWorld(TensorWorld):
    """See `VecWorld`. Starts are drawn from each row's seed exactly as `gymnasium.Env.reset(seed=...)` draws them.

    A step reads nothing back from the device; a reset draws its random numbers on the host and sends them there.
    """

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
        randomize: Randomization | None = None,
    ) -> None:
        """Args:
        featurize: raw fields to named features.
        draw: (model, integration state (n,), size) to a picture.
        randomize: what each episode changes in its model.
        """
        self._backend, self._task, self._featurize, self._draw = backend, task, featurize, draw
        self.action, self.horizon, self.device, self.can_restore = action, horizon, backend.device, backend.exact
        self._frame_skip, self._dt = frame_skip, frame_skip * backend.model.opt.timestep
        views, names = backend.fields(), _read(task)
        self._before = {name: views[name.removeprefix(BEFORE)].clone() for name in names if name.startswith(BEFORE)}
        self._fields = {name: views[name] for name in names if not name.startswith(BEFORE)} | self._before
        self._shown = {name: self._fields[name] for name in task.FIELDS}
        self._saved = [name for name in backend_fields(task) if name not in ("qpos", "qvel")]
        backend.reset(np.arange(backend.num_envs))
        self._qpos0 = backend.view("qpos")[:1].double().clone()
        self._qvel0 = backend.view("qvel")[:1].double().clone()
        self._allocate(backend.num_envs, task.observation(self._fields).shape[1])
        self._randomize = randomize
        self._factors = np.ones((self.num_envs, len(randomize.ranges) if randomize else 0))

    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        if len(ids) == 0:
            return
        ids = np.asarray(ids, dtype=np.int64)
        noise = np.stack([self._task.noise(reset_generator(seed)) for seed in seeds])
        qpos, qvel = self._task.start(torch.from_numpy(noise).to(self.device), self._qpos0, self._qvel0)
        if self._randomize:
            self._set_factors(ids, self._randomize.draw(seeds))
        self._backend.reset(ids)
        self._backend.set("qpos", ids, qpos)
        self._backend.set("qvel", ids, qvel)
        self._backend.forward(ids)
        rows = torch.from_numpy(ids).to(self.device)
        views = self._backend.fields()
        for name, buffer in self._before.items():
            buffer[rows] = views[name.removeprefix(BEFORE)][rows]
        self._begin(rows)
        self.obs[rows] = self._task.observation({name: field[rows] for name, field in self._fields.items()}).float()

    def _set_factors(self, ids: np.ndarray, factors: np.ndarray) -> None:
        assert self._randomize is not None
        self._factors[ids] = factors
        self._backend.scale(ids, dict(zip(self._randomize.ranges, factors.T, strict=True)))

    def step(self, action: Tensor) -> None:
        views = self._backend.fields()
        for name, buffer in self._before.items():
            buffer.copy_(views[name.removeprefix(BEFORE)])
        self.diverged.copy_(self._backend.step(action, self._frame_skip))
        self.obs.copy_(self._task.observation(self._fields))
        if self.measures_native:
            self.native_reward.copy_(self._task.native_reward(self._fields, action, self._dt))
        torch.logical_or(self._task.terminated(self._fields), self.diverged, out=self.terminated)
        self._count_step()

    def fields(self) -> dict[str, Tensor]:
        return self._shown

    def featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._featurize(fields)

    def render(self, id: int = 0, *, size: int = 256) -> np.ndarray:
        return self._draw(self._backend.model, self._backend.snapshot(id), size)

    def set_state(self, ids: np.ndarray, state: dict[str, np.ndarray]) -> None:
        super().set_state(ids, state)
        if self._randomize and len(ids):
            ids = np.asarray(ids, dtype=np.int64)
            self._set_factors(ids, self._factors[ids])

    def _state_buffers(self) -> dict[str, Tensor]:
        return {
            **self._backend.state(),
            **({"factors": torch.from_numpy(self._factors)} if self._randomize else {}),
            **{f"field.{name}": self._backend.view(name) for name in self._saved},
            **{f"field.{name}": buffer for name, buffer in self._before.items()},
        }
