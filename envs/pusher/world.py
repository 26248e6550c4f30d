"""Pusher-v5 as batched functions: start states, observation and the published reward."""

import numpy as np
import torch

# Positions of bodies belong to the state before the last substep, as Gymnasium observes them.
FIELDS = ("qpos", "qvel", "xpos:tips_arm", "xpos:object", "xpos:goal")


def noise(rng):
    while True:
        cylinder = np.array([rng.uniform(-0.3, 0), rng.uniform(-0.2, 0.2)])
        if np.linalg.norm(cylinder) > 0.17:
            return np.concatenate([cylinder, rng.uniform(-0.005, 0.005, 11)])


def start(noise, qpos0, qvel0):
    still = torch.zeros_like(noise[:, :4])
    goal = torch.zeros_like(noise[:, :2])
    qpos = torch.cat([qpos0[:, :7].expand(len(noise), -1), noise[:, :2], goal], 1)
    return qpos, torch.cat([(qvel0 + noise[:, 2:])[:, :7], still], 1)


def bodies(fields):
    return [fields[f"xpos:{body}"] for body in ("tips_arm", "object", "goal")]


def observation(fields):
    return torch.cat([fields["qpos"][:, :7], fields["qvel"][:, :7], *bodies(fields)], 1)


def terminated(fields):
    return torch.zeros_like(fields["qpos"][:, 0], dtype=torch.bool)


def native_reward(fields, action, dt):
    tip, object, goal = bodies(fields)
    control = 0.1 * sum(action.square().unbind(1))  # in order, as NumPy sums
    return -(object - goal).norm(dim=1) - control - 0.5 * (object - tip).norm(dim=1)
