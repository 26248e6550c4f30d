"""Trajectory preference evaluation on stored trajectories, as in CARD (arXiv 2410.14660)."""

from __future__ import annotations

import pytest
import torch

from rewardsmith.critic import checks_episodes as checks
from rewardsmith.critic.evidence import Inconclusive
from tests.critic.worlds import evidence, make_bank


def stored_trajectories():
    """100 trajectories: 40 short successes that reach x = 1, 60 long failures around 0."""
    bank = make_bank([20] * 40 + [100] * 60, success=[1.0] * 40 + [0.0] * 60)
    ahead = torch.where(bank.episode < 40, (bank.t + 1) / 20, 0.0)
    bank.obs["x"].mul_(0.1).add_(ahead)
    bank.next_obs["x"].mul_(0.1).add_(ahead)
    return bank


REWARDS = {
    "position": (lambda o, a, n: n["x"], True),
    "progress": (lambda o, a, n: n["x"] - 0.9 * o["x"], True),
    "away": (lambda o, a, n: -n["x"], False),
    "distance with the wrong sign": (lambda o, a, n: (n["x"] - 1).abs(), False),
    "constant": (lambda o, a, n: torch.ones_like(n["x"]), False),
    "long episodes": (lambda o, a, n: 1 - 0.01 * n["x"], False),  # in all, failures are paid more for being longer
}


@pytest.mark.parametrize("name", REWARDS)
def test_only_correct_rewards_pass(name):
    reward, correct = REWARDS[name]
    assert (checks.successes_lose.run(evidence(reward, stored_trajectories())) is None) == correct


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_outcomes_of_one_kind_are_inconclusive(outcome):
    bank = stored_trajectories()
    bank.success.fill_(outcome)
    with pytest.raises(Inconclusive):
        checks.successes_lose.run(evidence(REWARDS["position"][0], bank))
