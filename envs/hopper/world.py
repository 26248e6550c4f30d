"""Hopper-v5 as batched functions: start states, observation, termination and the published reward."""

import numpy as np
import torch

FIELDS = ("qpos", "qvel", "before:qpos")
RESET_NOISE = 5e-3


def noise(rng):
    return np.concatenate([rng.uniform(-RESET_NOISE, RESET_NOISE, 6), rng.uniform(-RESET_NOISE, RESET_NOISE, 6)])


def start(noise, qpos0, qvel0):
    return qpos0 + noise[:, :6], qvel0 + noise[:, 6:]


def observation(fields):
    return torch.cat([fields["qpos"][:, 1:], fields["qvel"].clamp(-10, 10)], 1)


def terminated(fields):
    qpos, qvel = fields["qpos"], fields["qvel"]
    rest = torch.cat([qpos[:, 2:], qvel], 1)
    healthy = ((rest > -100) & (rest < 100)).all(1) & (qpos[:, 1] > 0.7) & (qpos[:, 2] > -0.2) & (qpos[:, 2] < 0.2)
    return ~healthy


def native_reward(fields, action, dt):
    speed = (fields["qpos"][:, 0] - fields["before:qpos"][:, 0]) / dt
    return speed + (~terminated(fields)).double() - 1e-3 * sum(action.square().unbind(1))
