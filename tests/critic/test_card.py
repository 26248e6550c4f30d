"""CARD's trajectory preference evaluation (arXiv 2410.14660) through the public critic, on rewards as source code.

The paper's own implementation passes every reward where all trajectories succeeded or all failed; ours cannot tell.
"""

from __future__ import annotations

import pytest
import torch

from rewardsmith.bank import Bank
from rewardsmith.critic import Critic
from rewardsmith.critic.checks_episodes import successes_lose
from rewardsmith.critic.evidence import evaluate_episodes
from rewardsmith.critic.sample import from_bank
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.types import Verdict
from tests.critic.worlds import INTERFACE, make_bank

WON = 40  # of 100 trajectories
SHORT, LONG = 20, 100  # steps: success ends an episode


def stored_trajectories() -> Bank:
    """40 successes that reach x = 1 in 20 steps, and 60 failures that stay around 0 for 100 steps."""
    bank = make_bank([SHORT] * WON + [LONG] * (100 - WON), success=[1.0] * WON + [0.0] * (100 - WON))
    won = bank.episode < WON
    bank.obs["x"].mul_(0.1).add_(torch.where(won, bank.t / SHORT, 0.0))
    bank.next_obs["x"].mul_(0.1).add_(torch.where(won, (bank.t + 1) / SHORT, 0.0))
    return bank


def code(term: str) -> str:
    return f"def compute_reward(obs, action, next_obs):\n    pay = {term}\n    return pay, {{'pay': pay}}\n"


REWARDS = {
    "position": code('next_obs["x"]'),
    "near the goal": code('torch.exp(-((next_obs["x"] - 1.0) / 0.3) ** 2)'),
    "away": code('-next_obs["x"]'),
    "distance with the wrong sign": code('(next_obs["x"] - 1.0).abs()'),
    "constant": code('torch.ones_like(next_obs["x"])'),
    "cost of time": code('-1.0 - 0.01 * (next_obs["v"][:, 0] > 0.0).float()'),
}
CORRECT = {"position", "near the goal"}


@pytest.fixture(scope="module")
def jail():
    with reward_jail() as jail:
        yield jail


@pytest.fixture(scope="module")
def critic(jail: Jail) -> Critic:
    return Critic(INTERFACE, jail, bank=stored_trajectories())


def passes(verdict: Verdict) -> bool:
    """The critic accepts it, and has nothing to say against how it ranks trajectories."""
    return verdict.accepted and not any(finding.id.startswith("ranking.") for finding in verdict.findings)


@pytest.mark.parametrize("name", REWARDS)
def test_only_correct_rewards_pass(name: str, critic: Critic) -> None:
    assert passes(critic.check(REWARDS[name]).verdict) == (name in CORRECT)


@pytest.mark.parametrize("name", ["away", "distance with the wrong sign"])
def test_of_inverted_rewards_the_critic_says_how_much_of_the_order_is_right(name: str, critic: Critic) -> None:
    findings = {finding.id: finding for finding in critic.check(REWARDS[name]).verdict.findings}
    said = findings[successes_lose.id]
    assert said.severity == "warn"
    assert f"0% of {WON} successful episodes" in said.message and "0% of all pairs" in said.message


def test_a_constant_reward_is_refused_before_anything_is_ranked(critic: Critic) -> None:
    verdict = critic.check(REWARDS["constant"]).verdict
    assert not verdict.accepted and [f.id for f in verdict.findings if f.severity == "refuse"] == ["signal.constant"]


def test_short_successes_do_not_win_by_being_cheap(jail: Jail, critic: Critic) -> None:
    """In all, every success is paid more than any failure, but per step the reward has no opinion about success."""
    program = compile_reward(REWARDS["cost of time"], INTERFACE, jail).program
    assert program is not None
    sample = from_bank(stored_trajectories())
    returns = sample.per_episode(evaluate_episodes(program, sample).total) * sample.lengths
    assert returns[:WON].min() > returns[WON:].max()
    assert successes_lose.id in {finding.id for finding in critic.check(REWARDS["cost of time"]).verdict.findings}


@pytest.mark.parametrize("outcome", [0.0, 1.0])
@pytest.mark.parametrize("name", ["position", "away"])
def test_outcomes_of_one_kind_tell_nothing_about_any_reward(name: str, outcome: float, jail: Jail) -> None:
    bank = stored_trajectories()
    bank.success.fill_(outcome)
    verdict = Critic(INTERFACE, jail, bank=bank).check(REWARDS[name]).verdict
    (finding,) = [finding for finding in verdict.findings if finding.id.startswith("ranking.")]
    assert (finding.id, finding.severity) == ("ranking.inconclusive", "info")
    assert f"{100 * outcome:.0f} successful and {100 * (1 - outcome):.0f} failed episodes" in finding.message
