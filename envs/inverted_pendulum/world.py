"""InvertedPendulum-v5 as batched functions: start states, observation, termination and the published reward."""

import torch

FIELDS = ("qpos", "qvel")


def noise(rng):
    return rng.uniform(-0.01, 0.01, 4)


def start(noise, qpos0, qvel0):
    return qpos0 + noise[:, :2], qvel0 + noise[:, 2:]


def observation(fields):
    return torch.cat([fields["qpos"], fields["qvel"]], 1)


def terminated(fields):
    state = observation(fields)
    return ~(torch.isfinite(state).all(1) & (state[:, 1].abs() <= 0.2))


def native_reward(fields, action, dt):
    return (~terminated(fields)).double()
