"""Swimmer-v5 as batched functions: start states, observation and the published reward."""

import torch

FIELDS = ("qpos", "qvel", "before:qpos")
RESET_NOISE = 0.1


def noise(rng):
    return rng.uniform(-RESET_NOISE, RESET_NOISE, 10)


def start(noise, qpos0, qvel0):
    return qpos0 + noise[:, :5], qvel0 + noise[:, 5:]


def observation(fields):
    return torch.cat([fields["qpos"][:, 2:], fields["qvel"]], 1)


def terminated(fields):
    return torch.zeros_like(fields["qpos"][:, 0], dtype=torch.bool)


def native_reward(fields, action, dt):
    return (fields["qpos"][:, 0] - fields["before:qpos"][:, 0]) / dt - 1e-4 * action.square().sum(1)
