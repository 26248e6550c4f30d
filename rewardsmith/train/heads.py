"""Action distributions over the policy's outputs: sample, log-probability, and the gradients of both by hand.

A head turns outputs (P, n, >= width) into a *raw* action (P, n, action_width) float32, which PPO learns on, and a raw
action into the *applied* one, which the world and the reward see. A sample is the mode of outputs with noise added: of
Gaussians by definition, of logits by the Gumbel trick (the largest noisy logit).
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from rewardsmith.errors import EnvironmentFault
from rewardsmith.types import ActionSpec

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Choice(NamedTuple):
    """Raw actions under a policy, with what the gradient of their log-probability needs."""

    log_prob: Tensor  # (P, n)
    kept: tuple[Tensor, ...]


class HeadGradient(NamedTuple):
    out: Tensor  # (P, n, width)
    log_std: Tensor | None  # (P, 1, A)


class Head(Protocol):
    width: int  # columns of the policy's output that are used
    action_width: int  # columns of a raw action
    log_std_width: int

    def noise(self, rng: np.random.Generator, steps: int, num_envs: int) -> np.ndarray: ...
    def scale_noise(self, noise: Tensor, log_std: Tensor | None) -> Tensor: ...
    def mode(self, out: Tensor) -> Tensor: ...
    def applied(self, raw: Tensor) -> Tensor: ...
    def choice(self, out: Tensor, log_std: Tensor | None, raw: Tensor) -> Choice: ...
    def entropy(self, out: Tensor, log_std: Tensor | None) -> Tensor: ...
    def backward(self, choice: Choice, d_log_prob: Tensor, d_entropy: float) -> HeadGradient: ...


class GaussianHead:
    """Independent Gaussians with a learned, state-independent deviation; applied actions are clipped to the bounds."""

    def __init__(self, spec: ActionSpec, *, rescale: bool, device: torch.device | str = "cpu") -> None:
        self.width = self.action_width = self.log_std_width = math.prod(spec.shape)
        low = np.array(spec.low if spec.low is not None else [-np.inf] * self.width, dtype=np.float32)
        high = np.array(spec.high if spec.high is not None else [np.inf] * self.width, dtype=np.float32)
        bounded = np.isfinite(low) & np.isfinite(high) & rescale
        self._rescales = bool(bounded.any())
        with np.errstate(invalid="ignore"):  # halves first: the largest floats are bounds, too
            center = np.where(bounded, high / 2 + low / 2, 0.0).astype(np.float32)
            half = np.where(bounded, high / 2 - low / 2, 1.0).astype(np.float32)
        largest = np.finfo(np.float32).max
        self._low = torch.from_numpy(low.clip(-largest, largest)).to(device)
        self._high = torch.from_numpy(high.clip(-largest, largest)).to(device)
        self._center, self._half = torch.from_numpy(center).to(device), torch.from_numpy(half).to(device)

    def noise(self, rng: np.random.Generator, steps: int, num_envs: int) -> np.ndarray:
        return rng.standard_normal((steps, num_envs, self.width), dtype=np.float32)

    def scale_noise(self, noise: Tensor, log_std: Tensor | None) -> Tensor:
        assert log_std is not None
        return noise.mul_(log_std.exp())

    def mode(self, out: Tensor) -> Tensor:
        return out[..., : self.width]

    def applied(self, raw: Tensor) -> Tensor:
        # fmax/fmin, not clamp: a NaN becomes a bound, so that a broken member cannot hand NaN to the physics.
        wanted = raw * self._half + self._center if self._rescales else raw
        return torch.fmin(torch.fmax(wanted, self._low), self._high)

    def choice(self, out: Tensor, log_std: Tensor | None, raw: Tensor) -> Choice:
        assert log_std is not None
        inverse = torch.exp(-log_std)
        z = (raw - out[..., : self.width]) * inverse
        at_mean = -(log_std + _HALF_LOG_2PI).sum(-1)
        return Choice(torch.add(at_mean, (z * z).sum(-1), alpha=-0.5), (z, inverse))

    def entropy(self, out: Tensor, log_std: Tensor | None) -> Tensor:
        assert log_std is not None
        return (log_std + (0.5 + _HALF_LOG_2PI)).sum(-1).expand(out.shape[:2])

    def backward(self, choice: Choice, d_log_prob: Tensor, d_entropy: float) -> HeadGradient:
        z, inverse = choice.kept
        dz = d_log_prob[..., None] * z
        d_log_std = (dz * z).sum(1, keepdim=True) - d_log_prob.sum(1)[:, None, None]
        return HeadGradient(dz * inverse, d_log_std + d_entropy * z.shape[1])


class SquashedHead(GaussianHead):
    """Of SAC, TD3 and DDPG: a tanh keeps actions inside the bounds. Such policies are run here, not trained."""

    def mode(self, out: Tensor) -> Tensor:
        return torch.tanh(super().mode(out))


class CategoricalHead:
    """One or several independent categorical choices (discrete and multi-discrete actions)."""

    log_std_width = 0

    def __init__(self, spec: ActionSpec) -> None:
        self._single = spec.kind == "discrete"
        sizes = (spec.n,) if self._single else spec.nvec
        if not sizes or any(not n for n in sizes):
            raise EnvironmentFault(f"a {spec.kind} action space needs its sizes, got {sizes}")
        self._sizes = [int(n) for n in sizes if n is not None]
        self.width, self.action_width = sum(self._sizes), len(self._sizes)

    def _parts(self, out: Tensor) -> tuple[Tensor, ...]:
        return out[..., : self.width].split(self._sizes, -1)

    def noise(self, rng: np.random.Generator, steps: int, num_envs: int) -> np.ndarray:
        return rng.gumbel(size=(steps, num_envs, self.width)).astype(np.float32)

    def scale_noise(self, noise: Tensor, log_std: Tensor | None) -> Tensor:
        return noise

    def mode(self, out: Tensor) -> Tensor:
        return torch.stack([part.argmax(-1) for part in self._parts(out)], -1).float()

    def applied(self, raw: Tensor) -> Tensor:
        action = raw.long()
        return action[..., 0] if self._single else action

    def choice(self, out: Tensor, log_std: Tensor | None, raw: Tensor) -> Choice:
        index = raw.long()
        logs = tuple(torch.log_softmax(part, -1) for part in self._parts(out))
        chosen = [part.gather(-1, index[..., i : i + 1]) for i, part in enumerate(logs)]
        return Choice(torch.cat(chosen, -1).sum(-1), (index, *logs))

    def entropy(self, out: Tensor, log_std: Tensor | None) -> Tensor:
        logs = [torch.log_softmax(part, -1) for part in self._parts(out)]
        return torch.stack([-(p.exp() * p).sum(-1) for p in logs], -1).sum(-1)

    def backward(self, choice: Choice, d_log_prob: Tensor, d_entropy: float) -> HeadGradient:
        index, *parts = choice.kept
        grads, d = [], d_log_prob[..., None]
        for i, logs in enumerate(parts):
            p = logs.exp()
            grad = -p * d
            grad.scatter_add_(-1, index[..., i : i + 1], d)
            if d_entropy:
                grad -= d_entropy * p * (logs - (p * logs).sum(-1, keepdim=True))
            grads.append(grad)
        return HeadGradient(torch.cat(grads, -1), None)


def make_head(spec: ActionSpec, *, rescale: bool, squash: bool = False, device: torch.device | str = "cpu") -> Head:
    """The head for an action space; `rescale` maps [-1, 1] onto finite bounds (continuous actions only)."""
    if spec.kind != "continuous":
        return CategoricalHead(spec)
    return (SquashedHead if squash else GaussianHead)(spec, rescale=rescale, device=device)
