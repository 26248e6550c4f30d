"""From a Stable-Baselines3 model to a `Policy`: the deterministic part of its network, and its normalizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rewardsmith.train.policy import Policy, PolicyInfo
from rewardsmith.train.sb3.config import ALGORITHMS

_NAMES: dict[type[nn.Module], str] = {nn.Tanh: "tanh", nn.ReLU: "relu"}


def policy_of(model: Any, normalizer: Any, algo: str, info: PolicyInfo) -> Policy:
    """A copy of the policy that acts as `model.predict(normalized, deterministic=True)` does.

    Args:
        normalizer: the model's `VecNormalize`, whose statistics are taken over.
        info: what the policy is for; the network's shape is filled in.
    """
    modules = _modules(model, algo)
    linear = [m for m in modules if isinstance(m, nn.Linear)]
    (activation,) = {type(m) for m in modules if not isinstance(m, nn.Linear)}
    weights = tuple((m.weight.detach().T.contiguous().clone(), m.bias.detach()[None].clone()) for m in linear)
    squashed = not ALGORITHMS[algo].on_policy and info.action.kind == "continuous"
    shape = {
        "hidden": tuple(m.out_features for m in linear[:-1]),
        "activation": _NAMES[activation],
        "rescale_actions": squashed,
        "squash_actions": squashed,
    }
    mean, var = (
        torch.as_tensor(x, dtype=torch.float64).clone() for x in (normalizer.obs_rms.mean, normalizer.obs_rms.var)
    )
    return Policy(info.model_copy(update=shape), weights, mean, var)


def _modules(model: Any, algo: str) -> list[nn.Module]:
    """Layers and activations up to the outputs; a tanh behind these is the policy's squashing."""
    policy = model.policy
    if ALGORITHMS[algo].on_policy:
        return [*policy.mlp_extractor.policy_net, policy.action_net]
    if algo == "dqn":
        return list(policy.q_net.q_net)
    if algo == "sac":
        return [*policy.actor.latent_pi, policy.actor.mu]
    return list(policy.actor.mu)[:-1]


def finite(policy: Policy) -> bool:
    tensors: list[Tensor] = [policy.mean, policy.var, *(t for layer in policy.weights for t in layer)]
    return all(bool(torch.isfinite(t).all()) for t in tensors)
