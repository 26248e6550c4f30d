"""InvertedDoublePendulum-v5 as batched functions: start states, observation, termination and the published reward."""

import numpy as np
import torch

# The tip's position belongs to the state before the last substep, as in Gymnasium.
FIELDS = ("qpos", "qvel", "site_xpos:tip")
HIDDEN = ("qfrc_constraint",)
RESET_NOISE = 0.1


def noise(rng):
    return np.concatenate([rng.uniform(-RESET_NOISE, RESET_NOISE, 3), RESET_NOISE * rng.standard_normal(3)])


def start(noise, qpos0, qvel0):
    return qpos0 + noise[:, :3], qvel0 + noise[:, 3:]


def observation(fields):
    position, angles = fields["qpos"][:, :1], fields["qpos"][:, 1:]
    forces = fields["qfrc_constraint"][:, :1].clamp(-10, 10)
    return torch.cat([position, torch.sin(angles), torch.cos(angles), fields["qvel"].clamp(-10, 10), forces], 1)


def terminated(fields):
    return fields["site_xpos:tip"][:, 2] <= 1


def native_reward(fields, action, dt):
    x, _, height = fields["site_xpos:tip"].unbind(1)
    _, lower, upper = fields["qvel"].unbind(1)
    alive = 10.0 * (~terminated(fields)).double()
    return alive - (0.01 * x**2 + (height - 2) ** 2) - (1e-3 * lower**2 + 5e-3 * upper**2)
