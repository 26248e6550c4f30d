"""The sampled STARC distance on a pendulum, against what policies for a wrong reward lose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from rewardsmith.critic.coverage import make_coverage
from rewardsmith.envs import resolve_env
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.distances import reward_distances
from rewardsmith.reward.program import RewardProgram

GAMMA = 0.95
ANGLES, SPEEDS, TORQUES = 41, 41, 5
TRUE = 'next_obs["tip_height"]'
OTHER = 'next_obs["angular_velocity"].abs() / 4'
PHI = '(3 * {}["tip_height"] + {}["angular_velocity"] / 2)'
SHAPING = f"{GAMMA} * {PHI.format('next_obs', 'next_obs')} - {PHI.format('obs', 'obs')}"
REWARD = """
def compute_reward(obs, action, next_obs):
    pay = {pay}
    return pay, {{"pay": pay}}
"""


class Grid:
    """The pendulum's dynamics between grid points; where a step ends between them, it ends at the four around it."""

    def __init__(self) -> None:
        angle = torch.linspace(-math.pi, math.pi, ANGLES + 1, dtype=torch.float64)[:-1]
        speed = torch.linspace(-8, 8, SPEEDS, dtype=torch.float64)
        torque = torch.linspace(-2, 2, TORQUES, dtype=torch.float64)
        rows = torch.cartesian_prod(angle, speed, torque)
        world = resolve_env("pendulum").make_world(1)
        after_speed = (rows[:, 1] + (15 * torch.sin(rows[:, 0]) + 3 * rows[:, 2]) * 0.05).clamp(-8, 8)
        after = torch.stack([rows[:, 0] + after_speed * 0.05, after_speed], 1)
        self.action = rows[:, 2:].float()
        self.before, self.after = (world.featurize({"obs": self._seen(s)}) for s in (rows[:, :2], after))
        self.after["terminated"] = torch.zeros(len(rows), dtype=torch.bool)
        world.close()
        self._corners, self._shares = self._around(after)

    @staticmethod
    def _seen(state: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.cos(state[:, 0]), torch.sin(state[:, 0]), state[:, 1]], 1).float()

    @staticmethod
    def _around(state: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The four grid points (4, M) around states (M, 2), and the share of each."""
        place = (
            ((state[:, 0] + math.pi) / (2 * math.pi) * ANGLES).numpy(),
            ((state[:, 1] + 8) / 16 * (SPEEDS - 1)).numpy(),
        )
        low = np.floor(place[0]).astype(int), np.minimum(np.floor(place[1]).astype(int), SPEEDS - 2)
        part = place[0] - low[0], place[1] - low[1]
        corners, shares = [], []
        for a in (0, 1):
            for b in (0, 1):
                corners.append((low[0] + a) % ANGLES * SPEEDS + low[1] + b)
                shares.append((part[0] if a else 1 - part[0]) * (part[1] if b else 1 - part[1]))
        return np.stack(corners), np.stack(shares)

    def pay(self, reward: RewardProgram) -> np.ndarray:
        """(states, TORQUES)."""
        return reward(self.before, self.action, self.after).total.double().numpy().reshape(-1, TORQUES)

    def onward(self, value: np.ndarray) -> np.ndarray:
        """Expected value (states, TORQUES) of the next state."""
        return (self._shares * value[self._corners]).sum(0).reshape(-1, TORQUES)

    def best(self, pay: np.ndarray) -> np.ndarray:
        """The best policy (states,), by value iteration."""
        value = np.zeros(len(pay))
        for _ in range(200):
            value = (pay + GAMMA * self.onward(value)).max(1)
        return (pay + GAMMA * self.onward(value)).argmax(1)

    def returns(self, pay: np.ndarray, policy: np.ndarray) -> float:
        """Mean discounted return of a policy over all states."""
        value, rows = np.zeros(len(pay)), np.arange(len(pay))
        for _ in range(200):
            value = (pay + GAMMA * self.onward(value))[rows, policy]
        return float(value.mean())


def test_the_sampled_distance_orders_rewards_by_regret(jail: Jail) -> None:
    """Six rewards from the true one to its opposite, with sizes and shaping that say nothing about their worth."""
    environment, grid = resolve_env("pendulum"), Grid()
    turns = np.linspace(0, math.pi, 6)
    sizes = (3.0, 0.2, 7.0, 1.0, 0.5, 4.0)
    pays = {"true": TRUE} | {
        f"turned{i}": f"{size} * ({math.cos(a)} * {TRUE} + {math.sin(a)} * {OTHER}) + {shaping} * ({SHAPING})"
        for i, (a, size, shaping) in enumerate(zip(turns, sizes, (5, -5, 1, 3, -2, 4), strict=True))
    }
    programs = {}
    for name, pay in pays.items():
        programs[name] = compile_reward(REWARD.format(pay=pay), environment.interface, jail).program
        assert programs[name] is not None, name
    found = reward_distances(programs, make_coverage(environment, states=256), gamma=GAMMA).starc.matrix
    assert found is not None
    distance = found[0, 1:].tolist()
    true = grid.pay(programs["true"])
    best, worst = (grid.returns(true, grid.best(sign * true)) for sign in (1, -1))
    regret = [
        (best - grid.returns(true, grid.best(grid.pay(programs[name])))) / (best - worst) for name in list(pays)[1:]
    ]
    assert distance[0] < 0.05 and distance[-1] == pytest.approx(2, abs=0.05)
    assert regret[0] == pytest.approx(0, abs=0.01) and regret[-1] == pytest.approx(1, abs=0.01)
    agreement = kendalltau(distance, regret).statistic  # pyright: ignore[reportAttributeAccessIssue]
    assert agreement >= 0.8
