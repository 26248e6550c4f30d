"""The learning half of PPO for all members at once: advantages, the clipped loss's gradient by hand, Adam."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Rows to learn from; n is a whole rollout or one minibatch."""

    x: Tensor  # (P, n, inputs), normalized
    raw: Tensor  # (P, n, action_width)
    log_prob: Tensor  # (P, n), of the policy that acted
    advantage: Tensor  # (P, n)
    target: Tensor  # (P, n), of the value


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


def ppo_gradient(net: ActorCritic, head: Head, batch: Batch, config: PpoConfig) -> None:
    """Write the gradient of every member's PPO loss into `net.grad`.

    The loss is -min(r A, clip(r) A) + value_coef * (v - target)^2 - entropy_coef * entropy, averaged over the rows, A
    normalized within the minibatch. tests/train keeps its autograd twin.
    """
    n = batch.x.shape[1]
    policy, value = net.trace_policy(batch.x), net.trace_value(batch.x)
    advantage = batch.advantage
    if n > 1:  # a single number has no deviation
        deviation, mean = torch.std_mean(advantage, 1, keepdim=True)
        advantage = (advantage - mean) / (deviation + 1e-8)
    ratio = torch.exp(head.log_prob(policy.out, net.log_std, batch.raw) - batch.log_prob)
    unclipped = torch.where(advantage > 0, ratio < 1 + config.clip, ratio > 1 - config.clip)
    d_log_prob = advantage * ratio * unclipped * (-1.0 / n)
    gradient = head.backward(policy.out, net.log_std, batch.raw, d_log_prob, -config.entropy_coef / n)
    d_out = torch.zeros_like(policy.out)
    d_out[..., : head.width] = gradient.out
    if net.log_std_grad is not None and gradient.log_std is not None:
        net.log_std_grad.copy_(gradient.log_std)
    d_value = (value.out[..., 0] - batch.target) * (2 * config.value_coef / n)
    net.backward_policy(policy, d_out)
    net.backward_value(value, d_value)


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
    stacked, rows, width = batch.x.shape
    size = config.minibatch_size
    parts = rows // size
    actions = batch.raw.shape[-1]
    columns = [batch.x, batch.raw, *(v[..., None] for v in (batch.log_prob, batch.advantage, batch.target))]
    packed = torch.cat(columns, 2).view(stacked * rows, -1)
    offsets = (np.arange(stacked) * rows)[:, None]
    fraction = 1 - progress if config.anneal else 1.0
    count = iteration * config.epochs * parts
    for _ in range(config.epochs):
        order = np.stack([rng.permutation(rows)[: parts * size] for rng in streams])
        index = np.broadcast_to(order, (stacked, parts * size)) + offsets
        index = index.reshape(stacked, parts, size).swapaxes(0, 1).reshape(-1)
        epoch = packed[torch.from_numpy(index).to(packed.device)].view(parts, stacked, size, -1)
        for rows_of_part in epoch:
            x, raw, rest = rows_of_part.split([width, actions, 3], -1)
            ppo_gradient(net, head, Batch(x, raw, rest[..., 0], rest[..., 1], rest[..., 2]), config)
            count += 1
            adam.step(count, fraction)
