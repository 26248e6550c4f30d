"""A finite world with a softmax policy, in which inner optimum and returns are exact and differentiable."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

GAMMA = 0.9


class Table(NamedTuple):
    """T[s, a, s'] (S, A, S), rewards of K parts (K, S, A), the primary one first; episodes start uniformly."""

    transition: Tensor
    rewards: Tensor
    decay: float  # L2 pull of the policy's logits to zero

    @property
    def logits(self) -> int:
        return self.rewards[0].numel()

    def returns(self, theta: Tensor, reward: Tensor) -> Tensor:
        """Mean return of the softmax policy with logits `theta` (S * A,) under a reward (S, A)."""
        policy = torch.softmax(theta.view(reward.shape), 1)
        onward = torch.einsum("sa,sax->sx", policy, self.transition)
        eye = torch.eye(len(reward), dtype=theta.dtype)
        return torch.linalg.solve(eye - GAMMA * onward, (policy * reward).sum(1)).mean()

    def primary(self, theta: Tensor) -> Tensor:
        return self.returns(theta, self.rewards[0])

    def inner(self, theta: Tensor, phi: Tensor) -> Tensor:
        """What the inner loop climbs: the return of the blend, less the decay."""
        blend = torch.einsum("k,ksa->sa", phi, self.rewards)
        return self.returns(theta, blend) - 0.5 * self.decay * theta.square().sum()

    def update(self, theta: Tensor, phi: Tensor) -> Tensor:
        """The direction in which the inner loop moves, differentiable again."""
        return torch.autograd.grad(self.inner(theta, phi), theta, create_graph=True)[0]

    def solve(self, phi: Tensor, theta: Tensor | None = None) -> Tensor:
        """The inner optimum (S * A,): L-BFGS, then Newton's method to rounding; `theta` is where to begin."""
        start = torch.zeros(self.logits, dtype=torch.float64) if theta is None else theta
        found = start.detach().clone().requires_grad_()
        climb = torch.optim.LBFGS([found], max_iter=300, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            climb.zero_grad()
            value = -self.inner(found, phi.detach())
            value.backward()
            return value

        climb.step(loss)  # type: ignore[arg-type]
        for _ in range(3):
            hessian = torch.autograd.functional.hessian(lambda t: self.inner(t, phi.detach()), found.detach())
            slope = self.update(found, phi.detach()).detach()
            found = (found.detach() - torch.linalg.solve(hessian, slope)).requires_grad_()
        return found.detach()


def random_table(states: int = 4, actions: int = 3, parts: int = 3, *, seed: int = 0, decay: float = 0.05) -> Table:
    draw = torch.Generator().manual_seed(seed)
    weights = torch.rand(states, actions, states, generator=draw, dtype=torch.float64) ** 3
    rewards = torch.randn(parts, states, actions, generator=draw, dtype=torch.float64)
    return Table(weights / weights.sum(2, keepdim=True), rewards, decay)


def corridor(length: int = 6, *, decay: float = 0.002) -> Table:
    """A corridor with the goal at its right end, which ends episodes; actions are left and right.

    Parts: 1 at the goal; 0.3 for every step to the left, which opposes it; 0.3 for every step to the right,
    which walking to and fro collects for ever.
    """
    transition = torch.zeros(length + 1, 2, length + 1, dtype=torch.float64)
    rewards = torch.zeros(3, length + 1, 2, dtype=torch.float64)
    for state in range(length):
        transition[state, 0, max(state - 1, 0)] = 1
        transition[state, 1, state + 1] = 1
        rewards[1, state, 0] = rewards[2, state, 1] = 0.3
    transition[length, :, length] = 1  # over: nothing is paid any more
    rewards[0, length - 1, 1] = 1
    return Table(transition, rewards, decay)
