"""HalfCheetah-v5 as batched functions: start states, observation, termination and the published reward."""

import numpy as np
import torch

FIELDS = ("qpos", "qvel", "before:qpos")
RESET_NOISE = 0.1


def noise(rng):
    return np.concatenate([rng.uniform(-RESET_NOISE, RESET_NOISE, 9), RESET_NOISE * rng.standard_normal(9)])


def start(noise, qpos0, qvel0):
    return qpos0 + noise[:, :9], qvel0 + noise[:, 9:]


def observation(fields):
    return torch.cat([fields["qpos"][:, 1:], fields["qvel"]], 1)


def terminated(fields):
    return torch.zeros_like(fields["qpos"][:, 0], dtype=torch.bool)


def native_reward(fields, action, dt):
    speed = (fields["qpos"][:, 0] - fields["before:qpos"][:, 0]) / dt
    return speed - 0.1 * sum(action.square().unbind(1))  # in order, as NumPy sums
