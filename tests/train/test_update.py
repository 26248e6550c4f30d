"""The hand-written gradient against its autograd twin, and Adam and advantages against the textbook."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from rewardsmith.train.config import PpoConfig
from rewardsmith.train.heads import Head, make_head
from rewardsmith.train.network import ActorCritic, padded
from rewardsmith.train.update import Adam, Batch, advantages, minibatches, ppo_gradient
from rewardsmith.types import ActionSpec

ACTIONS = [
    ActionSpec(kind="continuous", shape=(3,), low=(-1.0,) * 3, high=(1.0, 2.0, 1.0)),
    ActionSpec(kind="discrete", n=4),
    ActionSpec(kind="multi_discrete", shape=(2,), nvec=(3, 2)),
]
CONFIG = PpoConfig(entropy_coef=0.03, value_coef=0.7, clip=0.1, hidden=(32, 64))


def twin_loss(net: ActorCritic, flat: Tensor, head: Head, batch: Batch, config: PpoConfig) -> Tensor:
    """The loss as the papers write it, differentiable in `flat`; summed over members, which do not interact."""

    def run(name: Literal["policy", "value"]) -> Tensor:
        x = batch.x
        for i in range(net.depth):
            weight, bias = net.view(name, f"{i}.weight", flat), net.view(name, f"{i}.bias", flat)
            x = x @ weight.mT + bias.mT
            x = getattr(torch, config.activation)(x) if i < net.depth - 1 else x
        return x

    out, value = run("policy"), run("value")[..., 0]
    log_std = net.view("policy", "log_std", flat) if net.log_std is not None else None
    a = batch.advantage
    a = (a - a.mean(1, keepdim=True)) / (a.std(1, keepdim=True) + 1e-8)
    ratio = torch.exp(head.choice(out, log_std, batch.raw).log_prob - batch.log_prob)
    policy_loss = -torch.minimum(ratio * a, ratio.clamp(1 - config.clip, 1 + config.clip) * a).mean(1)
    value_loss = ((value - batch.target) ** 2).mean(1)
    entropy = head.entropy(out, log_std).mean(1)
    return (policy_loss + config.value_coef * value_loss - config.entropy_coef * entropy).sum()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: a.kind)
def test_gradient_is_that_of_the_loss(action: ActionSpec, activation: Literal["tanh", "relu"]) -> None:
    torch.manual_seed(0)
    config = CONFIG.model_copy(update={"activation": activation})
    members, rows, inputs = 3, 40, 5
    head = make_head(action, rescale=True)
    net = ActorCritic(
        members,
        inputs,
        padded(head.width),
        CONFIG.hidden,
        log_std=head.log_std_width,
        activation=activation,
        dtype=torch.float64,
    )
    for i in range(members):
        net.initialize(i, np.random.default_rng(i), inputs=inputs, outputs=head.width)
    net.flat.add_(0.1 * torch.randn_like(net.flat))
    x = torch.randn(members, rows, inputs, dtype=torch.float64)
    noise = torch.from_numpy(np.stack([head.noise(np.random.default_rng(7), 1, rows)[0]] * members)).double()
    raw = head.mode(net.policy(x)[..., : head.width] + noise).double()
    old = head.choice(net.policy(x), net.log_std, raw).log_prob + 0.2 * torch.randn(members, rows, dtype=torch.float64)
    batch = Batch(x, raw, old, torch.randn_like(old), torch.randn_like(old))

    flat = net.flat.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(twin_loss(net, flat, head, batch, config), flat)
    order = torch.stack([torch.randperm(rows) for _ in range(members)])
    (minibatch,) = minibatches(batch.packed(), inputs, order[None], config)
    ppo_gradient(net, head, minibatch, config)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(net.grad, expected, rtol=1e-9, atol=1e-11)


def test_log_probabilities_are_those_of_torch() -> None:
    out, log_std = torch.randn(2, 6, 8), torch.randn(2, 1, 3)
    head = make_head(ACTIONS[0], rescale=False)
    raw = torch.randn(2, 6, 3)
    reference = torch.distributions.Normal(out[..., :3], log_std.exp().expand(2, 6, 3))
    torch.testing.assert_close(head.choice(out, log_std, raw).log_prob, reference.log_prob(raw).sum(-1))
    torch.testing.assert_close(head.entropy(out, log_std), reference.entropy().sum(-1))
    head = make_head(ACTIONS[1], rescale=False)
    index = torch.randint(4, (2, 6, 1))
    reference = torch.distributions.Categorical(logits=out[..., :4])
    torch.testing.assert_close(head.choice(out, None, index.float()).log_prob, reference.log_prob(index[..., 0]))


def test_samples_follow_the_probabilities() -> None:
    head = make_head(ACTIONS[2], rescale=False)
    out = torch.zeros(1, 20_000, 8)
    out[..., :5] = torch.tensor([0.0, 1.0, 2.0, 0.5, -0.5])
    noise = torch.from_numpy(head.noise(np.random.default_rng(0), 1, 20_000))
    action = head.applied(head.mode(out[..., : head.width] + noise))
    assert action.shape == (1, 20_000, 2) and action.dtype == torch.int64
    for column, part in enumerate((out[0, 0, :3], out[0, 0, 3:5])):
        share = torch.bincount(action[0, :, column], minlength=len(part)) / 20_000
        torch.testing.assert_close(share, torch.softmax(part, -1), atol=0.015, rtol=0)


def test_applied_actions_stay_in_bounds_whatever_the_policy_says() -> None:
    head = make_head(ACTIONS[0], rescale=True)
    raw = torch.tensor([[-9.0, 0.0, torch.nan], [torch.inf, 9.0, 0.25]])
    assert head.applied(raw).tolist() == [[-1.0, 0.5, -1.0], [1.0, 2.0, 0.25]]
    unbounded = make_head(ActionSpec(kind="continuous", shape=(1,)), rescale=True)
    assert unbounded.applied(torch.tensor([[123.0]])).tolist() == [[123.0]]


def test_advantages_stop_at_the_end_of_an_episode() -> None:
    """One environment, three steps, the second ends the episode: worked by hand."""
    reward = torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1)
    values = torch.tensor([0.5, 1.0, 3.0, 5.0]).view(4, 1, 1)
    done = torch.tensor([False, True, False]).view(3, 1, 1)
    got = advantages(reward, values, done, gamma=0.5, gae_lambda=0.5).flatten().tolist()
    last = 4.0 + 0.5 * 5.0 - 3.0
    second = 2.0 - 1.0
    assert got == [1.0 + 0.5 * 1.0 - 0.5 + 0.25 * second, second, last]


def test_adam_is_torchs_with_each_member_clipped_alone() -> None:
    torch.manual_seed(0)
    net = ActorCritic(2, 3, 8, (32,), log_std=1)
    net.flat.normal_()
    ours = Adam(net, CONFIG)
    references = [torch.nn.Parameter(net.flat[i].clone()) for i in range(2)]
    optimizers = [torch.optim.Adam([p], lr=CONFIG.learning_rate, eps=1e-5) for p in references]
    for count in range(1, 6):
        grads = torch.randn_like(net.flat) * torch.tensor([[0.001], [10.0]])
        net.grad.copy_(grads)
        ours.step(count)
        for parameter, optimizer, grad in zip(references, optimizers, grads, strict=True):
            parameter.grad = grad.clone()
            torch.nn.utils.clip_grad_norm_([parameter], CONFIG.max_grad_norm)
            optimizer.step()
    for i in range(2):
        torch.testing.assert_close(net.flat[i], references[i].detach())
