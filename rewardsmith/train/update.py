"""The learning half of PPO for all members at once: advantages, the clipped loss's gradient by hand, Adam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.train.config import PpoConfig
from rewardsmith.train.heads import Head
from rewardsmith.train.network import ActorCritic
from rewardsmith.train.scan import discounted_sums

_BETA1, _BETA2, _ADAM_EPS = 0.9, 0.999, 1e-5


class Batch(NamedTuple):
    """A rollout to learn from, n rows of each member."""

    x: Tensor  # (P, n, inputs), normalized
    raw: Tensor  # (P, n, action_width)
    log_prob: Tensor  # (P, n), of the policy that acted
    advantage: Tensor  # (P, n)
    target: Tensor  # (P, n), of the value

    def packed(self) -> Tensor:
        """(P, n, inputs + action_width + 3): all columns, so that rows are picked at once."""
        numbers = (v[..., None] for v in (self.log_prob, self.advantage, self.target))
        return torch.cat([self.x, self.raw, *numbers], 2)


def advantages(reward: Tensor, values: Tensor, done: Tensor, *, gamma: float, gae_lambda: float) -> Tensor:
    """Generalized advantages (T, P, N).

    Args:
        reward: (T, P, N), truncation bootstraps already added.
        values: (T + 1, P, N), of the states before each step and after the last one.
        done: (T, P, N) bool; nothing is carried back over an episode's end.
    """
    keep = (~done).to(reward.dtype)
    delta = reward + gamma * values[1:] * keep - values[:-1]
    return discounted_sums(delta, gamma * gae_lambda * keep)


class Minibatch(NamedTuple):
    """Rows of one gradient step. What does not depend on the weights is computed beforehand.

    A row's part of the loss -min(r A, clip(r) A) / n has the gradient `slope` by the ratio r as long as
    side * r < bound, and 0 beyond.
    """

    x: Tensor  # (P, n, inputs), normalized
    raw: Tensor  # (P, n, action_width)
    log_prob: Tensor  # (P, n), of the policy that acted
    slope: Tensor  # (P, n)
    side: Tensor  # (P, n), of the clipping range: 1, or -1 where less of an action is wanted
    bound: Tensor  # (P, n)
    target: Tensor  # (P, n), of the value


def minibatches(packed: Tensor, inputs: int, index: Tensor, config: PpoConfig) -> Iterator[Minibatch]:
    """The rows `index` (parts, P, n) of a packed rollout, advantages normalized within each part."""
    parts, members, n = index.shape
    first_row = torch.arange(members, device=index.device)[:, None] * packed.shape[1]
    rows = packed.flatten(0, 1)[(index + first_row).flatten()].view(parts, members, n, -1)
    x, raw, *numbers = rows.split([inputs, packed.shape[2] - inputs - 3, 1, 1, 1], -1)
    log_prob, advantage, target = (v[..., 0].contiguous() for v in numbers)
    if n > 1:  # a single number has no deviation
        deviation, mean = torch.std_mean(advantage, 2, keepdim=True)
        advantage = (advantage - mean) / (deviation + 1e-8)
    side = torch.sign(advantage)
    for parts_rows in zip(x, raw, log_prob, advantage * (-1.0 / n), side, side + config.clip, target, strict=True):
        yield Minibatch(*parts_rows)


def ppo_gradient(net: ActorCritic, head: Head, batch: Minibatch, config: PpoConfig) -> None:
    """Write the gradient of every member's PPO loss into `net.grad`.

    The loss is -min(r A, clip(r) A) + value_coef * (v - target)^2 - entropy_coef * entropy, averaged over the rows, A
    normalized within the minibatch. tests/train keeps its autograd twin.
    """
    n = batch.x.shape[1]
    trace = net.trace(batch.x)
    chosen = head.choice(trace.policy, net.log_std, batch.raw)
    ratio = torch.exp(chosen.log_prob - batch.log_prob)
    d_log_prob = batch.slope * ratio * (batch.side * ratio < batch.bound)
    gradient = head.backward(chosen, d_log_prob, -config.entropy_coef / n)
    d = torch.zeros_like(trace.out)
    d[0::2, : head.width] = gradient.out.transpose(1, 2)
    torch.sub(trace.value, batch.target, out=d[1::2, 0]).mul_(2 * config.value_coef / n)
    if net.log_std_grad is not None and gradient.log_std is not None:
        net.log_std_grad.copy_(gradient.log_std)
    net.backward(trace, d)


class Adam:
    """Adam with each member's gradient clipped to its own norm; one fused kernel, that of `torch.optim.Adam`."""

    def __init__(self, net: ActorCritic, config: PpoConfig) -> None:
        self._net, self._max_norm, self._rate = net, config.max_grad_norm, config.learning_rate
        self.m, self.v = torch.zeros_like(net.flat), torch.zeros_like(net.flat)

    def step(self, count: int, fraction: float = 1.0) -> None:
        """Apply `net.grad`; `count` is the number of this step from 1, `fraction` scales the learning rate."""
        grad = self._net.grad
        norm = torch.linalg.vector_norm(grad, dim=1, keepdim=True)
        grad.mul_((self._max_norm / (norm + 1e-6)).clamp_(max=1.0))
        torch._fused_adam_(
            [self._net.flat],
            [grad],
            [self.m],
            [self.v],
            [],
            [torch.tensor(float(count), device=grad.device)],
            lr=self._rate * fraction,
            beta1=_BETA1,
            beta2=_BETA2,
            weight_decay=0.0,
            eps=_ADAM_EPS,
            amsgrad=False,
            maximize=False,
        )


def learn(
    net: ActorCritic,
    head: Head,
    adam: Adam,
    batch: Batch,
    config: PpoConfig,
    streams: Sequence[np.random.Generator],
    *,
    iteration: int,
    progress: float,
) -> None:
    """All epochs over one rollout.

    Args:
        batch: the rollout, (stacked members, rows, ...).
        streams: one per member, for the order of its rows; a remainder smaller than a minibatch is left out, a
            different one in every epoch.
        iteration: finished iterations, from which Adam's step count follows.
        progress: part of the budget that is used up, in [0, 1), for annealing.
    """
    rows, size = batch.x.shape[1], config.minibatch_size
    packed, inputs = batch.packed(), batch.x.shape[2]
    parts = rows // size
    fraction = 1 - progress if config.anneal else 1.0
    count = iteration * config.epochs * parts
    for _ in range(config.epochs):
        order = np.stack([rng.permutation(rows)[: parts * size] for rng in streams])
        index = torch.from_numpy(order).to(batch.x.device)
        if len(index) < len(batch.x):  # the twin of a single member
            index = torch.cat([index, index])
        for part in minibatches(packed, inputs, index.view(len(index), parts, size).transpose(0, 1), config):
            ppo_gradient(net, head, part, config)
            count += 1
            adam.step(count, fraction)
