"""A restorable 1-D point world and small reward programs: training in milliseconds, boundary cases on demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.envs import Environment, Metric, PackMetric, TrainingDefaults, VecWorld
from rewardsmith.types import ActionSpec, EnvSpec, FeatureSpec, RewardInterface

HORIZON = 20
CONTINUOUS = ActionSpec(kind="continuous", shape=(1,), low=(-1.0,), high=(1.0,))
DISCRETE = ActionSpec(kind="discrete", n=3)
MULTI = ActionSpec(kind="multi_discrete", shape=(2,), nvec=(3, 2))


class PointWorld(VecWorld):
    """A point on a line, pushed by the action; the goal is at 0. Leaving [-2, 2] terminates. Some noise per row.

    `fail_at`: (row seed parity ignored) the world raises in the step in which any row's position exceeds it.
    """

    def __init__(self, num_envs: int, action: ActionSpec, *, can_restore: bool = True, fail_beyond: float = np.inf):
        self.action, self.horizon, self.can_restore = action, HORIZON, can_restore
        self._allocate(num_envs, 3)
        self._fail_beyond = fail_beyond
        self._state = np.zeros((num_envs, 2))  # position, velocity
        self._t = np.zeros(num_envs, np.int64)
        self._rng = np.zeros(num_envs, np.uint64)
        self.steps = 0

    def _draw(self, ids: np.ndarray) -> np.ndarray:
        """Uniform numbers in [-1, 1) from each row's own counter."""
        with np.errstate(over="ignore"):
            self._rng[ids] = self._rng[ids] * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        return (self._rng[ids] >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0

    def _show(self) -> None:
        x, v = self._state[:, 0], self._state[:, 1]
        self.obs[:] = torch.from_numpy(np.stack([x, v, np.cos(x)], 1).astype(np.float32))

    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        self._rng[ids] = seeds
        self._state[ids, 0], self._state[ids, 1], self._t[ids] = self._draw(ids), 0.0, 0
        self.terminated[ids] = False
        self.truncated[ids] = False
        self._show()

    def step(self, action: Tensor) -> None:
        self.steps += 1
        if self.action.kind == "continuous":
            push = action.numpy()[:, 0].astype(np.float64)
            assert np.abs(push).max() <= 1
        elif self.action.kind == "discrete":
            push = action.numpy() - 1.0
        else:
            push = (action.numpy()[:, 0] - 1.0) * (0.5 + 0.5 * action.numpy()[:, 1])
        every = np.arange(self.num_envs)
        x, v = self._state.T
        self._state[:, 1] = 0.5 * v + 0.2 * push + 0.01 * self._draw(every)
        self._state[:, 0] = x + self._state[:, 1]
        self._t += 1
        if (self._state[:, 0] > self._fail_beyond).any():
            raise RuntimeError("the wall broke")
        outside = np.abs(self._state[:, 0]) > 2
        self.terminated[:] = torch.from_numpy(outside)
        self.truncated[:] = torch.from_numpy((self._t >= HORIZON) & ~outside)
        self.native_reward[:] = torch.from_numpy(-np.abs(self._state[:, 0]))
        self._show()

    def fields(self) -> dict[str, Tensor]:
        return {"state": torch.from_numpy(self._state)}

    def featurize(self, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        state = fields["state"]
        return {"position": state[:, 0].float(), "velocity": state[:, 1:].float()}

    def render(self, id: int = 0, *, size: int = 256) -> np.ndarray:
        return np.zeros((size, size, 3), np.uint8)

    def get_state(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        return {"state": self._state[ids], "t": self._t[ids], "rng": self._rng[ids]}

    def set_state(self, ids: np.ndarray, state: dict[str, np.ndarray]) -> None:
        self._state[ids], self._t[ids], self._rng[ids] = state["state"], state["t"], state["rng"]
        self._show()


class PointEnvironment(Environment):
    """The point world as an environment; options go to `PointWorld`."""

    def __init__(self, action: ActionSpec = CONTINUOUS, **options: Any) -> None:
        self.spec, self.name, self.about = EnvSpec(name="tiny"), "tiny", "a point on a line"
        features = (FeatureSpec(name="position"), FeatureSpec(name="velocity", shape=(1,)))
        self.interface = RewardInterface(features=features, action=action)
        self.horizon, self.dt = HORIZON, 0.1
        self.tasks, self.default_task, self.reference_rewards = {}, None, {}
        self.training = TrainingDefaults()
        self._options = options

    def make_world(self, num_envs: int, *, threads: int = 1) -> PointWorld:
        return PointWorld(num_envs, self.interface.action, **self._options)

    def metric(self, task: str | None = None) -> Metric:
        def step(features: dict[str, Tensor], previous: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"distance": features["position"].abs()}

        def episode(sums: dict[str, Tensor], last: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            return -sums["distance"] / sums["length"], (last["distance"] < 0.2).double()

        return PackMetric(step, episode, "at the goal in the end")

    native_metric = metric


class Output(NamedTuple):
    total: Tensor
    components: dict[str, Tensor]
    memory: dict[str, Tensor] | None


class GoNear:
    """-|position| times `scale`."""

    uses_memory, has_potential = False, False

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.rows: list[int] = []

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        assert next_obs["terminated"].dtype == torch.bool
        self.rows.append(len(action))
        near = torch.exp(-next_obs["position"].abs()) + torch.sigmoid(next_obs["velocity"][:, 0])
        return Output(near * self.scale, {"near": near}, None)

    def potential(self, obs: Any) -> Tensor:
        return -obs["position"].abs() * self.scale

    def initial_memory(self, n: int, device: Any) -> dict[str, Tensor]:
        return {}


class Shaped(GoNear):
    """Potential shaping only."""

    has_potential = True

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        zero = torch.zeros(len(action))
        return Output(zero, {"zero": zero}, None)


class Poisoned(GoNear):
    """Not finite for a position above 1: sooner or later."""

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        out = super().__call__(obs, action, next_obs)
        return out._replace(total=torch.where(next_obs["position"] > 1.0, torch.nan, out.total))


class Raising(GoNear):
    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        raise ValueError("this reward is broken")


class ThereAndBack(GoNear):
    """Pays for touching +0.5 first and -0.5 then, once each: unlearnable without seeing the stage."""

    uses_memory = True

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        if memory is None:
            memory = self.initial_memory(len(action), action.device)
        stage, x = memory["stage"], next_obs["position"]
        first = (stage[:, 0] == 0) & (x > 0.5)
        second = (stage[:, 0] == 1) & (x < -0.5)
        paid = first.float() + 2 * second.float()
        return Output(paid, {"stage": paid}, {"stage": stage + (first | second).float()[:, None]})

    def initial_memory(self, n: int, device: Any) -> dict[str, Tensor]:
        return {"stage": torch.zeros(n, 1, device=device)}
