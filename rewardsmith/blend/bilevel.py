"""BARFI (arXiv 2310.19007): learns how much each designed reward should weigh, by what that does to the primary one.

Inner loop: PPO on the blend  sum of phi_k * r_k  of the primary reward and the auxiliary ones. Outer loop: ascent of
the primary return alone, in phi, along its implicit gradient. An auxiliary reward that works against the primary one
gets a weight at or below zero; one that helps gets a positive one.

Departures from the paper: the inner discount is given and not learned; the parts' advantages come from generalized
advantage estimation instead of Monte Carlo returns; one outer step is made per rollout instead of running the inner
loop to its end (the hypergradient is that of the policy at hand); and weights are learned per part, not per state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from rewardsmith.blend.actor import Actor, value_network
from rewardsmith.blend.hypergradient import hypergradient
from rewardsmith.blend.rollouts import Rollout, Sampler, estimate
from rewardsmith.envs import Environment, VecWorld
from rewardsmith.errors import UsageError, unknown
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train.config import PpoConfig


class BlendConfig(BaseModel):
    """The outer loop; the inner one takes a `PpoConfig`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outer_rate: NonNegativeFloat = Field(
        default=1.0, description="Length of a step where all gradients agree, in lengths of phi; 0 keeps phi fixed."
    )
    outer_decay: NonNegativeFloat = Field(
        default=0.01, description="Share of the auxiliary weights that every outer step takes away."
    )
    outer_gamma: float = Field(default=0.99, ge=0, lt=1, description="Discount of the primary return.")
    inner_decay: PositiveFloat = Field(
        default=1e-3, description="L2 pull of the policy's weights to zero: it makes the inner optimum a strict one."
    )
    neumann_terms: PositiveInt = Field(default=5, description="Terms of the series for the inverse curvature.")
    warmup: int = Field(
        default=3, ge=0, description="Rollouts before the first outer step: values settle, gradients show their size."
    )


class BlendPoint(NamedTuple):
    """After one rollout: `primary` is the mean primary return of the episodes that ended in it, NaN if none did."""

    env_steps: int
    primary: float
    weights: dict[str, float]


class Blend(NamedTuple):
    """`weights` multiply the parts as they are; only their ratios count. `course` has a point per rollout."""

    weights: dict[str, float]
    course: list[BlendPoint]


