"""Trained policies as files and as functions: `policy.safetensors` holds weights, normalizer and plain metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from rewardsmith.errors import RunError
from rewardsmith.train.acting import Actor
from rewardsmith.train.heads import make_head
from rewardsmith.train.network import ACTIVATIONS, padded
from rewardsmith.train.normalize import scale_of
from rewardsmith.train.tensorfile import read_tensors, write_tensors
from rewardsmith.types import ActionSpec, EnvSpec, Record

FORMAT = "rewardsmith-policy/1"


class PolicyInfo(Record):
    """What a policy was trained for."""

    env: EnvSpec
    action: ActionSpec
    obs_dim: int
    memory_width: int = 0
    hidden: tuple[int, ...]
    activation: Literal["tanh", "relu"] = "tanh"
    rescale_actions: bool
    squash_actions: bool = False  # the mean goes through a tanh first
    candidate: str = ""
    seed: int = 0
    env_steps: int = 0
    memory_graph: str = ""  # JSON of the reward graph whose memory the policy sees; empty without memory


@dataclass(frozen=True)
class Policy:
    """One deterministic policy. `weights`: (in, out) and (1, out) float32 per layer, first to last."""

    info: PolicyInfo
    weights: tuple[tuple[Tensor, Tensor], ...]
    mean: Tensor  # (inputs,) float64
    var: Tensor  # (inputs,) float64

    def act(self, obs: Tensor, memory: Tensor | None = None) -> Tensor:
        """Actions to apply, (N, A) float32 or int64, (N,) if discrete, for observations (N, obs_dim).

        `memory` (N, memory_width): for policies of rewards with memory, `rewards.MemoryTrack.flat`.
        """
        return PolicyStack([self]).act(obs, memory)

    def save(self, path: Path) -> None:
        """Write atomically; no pickle."""
        tensors = {"obs.mean": self.mean, "obs.var": self.var}
        for i, (weight, bias) in enumerate(self.weights):
            tensors |= {f"policy.{i}.weight": weight, f"policy.{i}.bias": bias}
        arrays = {k: v.numpy(force=True) for k, v in tensors.items()}
        write_tensors(path, arrays, {"format": FORMAT, "info": self.info.model_dump_json()})


def load_policy(path: Path | str, *, device: torch.device | str = "cpu") -> Policy:
    """Read a policy file.

    Raises: RunError: missing, damaged, or not a rewardsmith policy.
    """
    path = Path(path)
    hint = "train it again, or point at a policy.safetensors file of a finished run"
    try:
        arrays, metadata = read_tensors(path, format=FORMAT)
        info = PolicyInfo.model_validate_json(metadata["info"])
        tensors = {k: torch.from_numpy(v.copy()).to(device) for k, v in arrays.items()}
        layers = range(len(info.hidden) + 1)
        weights = tuple((tensors[f"policy.{i}.weight"], tensors[f"policy.{i}.bias"]) for i in layers)
        policy = Policy(info, weights, tensors["obs.mean"], tensors["obs.var"])
        _check_shapes(policy)
        return policy
    except FileNotFoundError as error:
        raise RunError(f"no policy at {path}", hint=hint) from error
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} is not a readable policy: {error}", hint=hint) from error


def _check_shapes(policy: Policy) -> None:
    """Raises: ValueError: the tensors are not those of such a policy."""
    info, action = policy.info, policy.info.action
    outputs = {
        "continuous": math.prod(action.shape),
        "discrete": action.n or 0,
        "multi_discrete": sum(action.nvec or ()),
    }
    widths = (info.obs_dim + info.memory_width, *info.hidden, outputs[action.kind])
    bounds = [len(bound) for bound in (action.low, action.high) if bound is not None]
    wanted = [((rows, columns), (1, columns)) for rows, columns in pairwise(widths)]
    found = [(tuple(weight.shape), tuple(bias.shape)) for weight, bias in policy.weights]
    if found != wanted or any(tuple(t.shape) != widths[:1] for t in (policy.mean, policy.var)):
        raise ValueError(f"its layers are {found}, and should be {wanted}")
    if action.kind == "continuous" and any(length != widths[-1] for length in bounds):
        raise ValueError("its actions have more or fewer bounds than entries")


class PolicyStack:
    """Policies of one shape, run together; at least two matrices, so that results do not depend on how many."""

    def __init__(self, policies: Sequence[Policy], *, device: torch.device | str | None = None) -> None:
        """`device`: where to act; left out: where the policies are."""
        info = policies[0].info
        self.members = len(policies)
        device = policies[0].mean.device if device is None else device
        rows = [_on(p, device) for p in policies] * (2 if len(policies) == 1 else 1)
        self._inputs = padded(info.obs_dim + info.memory_width)
        outputs = padded(policies[0].weights[-1][0].shape[1])
        self._head = make_head(info.action, rescale=info.rescale_actions, squash=info.squash_actions, device=device)
        layers: list[tuple[Tensor, Tensor]] = []
        for i in range(len(info.hidden) + 1):
            weight = torch.stack([p.weights[i][0].T for p in rows])
            bias = torch.stack([p.weights[i][1].T for p in rows])
            missing_in = self._inputs - weight.shape[2] if i == 0 else 0
            missing_out = outputs - weight.shape[1] if i == len(info.hidden) else 0
            layers.append((pad(weight, (0, missing_in, 0, missing_out)), pad(bias, (0, 0, 0, missing_out))))
        missing = (0, self._inputs - len(rows[0].mean))
        shift = pad(torch.stack([p.mean for p in rows]).float()[:, None], missing)
        scale = pad(scale_of(torch.stack([p.var for p in rows]))[:, None], missing, value=1.0)
        self._actor = Actor(layers, ACTIVATIONS[info.activation], (shift, scale))

    def act(self, obs: Tensor, memory: Tensor | None = None) -> Tensor:
        """Actions to apply for observations (members * E, obs_dim): E consecutive rows belong to one member."""
        x = obs if memory is None else torch.cat([obs, memory], -1)
        x = pad(x, (0, self._inputs - x.shape[-1])).view(self.members, -1, self._inputs)
        if self.members == 1:
            x = torch.cat([x, x])
        return self._head.applied(self._head.mode(self._actor(x))[: self.members]).flatten(0, 1)


def _on(policy: Policy, device: torch.device | str) -> Policy:
    weights = tuple((weight.to(device), bias.to(device)) for weight, bias in policy.weights)
    return replace(policy, weights=weights, mean=policy.mean.to(device), var=policy.var.to(device))


def shape_key(policy: Policy) -> tuple[object, ...]:
    """Policies with the same key can share a `PolicyStack`."""
    i = policy.info
    action = (i.action.model_dump_json(), i.rescale_actions, i.squash_actions)
    return (i.obs_dim, i.memory_width, i.hidden, i.activation, *action)
