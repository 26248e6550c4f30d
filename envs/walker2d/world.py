"""Walker2d-v5 as batched functions: start states, observation, termination and the published reward."""

import torch

FIELDS = ("qpos", "qvel", "before:qpos")
RESET_NOISE = 5e-3


def noise(rng):
    return rng.uniform(-RESET_NOISE, RESET_NOISE, 18)


def start(noise, qpos0, qvel0):
    return qpos0 + noise[:, :9], qvel0 + noise[:, 9:]


def observation(fields):
    return torch.cat([fields["qpos"][:, 1:], fields["qvel"].clamp(-10, 10)], 1)


def terminated(fields):
    height, pitch = fields["qpos"][:, 1], fields["qpos"][:, 2]
    return ~((height > 0.8) & (height < 2.0) & (pitch > -1.0) & (pitch < 1.0))


def native_reward(fields, action, dt):
    speed = (fields["qpos"][:, 0] - fields["before:qpos"][:, 0]) / dt
    return speed + (~terminated(fields)).double() - 1e-3 * sum(action.square().unbind(1))  # in order, as NumPy sums