def blend(
    environment: Environment,
    parts: Mapping[str, RewardProgram],
    primary: str,
    ppo: PpoConfig,
    config: BlendConfig | None = None,
    *,
    start: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Blend:
    """Learn the weights of `parts` for the return of the part named `primary`.

    Args:
        parts: rewards by name; every one without memory and without a potential.
        ppo: of the inner loop. `normalize_reward` and `device` do not count here.
        start: weights to begin with; left out: such that all parts are of the same size at first.

    Raises:
        UsageError: there is no such part, one has memory or a potential, `start` is not for these parts, or the
            discount of `ppo` is 1.
    """
    config = config or BlendConfig()
    _check(parts, primary, ppo, start)
    order = [primary, *(name for name in parts if name != primary)]
    world = environment.make_world(ppo.num_envs)
    try:
        learner = _Learner(environment, world, [parts[name] for name in order], ppo, config, seed)
        if start is not None:
            learner.start_from(torch.tensor([float(start[name]) for name in order]))
        course = []
        for iteration in range(ppo.iterations):
            returns = learner.iterate(iteration)
            weights = dict(zip(order, learner.weights().tolist(), strict=True))
            course.append(BlendPoint((iteration + 1) * ppo.batch, returns, weights))
    finally:
        world.close()
    return Blend(course[-1].weights, course)


def _check(parts: Mapping[str, RewardProgram], primary: str, ppo: PpoConfig, start: Mapping[str, float] | None) -> None:
    if primary not in parts:
        raise UsageError(unknown("part", primary, parts))
    for name, program in parts.items():
        if program.uses_memory or program.has_potential:
            kept = "memory" if program.uses_memory else "a potential"
            raise UsageError(f"{name} has {kept}, and such rewards cannot be blended", hint="leave it out")
    if ppo.gamma >= 1:
        raise UsageError("blending needs a discount below 1", hint="set gamma to 0.99")
    if start is not None and set(start) != set(parts):
        raise UsageError(f"weights for {sorted(start)} do not fit the rewards {sorted(parts)}")


class _Learner:
    """One policy, its values, and the weights phi (K,) of the parts, in units of the parts' first sizes."""

    def __init__(
        self,
        environment: Environment,
        world: VecWorld,
        parts: Sequence[RewardProgram],
        ppo: PpoConfig,
        config: BlendConfig,
        seed: int,
    ) -> None:
        self._ppo, self._config = ppo, config
        self._draw = torch.Generator().manual_seed(seed)
        self._actor = Actor(world.obs_dim, ppo.hidden, environment.interface.action, rescale=ppo.rescale_actions)
        self._theta = self._actor.initial(self._draw).requires_grad_()
        # One stream for each part under the inner discount, then the primary one under the outer discount.
        self._values = value_network(world.obs_dim, ppo.hidden, len(parts) + 1, self._draw)
        self._gamma = torch.tensor([ppo.gamma] * len(parts) + [config.outer_gamma])
        self._adam = torch.optim.Adam([self._theta, *self._values.parameters()], ppo.learning_rate, eps=1e-5)
        self._sampler = Sampler(world, self._actor, parts, ppo, seed)
        self._ascent = WeightAscent(config.outer_rate, config.outer_decay, config.warmup)
        with torch.no_grad():
            self._rollout = self._sampler.collect(self._theta)
        self._size = part_sizes(self._rollout.reward)
        self._phi = torch.ones(len(parts))

    def start_from(self, weights: Tensor) -> None:
        """Weights (K,) of the parts as they are."""
        self._phi = weights * self._size

    def weights(self) -> Tensor:
        """(K,), of the parts as they are."""
        return self._phi / self._size

    def iterate(self, iteration: int) -> float:
        """An outer step, inner updates on the same rollout, and the next rollout. Returns the mean primary return."""
        rollout = self._rollout
        with torch.no_grad():
            sized = rollout.reward / self._size[:, None]
            streams = torch.cat([sized, sized[:, :1]], 1)
            found = estimate(rollout, streams, self._values, self._gamma, self._ppo.gae_lambda)
        parts, outer = found.advantage[:, :-1], found.advantage[:, -1]
        paid = bool(rollout.reward[:, 0].any())  # without any primary reward its gradient is that of the values' errors
        if self._config.outer_rate > 0 and paid:
            self._phi = self._ascent(self._phi, self._hypergradient(rollout, parts, standardized(outer)))
        if self._ppo.anneal:
            for group in self._adam.param_groups:
                group["lr"] = self._ppo.learning_rate * (1 - iteration / self._ppo.iterations)
        self._learn(rollout, standardized(parts @ self._phi), found.target)
        with torch.no_grad():
            self._rollout = self._sampler.collect(self._theta)
        return float(rollout.finished.mean())

    def _hypergradient(self, rollout: Rollout, parts: Tensor, outer: Tensor) -> Tensor:
        """(K,), from advantages of the parts (M, K) and of the primary return (M,)."""
        theta, phi = self._theta.detach().requires_grad_(), self._phi.clone().requires_grad_()
        log_prob, entropy = self._actor.log_prob(theta, rollout.x, rollout.raw)
        ratio = torch.exp(log_prob - log_prob.detach())
        blended = parts @ phi
        inner = (ratio * blended / (blended.detach().std() + _TINY)).mean() + self._ppo.entropy_coef * entropy.mean()
        inner = inner - 0.5 * self._config.inner_decay * theta.square().sum()
        (update,) = torch.autograd.grad(inner, theta, create_graph=True)
        return hypergradient((ratio * outer).mean(), update, theta, phi, terms=self._config.neumann_terms)

    def _learn(self, rollout: Rollout, advantage: Tensor, target: Tensor) -> None:
        """PPO's epochs over one rollout; advantage (M,), values' targets (M, V)."""
        ppo = self._ppo
        with torch.no_grad():
            before, _ = self._actor.log_prob(self._theta, rollout.x, rollout.raw)
        for _ in range(ppo.epochs):
            for rows in torch.randperm(len(advantage), generator=self._draw).split(ppo.minibatch_size):
                log_prob, entropy = self._actor.log_prob(self._theta, rollout.x[rows], rollout.raw[rows])
                ratio, a = torch.exp(log_prob - before[rows]), advantage[rows]
                gain = torch.minimum(ratio * a, ratio.clamp(1 - ppo.clip, 1 + ppo.clip) * a).mean()
                gain = gain + ppo.entropy_coef * entropy.mean()
                decay = 0.5 * self._config.inner_decay * self._theta.square().sum()
                values = (self._values(rollout.x[rows]) - target[rows]).square().mean(0).sum()
                self._adam.zero_grad()
                (decay - gain + ppo.value_coef * values).backward()
                for weights in ([self._theta], list(self._values.parameters())):
                    nn.utils.clip_grad_norm_(weights, ppo.max_grad_norm)
                self._adam.step()


class WeightAscent:
    """Ascent in phi (K,), the primary weight first: Adam with one second moment for all weights.

    Steps do not depend on the size of the gradients, and gradients that contradict each other make short ones. As all
    weights share a step size, one that does not matter stays where it is. PPO sees only the direction of phi, so its
    length is kept: else it would grow along the primary weight, and steps would turn it less and less. The first
    `warmup` gradients are only measured.
    """

    def __init__(self, rate: float, decay: float, warmup: int = 0) -> None:
        self._rate, self._decay, self._warmup = rate, decay, warmup
        self._mean, self._square, self._seen = 0.0, 0.0, 0

    def __call__(self, phi: Tensor, gradient: Tensor) -> Tensor:
        """The next phi (K,)."""
        self._seen += 1
        self._mean = _BETA1 * self._mean + (1 - _BETA1) * gradient
        self._square = _BETA2 * self._square + (1 - _BETA2) * float(gradient.square().sum())
        if self._seen <= self._warmup or self._square == 0:
            return phi
        mean, square = self._mean / (1 - _BETA1**self._seen), self._square / (1 - _BETA2**self._seen)
        length = phi.norm()
        moved = phi + length * self._rate / square**0.5 * mean
        moved[1:] *= 1 - self._decay
        return moved * (length / moved.norm())


def part_sizes(reward: Tensor) -> Tensor:
    """Root mean square (K,) of rewards (T, K, N); 1 for a part that paid nothing."""
    size = reward.square().mean((0, 2)).sqrt()
    return torch.where(size > 0, size, torch.ones_like(size))


def standardized(advantage: Tensor) -> Tensor:
    """`advantage` (M,) with mean 0 and deviation 1."""
    return (advantage - advantage.mean()) / (advantage.std() + _TINY)


_BETA1, _BETA2 = 0.9, 0.99
_TINY = 1e-8
