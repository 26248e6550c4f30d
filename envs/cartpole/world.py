"""CartPole-v1 as batched functions: start states, dynamics, observation, termination and the published reward.

Source: Gymnasium 1.2, classic_control/cartpole.py, after Barto, Sutton and Anderson (1983).
"""

import math

import torch

GRAVITY, CART, POLE, HALF_LENGTH = 9.8, 1.0, 0.1, 0.5  # m/s^2, kg, kg, m
FORCE, DT = 10.0, 0.02  # N, s
TOTAL, MOMENT = POLE + CART, POLE * HALF_LENGTH
EDGE, TILT = 2.4, 12 * 2 * math.pi / 360  # beyond these the episode ends


def noise(rng):
    return rng.uniform(-0.05, 0.05, 4)


def start(noise):
    return noise


def step(state, action):
    x, velocity, angle, turn = state.unbind(1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    force = torch.where(action == 1, FORCE, -FORCE).to(state.dtype)
    push = (force + MOMENT * turn.square() * sin) / TOTAL
    turning = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE * cos.square() / TOTAL))
    pushed = push - MOMENT * turning * cos / TOTAL
    return torch.stack([x + DT * velocity, velocity + DT * pushed, angle + DT * turn, turn + DT * turning], 1)


def observation(state):
    return state


def terminated(state):
    return (state[:, 0].abs() > EDGE) | (state[:, 2].abs() > TILT)


def native_reward(before, action, state):
    return torch.ones_like(state[:, 0])
