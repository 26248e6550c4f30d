"""`TorchWorld`: an environment whose dynamics are batched torch functions, such as classic control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rewardsmith.envs.world import TensorWorld, reset_generator
from rewardsmith.types import ActionSpec

TORCH_TASK = ("noise", "start", "step", "observation", "terminated", "native_reward")
"""What a world.py has to define."""


class TorchTask(Protocol):
    """What a pack's world.py states. States are float64 and batched, (B, n)."""

    def noise(self, rng: np.random.Generator) -> np.ndarray:
        """The random numbers of one reset, (d,), drawn in the native environment's order."""
        ...

    def start(self, noise: Tensor) -> Tensor:
        """Start states (k, n) from `noise` (k, d)."""
        ...

    def step(self, state: Tensor, action: Tensor) -> Tensor:
        """The states one step later."""
        ...

    def observation(self, state: Tensor) -> Tensor:
        """Policy observation (B, obs_dim); features see it as the raw field `obs`, float32."""
        ...

    def terminated(self, state: Tensor) -> Tensor:
        """(B,) bool."""
        ...

    def native_reward(self, before: Tensor, action: Tensor, state: Tensor) -> Tensor:
        """The published reward (B,) of the step that led from `before` to `state`."""
        ...


class TorchWorld(TensorWorld):
    """See `VecWorld`. Starts are drawn from each row's seed exactly as `gymnasium.Env.reset(seed=...)` draws them."""

    def __init__(
        self,
        task: TorchTask,
        num_envs: int,
        action: ActionSpec,
        *,
        horizon: int,
        featurize: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        draw: Callable[[np.ndarray, int], np.ndarray],
        device: torch.device,
    ) -> None:
        """Args:
        featurize: raw fields to named features.
        draw: (state (n,), size) to a picture.
        """
        self._task, self._featurize, self._draw = task, featurize, draw
        self.action, self.horizon, self.device = action, horizon, device
        state = self._start(np.zeros(1, dtype=np.uint64))
        self._allocate(num_envs, task.observation(state).shape[1])
        self._state = state.new_zeros(num_envs, state.shape[1])

    def _start(self, seeds: np.ndarray) -> Tensor:
        noise = np.stack([self._task.noise(reset_generator(seed)) for seed in seeds])
        return self._task.start(torch.from_numpy(noise).to(self.device))

    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        if len(ids) == 0:
            return
        rows = torch.from_numpy(np.asarray(ids, dtype=np.int64)).to(self.device)
        self._state[rows] = self._start(seeds)
        self.obs[rows] = self._task.observation(self._state[rows]).float()
        self._begin(rows)

    def step(self, action: Tensor) -> None:
        state = self._task.step(self._state, action)
        good = torch.isfinite(state).all(1)
        torch.logical_not(good, out=self.diverged)
        if self.measures_native:
            self.native_reward.copy_(torch.where(good, self._task.native_reward(self._state, action, state), 0.0))
        self._state = torch.where(good[:, None], state, self._state)
        self.obs.copy_(self._task.observation(self._state))
        self.terminated.copy_(self._task.terminated(self._state) | self.diverged)
        self._count_step()

    def fields(self) -> dict[str, Tensor]:
        return {"obs": self.obs}

    def featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._featurize(fields)

    def render(self, id: int = 0, *, size: int = 256) -> np.ndarray:
        return self._draw(self._state[id].cpu().numpy(), size)

    def _state_buffers(self) -> dict[str, Tensor]:
        return {"state": self._state}
