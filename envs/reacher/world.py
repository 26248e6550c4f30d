"""Reacher-v5 as batched functions: start states, observation, termination and the published reward."""

import numpy as np
import torch

# Positions of bodies belong to the state before the last substep, as Gymnasium observes them.
FIELDS = ("qpos", "qvel", "xpos:fingertip", "xpos:target")


def noise(rng):
    joints = rng.uniform(-0.1, 0.1, 4)
    target = rng.uniform(-0.2, 0.2, 2)
    while np.linalg.norm(target) >= 0.2:
        target = rng.uniform(-0.2, 0.2, 2)
    return np.concatenate([joints, target, rng.uniform(-0.005, 0.005, 4)])


def start(noise, qpos0, qvel0):
    qpos, qvel = qpos0 + noise[:, :4], qvel0 + noise[:, 6:]
    still = torch.zeros_like(qvel[:, 2:])
    return torch.cat([qpos[:, :2], noise[:, 4:6]], 1), torch.cat([qvel[:, :2], still], 1)


def observation(fields):
    qpos, qvel = fields["qpos"], fields["qvel"]
    angles = qpos[:, :2]
    vector = fields["xpos:fingertip"] - fields["xpos:target"]
    return torch.cat([torch.cos(angles), torch.sin(angles), qpos[:, 2:], qvel[:, :2], vector[:, :2]], 1)


def terminated(fields):
    return torch.zeros_like(fields["qpos"][:, 0], dtype=torch.bool)


def native_reward(fields, action, dt):
    distance = (fields["xpos:fingertip"] - fields["xpos:target"]).norm(dim=1)
    return -distance - sum(action.square().unbind(1))
