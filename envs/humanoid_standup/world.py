"""HumanoidStandup-v5 as batched functions: start states, observation and the published reward."""

import torch

from rewardsmith.envs.floating import HUMANOID_FIELDS, HUMANOID_HIDDEN, humanoid_observation, squared

FIELDS = HUMANOID_FIELDS
HIDDEN = HUMANOID_HIDDEN
RESET_NOISE = 1e-2
TIMESTEP = 0.003  # seconds of a substep, by which the published reward divides

observation = humanoid_observation


def noise(rng):
    return rng.uniform(-RESET_NOISE, RESET_NOISE, 47)


def start(noise, qpos0, qvel0):
    return qpos0 + noise[:, :24], qvel0 + noise[:, 24:]


def terminated(fields):
    return torch.zeros_like(fields["qpos"][:, 0], dtype=torch.bool)


def native_reward(fields, action, dt):
    impact = (0.5e-6 * squared(fields["cfrc_ext"])).clamp(max=10.0)
    return fields["qpos"][:, 2] / TIMESTEP - 0.1 * action.double().square().sum(1) - impact + 1
