"""`VecWorld`: many copies of one environment behind one small seam, all that trainer, evaluator and bank see."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from rewardsmith.errors import EnvironmentFault
from rewardsmith.types import ActionSpec


class VecWorld(ABC):
    """`num_envs` (B) rows stepped together. There is no auto-reset: the caller resets rows, each with its own seed.

    A row's trajectory depends on its seed and its actions only, whatever the other rows do. All tensors below are live:
    the same storage is refilled by every `reset` and `step`, so keep copies.

    Attributes:
        obs: policy observation of the current state, (B, obs_dim) float32.
        terminated, truncated: of the last step, (B,) bool; false after a reset. Both may not be true at once.
        diverged: rows whose simulation blew up in the last step, (B,) bool. Such a row is `terminated` and keeps the
            observation and the fields it had before that step.
        native_reward: the environment's own reward of the last step, (B,) float64. For metrics and parity tests;
            reward functions never see it. A faulty environment may give one that is not finite.
        measures_native: whether `native_reward` is wanted; a trainer, which never looks at it, turns it off.
        info: further numbers of the last step that metrics may use, each (B,); "is_success" where there is one.
        horizon: steps after which an episode is truncated.
        can_restore: whether `get_state` and `set_state` continue bit-exactly.
        device: where all these tensors live. `reset` and the states of episodes stay on the host.
    """

    num_envs: int
    obs_dim: int
    action: ActionSpec
    horizon: int
    can_restore: bool = False
    measures_native: bool = True
    device: torch.device = torch.device("cpu")
    obs: Tensor
    terminated: Tensor
    truncated: Tensor
    diverged: Tensor
    native_reward: Tensor
    info: dict[str, Tensor]

    def _allocate(self, num_envs: int, obs_dim: int) -> None:
        """Make the buffers of the attributes above on `device`."""
        self.num_envs, self.obs_dim = num_envs, obs_dim
        self.obs = torch.zeros(num_envs, obs_dim, device=self.device)
        self.terminated = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self.truncated = torch.zeros_like(self.terminated)
        self.diverged = torch.zeros_like(self.terminated)
        self.native_reward = torch.zeros(num_envs, dtype=torch.float64, device=self.device)
        self.info = {}

    @abstractmethod
    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        """Start new episodes in rows `ids` (k,) int64 from `seeds` (k,) uint64."""

    @abstractmethod
    def step(self, action: Tensor) -> None:
        """Advance every row: `action` is (B, A) float32 already clipped, or (B,) / (B, A) int64.

        Rows that are done must be reset first.
        """

    def ended(self) -> np.ndarray:
        """Rows (k,) int64 whose episode ended in the last step: all of a step that the host has to know."""
        if self.device.type == "cpu":
            return np.flatnonzero(self.terminated.numpy() | self.truncated.numpy())
        return np.flatnonzero((self.terminated | self.truncated).numpy(force=True))

    @abstractmethod
    def fields(self) -> dict[str, Tensor]:
        """Live raw state, each (B, ...): what `featurize` needs, recorded by the caller."""

    @abstractmethod
    def featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named features (M, ...) in the interface's dtypes from recorded raw fields (M, ...), for any M."""

    @abstractmethod
    def render(self, id: int = 0, *, size: int = 256) -> np.ndarray:
        """Picture of row `id`, (H, W, 3) uint8, the longer side about `size` pixels.

        Raises: EnvironmentFault: this machine or this environment cannot draw.
        """

    def get_state(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """Everything needed to continue rows `ids` bit-exactly, each array (k, ...)."""
        raise NotImplementedError(f"{type(self).__name__} cannot save its state: reset all episodes instead")

    def set_state(self, ids: np.ndarray, state: dict[str, np.ndarray]) -> None:
        """Continue rows `ids` from what `get_state` of this or of another world of the environment gave."""
        raise NotImplementedError(f"{type(self).__name__} cannot restore its state: reset all episodes instead")

    def close(self) -> None:  # noqa: B027  most worlds hold nothing that needs closing
        """Release what the world holds. The world is unusable afterwards."""


class TensorWorld(VecWorld):
    """A world whose whole state lies in tensors with a row for each environment. It counts steps in `_t`."""

    can_restore = True
    _t: Tensor
    _oldest: int  # no episode is older; looking at the rows is left for when one could be at the horizon

    def _allocate(self, num_envs: int, obs_dim: int) -> None:
        super()._allocate(num_envs, obs_dim)
        self._t = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        self._oldest = 0

    def _state_buffers(self) -> dict[str, Tensor]:
        """What a step reads, beyond the number of steps and the attributes of `VecWorld`."""
        raise NotImplementedError

    def _begin(self, rows: Tensor) -> None:
        """Count and flags of new episodes."""
        self._t[rows] = 0
        self.terminated[rows] = self.truncated[rows] = self.diverged[rows] = False
        self.native_reward[rows] = 0.0

    def _count_step(self) -> None:
        """Count a step and truncate at the horizon; `terminated` is known. Rows that ended before have been reset."""
        self._t += 1
        if self.device.type == "cpu":  # a look now and then is cheaper than a comparison every step
            self._oldest += 1
            if self._oldest < self.horizon:
                return
            self._oldest = int(self._t.max())
        torch.logical_and(self._t >= self.horizon, ~self.terminated, out=self.truncated)

    def get_state(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        rows = torch.from_numpy(np.asarray(ids, dtype=np.int64))
        return {name: buffer[rows].cpu().numpy() for name, buffer in self._restorable().items()}

    def set_state(self, ids: np.ndarray, state: dict[str, np.ndarray]) -> None:
        rows = torch.from_numpy(np.asarray(ids, dtype=np.int64))
        for name, buffer in self._restorable().items():
            buffer[rows] = torch.from_numpy(np.ascontiguousarray(state[name])).to(buffer.device)
        self._oldest = int(self._t.max())

    def _restorable(self) -> dict[str, Tensor]:
        return {
            **self._state_buffers(),
            "t": self._t,
            "obs": self.obs,
            "terminated": self.terminated,
            "truncated": self.truncated,
            "diverged": self.diverged,
            "native_reward": self.native_reward,
        }


def reset_generator(seed: int | np.integer) -> np.random.Generator:
    """The generator `gymnasium.Env.reset(seed=seed)` makes."""
    return np.random.Generator(np.random.PCG64(int(seed)))


def pick_device(name: str) -> torch.device:
    """The device that a person named; "auto" is the CUDA device where there is one, else the CPU.

    Raises: EnvironmentFault: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise EnvironmentFault(f"no such device: {name!r}", hint='name "cpu", "cuda", "cuda:0" and so on, or "auto"')
    if kind == "cpu":
        return torch.device("cpu")
    found = torch.cuda.device_count()
    index = int(number or 0)
    if index >= found:
        raise EnvironmentFault(
            f"torch sees {found} CUDA devices, so there is no {name}",
            hint="install a torch build with CUDA and the NVIDIA driver, or use cpu",
        )
    return torch.device("cuda", index)
