"""Pendulum-v1 as batched functions: start states, dynamics, observation and the published reward.

Source: Gymnasium 1.2, classic_control/pendulum.py; a state is angle (0 upright, not wrapped) and angular velocity.
"""

import math

import torch

GRAVITY, MASS, LENGTH, DT = 10.0, 1.0, 1.0, 0.05
MAX_SPEED, MAX_TORQUE = 8.0, 2.0


def noise(rng):
    return rng.uniform(low=(-math.pi, -1.0), high=(math.pi, 1.0))


def start(noise):
    return noise


def torque(action):
    return action[:, 0].clamp(-MAX_TORQUE, MAX_TORQUE)


def step(state, action):
    angle, speed = state.unbind(1)
    push = 3.0 / (MASS * LENGTH**2) * torque(action)  # float32, as in the source
    speed = speed + (3 * GRAVITY / (2 * LENGTH) * torch.sin(angle) + push) * DT
    speed = speed.clamp(-MAX_SPEED, MAX_SPEED)
    return torch.stack([angle + speed * DT, speed], 1)


def observation(state):
    angle, speed = state.unbind(1)
    return torch.stack([torch.cos(angle), torch.sin(angle), speed], 1)


def terminated(state):
    return torch.zeros_like(state[:, 0], dtype=torch.bool)


def native_reward(before, action, state):
    angle, speed = before.unbind(1)
    wrapped = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
    return -(wrapped.square() + 0.1 * speed.square() + 0.001 * torque(action).square())
