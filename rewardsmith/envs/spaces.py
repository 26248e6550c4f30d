"""Gymnasium spaces in our terms: the action as rewards see it, observations as flat policy inputs and named leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rewardsmith.errors import EnvironmentFault
from rewardsmith.types import ActionSpec

MAX_POLICY_INPUTS = 4096
UNBOUNDED = 1e30  # some environments write the largest float for infinity


def action_spec(space: gym.Space, env: str, about: str = "") -> ActionSpec:
    """The action as a reward sees it. Unbounded Box actions have no `low` and `high`.

    Raises: EnvironmentFault: a kind of action that rewardsmith does not drive, or actions without any number.
    """
    if 0 in (space.shape or ()):
        raise EnvironmentFault(
            f"{env} has actions of size 0 ({space}), so there is nothing to decide",
            hint="give the environment at least one action, or wrap it so that it has",
        )
    if isinstance(space, spaces.Discrete):
        return ActionSpec(kind="discrete", n=int(space.n), about=about)
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        nvec = tuple(int(n) for n in space.nvec)
        return ActionSpec(kind="multi_discrete", shape=(len(nvec),), nvec=nvec, about=about)
    if isinstance(space, spaces.MultiBinary) and isinstance(space.n, int):
        return ActionSpec(kind="multi_discrete", shape=(space.n,), nvec=(2,) * space.n, about=about)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        low, high = space.low.ravel().astype(float), space.high.ravel().astype(float)
        bounded = bool((low > -UNBOUNDED).all() and (high < UNBOUNDED).all())
        return ActionSpec(
            kind="continuous",
            shape=(low.size,),
            low=tuple(low) if bounded else None,
            high=tuple(high) if bounded else None,
            about=about,
        )
    raise EnvironmentFault(
        f"{env} has actions of the kind {space}, which rewardsmith cannot drive",
        hint="Discrete, MultiDiscrete, MultiBinary and float Box actions work: wrap the environment to one of these",
    )


def native_actions(space: gym.Space) -> Callable[[Tensor], list]:
    """A function from our batch of actions to a list with the native action of every row."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return (lambda a: a.tolist()) if start == 0 else (lambda a: (a + start).tolist())
    if isinstance(space, spaces.MultiDiscrete):
        start_vector = space.start.astype(np.int64)
        return lambda a: list((a.numpy() + start_vector).astype(space.dtype))
    if isinstance(space, spaces.MultiBinary):
        return lambda a: list(a.numpy().astype(space.dtype))
    assert isinstance(space, spaces.Box)
    # Bounded on some sides only, an action has no `low` and `high` that would bound it elsewhere. The result is a copy:
    # some environments keep a reference to the action they were given.
    shape, low, high = space.shape, space.low, space.high
    return lambda a: list(np.clip(a.numpy().reshape(-1, *shape), low, high).astype(space.dtype, copy=False))


@dataclass(frozen=True)
class Leaf:
    """One array inside an observation. `name` is its dotted path, empty for an observation that is a single array."""

    name: str
    path: tuple[Any, ...]
    kind: Literal["real", "flags", "choices"]  # Box · MultiBinary · Discrete and MultiDiscrete
    shape: tuple[int, ...]
    dtype: np.dtype
    space: gym.Space
    nvec: tuple[int, ...] = ()
    start: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Number of policy inputs: choices are one-hot."""
        return sum(self.nvec) if self.kind == "choices" else int(np.prod(self.shape))

    @property
    def field(self) -> str:
        """Name of the raw field that holds it."""
        return f"obs.{self.name}" if self.name else "obs"

    def bounds(self, index: int | None = None) -> tuple[float | None, float | None]:
        """Lowest and highest value of a Box leaf, or of one of its elements; None where there is none."""
        assert isinstance(self.space, spaces.Box)
        chosen = slice(None) if index is None else slice(index, index + 1)
        low, high = float(self.space.low.ravel()[chosen].min()), float(self.space.high.ravel()[chosen].max())
        return (low if low > -UNBOUNDED else None, high if high < UNBOUNDED else None)

    def pick(self, obs: Any) -> Any:
        for key in self.path:
            obs = obs[key]
        return obs

    def flatten(self, raw: Tensor) -> Tensor:
        """(M, width) float32 policy inputs from raw values (M, *shape)."""
        if self.kind != "choices":
            return raw.reshape(len(raw), -1).to(torch.float32)
        columns = raw.reshape(len(raw), -1).to(torch.int64) - torch.tensor(self.start)
        hot = [torch.nn.functional.one_hot(columns[:, j].clamp(0, n - 1), n) for j, n in enumerate(self.nvec)]
        return torch.cat(hot, 1).to(torch.float32)


def observation_leaves(space: gym.Space, env: str) -> list[Leaf]:
    """The arrays of an observation space, Dict and Tuple taken apart.

    Raises: EnvironmentFault: images, text, graphs, or too many numbers for a small policy.
    """
    leaves: list[Leaf] = []

    def walk(space: gym.Space, path: tuple[Any, ...]) -> None:
        name = ".".join(str(key) for key in path)
        if isinstance(space, spaces.Dict):
            for key, inner in space.spaces.items():
                walk(inner, (*path, key))
        elif isinstance(space, spaces.Tuple):
            for i, inner in enumerate(space.spaces):
                walk(inner, (*path, i))
        elif isinstance(space, spaces.Box):
            if space.dtype == np.uint8 and len(space.shape) >= 2:
                raise EnvironmentFault(
                    f"{env} observes images ({name or 'observation'}: {space.shape} uint8), and rewards here are "
                    "written over named numbers",
                    hint="use a version with state observations, or write a pack whose features.py reads the state",
                )
            leaves.append(Leaf(name, path, "real", space.shape, np.dtype(space.dtype), space))
        elif isinstance(space, spaces.Discrete):
            start = (int(space.start),)
            leaves.append(Leaf(name, path, "choices", (), np.dtype(np.int64), space, nvec=(int(space.n),), start=start))
        elif isinstance(space, spaces.MultiDiscrete):
            nvec = tuple(int(n) for n in space.nvec.ravel())
            start = tuple(int(n) for n in space.start.ravel())
            leaves.append(Leaf(name, path, "choices", space.shape, np.dtype(np.int64), space, nvec=nvec, start=start))
        elif isinstance(space, spaces.MultiBinary):
            leaves.append(Leaf(name, path, "flags", space.shape, np.dtype(np.bool_), space))
        else:
            raise EnvironmentFault(
                f"{env} observes {name or 'something'} of the kind {type(space).__name__}, which has no named numbers",
                hint="wrap the environment so that it observes Box, Discrete, Dict or Tuple spaces, or write a pack",
            )

    walk(space, ())
    width = sum(leaf.width for leaf in leaves)
    if not 0 < width <= MAX_POLICY_INPUTS:
        raise EnvironmentFault(
            f"{env} observes {width} numbers; a policy here takes 1 to {MAX_POLICY_INPUTS}",
            hint="wrap the environment to a smaller observation, or write a pack",
        )
    return leaves
