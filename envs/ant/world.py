"""Ant-v5 as batched functions: start states, observation, termination and the published reward."""

import numpy as np
import torch

# The velocity is that of the torso's body, which belongs to the state before the last substep, as in Gymnasium.
FIELDS = ("qpos", "qvel", "xpos:torso", "before:xpos:torso", "cfrc_ext")
RESET_NOISE = 0.1


def noise(rng):
    return np.concatenate([rng.uniform(-RESET_NOISE, RESET_NOISE, 15), RESET_NOISE * rng.standard_normal(14)])


def start(noise, qpos0, qvel0):
    return qpos0 + noise[:, :15], qvel0 + noise[:, 15:]


def contact_forces(fields):
    return fields["cfrc_ext"].clamp(-1, 1).flatten(1)


def observation(fields):
    return torch.cat([fields["qpos"][:, 2:], fields["qvel"], contact_forces(fields)[:, 6:]], 1)


def terminated(fields):
    state = torch.cat([fields["qpos"], fields["qvel"]], 1)
    return ~(torch.isfinite(state).all(1) & (state[:, 2] >= 0.2) & (state[:, 2] <= 1.0))


def native_reward(fields, action, dt):
    speed = (fields["xpos:torso"] - fields["before:xpos:torso"])[:, 0] / dt
    pairs = action.square().reshape(-1, 4, 2).sum(2)  # eight numbers in the order in which NumPy sums them
    control = 0.5 * pairs.reshape(-1, 2, 2).sum(2).sum(1)
    return speed + (~terminated(fields)).double() - (control + 5e-4 * contact_forces(fields).square().sum(1))
