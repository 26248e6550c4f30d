"""What goal states are paid for: each check on a reward that trips it and on a near miss."""

from __future__ import annotations

import pytest
import torch

from rewardsmith.critic import checks_goals as checks
from rewardsmith.critic.evidence import Inconclusive
from rewardsmith.critic.sample import from_bank
from tests.critic.worlds import CountingProgram, FakeProgram, Output, evidence, make_bank

# Recorded: x within about -1.2 and 1.2, both numbers of v around 0 with a spread of 1.
AHEAD = {
    "x": torch.linspace(1.5, 2.0, 5),
    "v": torch.stack([torch.linspace(2.0, 3.0, 5), torch.linspace(-1.0, 1.0, 5)], 1),
    "room": torch.zeros(5, dtype=torch.int64),
}
AT_REST = {
    "x": torch.linspace(-0.01, 0.01, 5),
    "v": torch.linspace(-0.05, 0.05, 10).view(5, 2),
    "room": torch.zeros(5, dtype=torch.int64),
}
FARMED = [
    (checks.sign_blind, AHEAD, lambda o, a, n: n["x"].abs(), "'x' from 1.5 to 2;"),
    (checks.sign_blind, AHEAD, lambda o, a, n: o["x"] ** 2, "with 'x' negated"),
    (checks.sign_blind, AHEAD, lambda o, a, n: (n["x"] - o["x"]).abs(), "'x' from"),
    (checks.sign_blind, AHEAD, lambda o, a, n: n["v"].norm(dim=1) - 0.01 * (a**2).sum(1), "'v'[0] from 2 to 3;"),
    (checks.half_read, AT_REST, lambda o, a, n: -n["v"][:, 1].abs(), "reads 'v'[1], which"),
    (checks.half_read, AT_REST, lambda o, a, n: -n["v"][:, 0] ** 2, "but not 'v'[1]"),
    (checks.overshoot, AT_REST, lambda o, a, n: -n["v"].sum(1) + 0.2, "below the goal pays"),
    (checks.flat, AT_REST, lambda o, a, n: -0.01 * n["x"].abs() - (a**2).sum(1), "90 % of recorded steps"),
    (checks.flat, AHEAD, lambda o, a, n: torch.cos(0.01 * n["x"]) + a[:, 0] + 0.001 * n["x"], "a recorded step"),
]  # fmt: skip
HONEST = [
    (checks.sign_blind, AHEAD, lambda o, a, n: n["x"]),
    (checks.sign_blind, AHEAD, lambda o, a, n: n["x"].clamp(min=0)),
    (checks.sign_blind, AHEAD, lambda o, a, n: n["x"] - o["x"]),
    (checks.sign_blind, AHEAD, lambda o, a, n: (n["x"] > 1.4).float()),
    (checks.sign_blind, AHEAD, lambda o, a, n: -(n["x"] - 1.7).abs()),
    (checks.sign_blind, AHEAD, lambda o, a, n: 5 * n["x"] + n["v"].norm(dim=1)),  # the norm brings little
    (checks.sign_blind, AHEAD, lambda o, a, n: -n["v"][:, 1].abs()),  # goal states have both signs
    (checks.sign_blind, AT_REST, lambda o, a, n: -n["x"].abs()),  # at zero there is no sign to keep
    (checks.sign_blind, AHEAD, lambda o, a, n: -n["x"].abs()),  # goal states are not what it pays for
    (checks.half_read, AT_REST, lambda o, a, n: -n["v"].norm(dim=1)),
    (checks.half_read, AT_REST, lambda o, a, n: -(n["v"].abs().amax(1))),
    (checks.half_read, AT_REST, lambda o, a, n: -n["x"].abs() - 0.1 * n["v"][:, 0].abs()),  # little rests on it
    (checks.half_read, AHEAD, lambda o, a, n: n["v"][:, 0]),  # the goal leaves the other number open
    (checks.half_read, AT_REST, lambda o, a, n: n["v"][:, 0].abs()),  # moving away pays: told by direction.doubtful
    (checks.overshoot, AT_REST, lambda o, a, n: -n["x"].abs()),
    (checks.overshoot, AT_REST, lambda o, a, n: -n["v"].norm(dim=1) + 0.1 * n["x"]),
    (checks.overshoot, AHEAD, lambda o, a, n: n["x"]),  # nothing was recorded beyond
    (checks.flat, AT_REST, lambda o, a, n: -n["x"].abs() - (a**2).sum(1)),
    (checks.flat, AHEAD, lambda o, a, n: n["x"] - o["x"]),
    (checks.flat, AHEAD, lambda o, a, n: (n["x"] > 1.4).float()),  # sparse
    (checks.flat, AHEAD, FakeProgram(lambda o, a, n: (n["x"] > 1.4).float(), potential=lambda obs: 50 * obs["x"])),
    (checks.flat, AHEAD, lambda o, a, n: 10.0 * n["terminated"].float()),  # arriving may end the episode
    (checks.flat, AHEAD, lambda o, a, n: -10.0 * n["terminated"].float() + n["x"]),  # or not
    (checks.flat, AHEAD, lambda o, a, n: -n["x"]),  # told by direction.inverted
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(FARMED)))
def test_check_trips(case):
    check, goals, reward, words = FARMED[case]
    assert words in (check.run(evidence(reward, goals=goals)) or "")


@pytest.mark.parametrize("case", range(len(HONEST)))
def test_near_miss(case):
    check, goals, reward = HONEST[case]
    assert check.run(evidence(reward, goals=goals)) is None


def test_leaning_past_the_goal():
    """Recorded states lie mostly below, so arriving at the goal pays more than leaving it; but not most."""
    bank = make_bank()
    for state in (bank.obs, bank.next_obs):
        state["x"].sub_(0.5)
    seen = checks.overshoot.run(evidence(lambda o, a, n: n["x"], bank, goals=AT_REST))
    assert "above the goal pays" in seen
    bank.next_obs["x"].clamp_(max=0.0)
    assert checks.overshoot.run(evidence(lambda o, a, n: n["x"], bank, goals=AT_REST)) is None


def test_a_sign_that_was_never_recorded_the_other_way_is_not_missed():
    bank = make_bank()
    bank.next_obs["x"].abs_()
    assert checks.sign_blind.run(evidence(lambda o, a, n: n["x"].abs(), bank, goals=AHEAD)) is None


def test_features_that_the_reward_does_not_name_are_passed_over():
    program = FakeProgram(lambda o, a, n: n["x"].abs(), unused_features=("x", "v", "room"))
    assert checks.sign_blind.run(evidence(program, goals=AHEAD)) is None


@pytest.mark.parametrize("check", [checks.sign_blind, checks.half_read, checks.overshoot, checks.flat])
def test_without_goal_states(check):
    with pytest.raises(Inconclusive, match="no goal states"):
        check.run(evidence(lambda o, a, n: n["x"]))
    with pytest.raises(Inconclusive, match="nothing was recorded"):
        checks.half_read.run(evidence(lambda o, a, n: n["x"], False, goals=AHEAD))


@pytest.mark.parametrize("goals", [AHEAD, {name: value[:1] for name, value in AHEAD.items()}])
def test_one_recorded_row_and_one_goal_state_are_enough_to_run(goals):
    for check in (checks.sign_blind, checks.half_read, checks.overshoot, checks.flat):
        assert check.run(evidence(lambda o, a, n: n["x"], make_bank([1]), goals=goals)) is None


@pytest.mark.parametrize("check", [checks.sign_blind, checks.half_read, checks.overshoot])
def test_memory_makes_staying_at_the_goal_unknown(check):
    with pytest.raises(Inconclusive, match="memory"):
        check.run(evidence(CountingProgram(), goals=AHEAD))


class Late(CountingProgram):
    """With memory, the number of steps so far: pays for the goal, hardly when it is late, and for small actions."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def _pay(self, action, next_obs, steps):
        there = (next_obs["x"] > 1.4).float()
        return there * torch.where(steps < self._steps, 1.0, 0.001) - 0.1 * (action**2).sum(-1)

    def __call__(self, obs, action, next_obs, *, memory=None, params=None) -> Output:
        steps = torch.zeros(len(action)) if memory is None else memory["steps"]
        return Output(self._pay(action, next_obs, steps), {})

    def over_rollout(self, obs, action, next_obs, starts, *, memory=None, params=None) -> Output:
        steps = torch.arange(len(starts)).float()[:, None].expand(starts.shape)
        return Output(self._pay(action, next_obs, steps), {}, None, {"steps": steps})


@pytest.mark.parametrize(("steps", "flat"), [(1, True), (35, False)])
def test_the_goal_is_reached_with_the_memory_of_the_way(steps, flat):
    """Episodes have 40 steps; a memory that is always fresh would find the goal well paid."""
    assert (checks.flat.run(evidence(Late(steps), goals=AHEAD)) is not None) == flat


# --- the end of the episode


def failing():
    return make_bank(success=[0.0] * 12)


def alive(o, a, n):
    return 1 + 0.1 * n["x"]


def test_staying_away_is_paid_better():
    seen = checks.delay.run(evidence(alive, failing(), goals=AHEAD, goal_ends=True))
    assert "arriving at a goal state at once, which ends the episode, pays 1.172;" in seen
    assert "40 steps spent half-way to the goal are paid 3" in seen and "discounted by 0.99" in seen


@pytest.mark.parametrize(
    "reward",
    [
        lambda o, a, n: alive(o, a, n) + 100.0 * n["terminated"].float(),  # more than the rest of an episode
        lambda o, a, n: n["x"] - 2,  # every step costs
        lambda o, a, n: n["x"] - o["x"],
        lambda o, a, n: (n["x"] > 1.4).float(),
        lambda o, a, n: 0 * n["x"],
        FakeProgram(lambda o, a, n: (n["x"] > 1.4).float(), potential=lambda obs: 50 * obs["x"]),
    ],
)
def test_rewards_that_want_the_goal(reward):
    assert checks.delay.run(evidence(reward, failing(), goals=AHEAD, goal_ends=True)) is None


def test_a_simple_policy_shows_that_staying_away_pays():
    still = make_bank([40] * 3, success=[0.0] * 3)
    still.next_obs["x"].fill_(1.2)
    simple = {"no action": from_bank(still)}
    options = {"goals": AHEAD, "goal_ends": True}
    reward = lambda o, a, n: n["x"].clamp(min=1.1) - 1.1
    assert checks.delay.run(evidence(reward, failing(), **options)) is None
    seen = checks.delay.run(evidence(reward, failing(), simple=simple, **options))
    assert "episodes of 'no action' are paid 3.31" in seen


@pytest.mark.parametrize(("bonus", "waits"), [(1.0, True), (100.0, False)])
def test_staying_half_way_to_the_goal(bonus, waits):
    """Nothing recorded came near it, so no recorded failure is paid."""
    reward = lambda o, a, n: torch.exp(-4 * (1.7 - n["x"]).clamp(min=0)) + bonus * n["terminated"].float()
    seen = checks.delay.run(evidence(reward, failing(), goals=AHEAD, goal_ends=True, horizon=200))
    assert (seen is not None and "200 steps spent half-way to the goal are paid" in seen) == waits


def test_where_the_goal_does_not_end_the_episode_or_nobody_knows():
    assert checks.delay.run(evidence(alive, failing(), goals=AHEAD, goal_ends=False)) is None
    with pytest.raises(Inconclusive, match="whether reaching the goal ends"):
        checks.delay.run(evidence(alive, failing(), goals=AHEAD))
    with pytest.raises(Inconclusive, match="what the goal pays"):
        checks.delay.run(evidence(alive, failing(), goal_ends=True))


def mixed(won=4, *, failures_end=False):
    """`won` successes that end by themselves, and longer failures that do or do not."""
    bank = make_bank([20] * won + [40] * (12 - won), success=[1.0] * won + [0.0] * (12 - won))
    last = bank.truncated.clone()
    ends = last if failures_end else last & (bank.episode < won)
    bank.next_obs["terminated"].copy_(ends)
    bank.truncated.copy_(last & ~ends)
    return bank


def test_without_goal_states_recorded_successes_say_what_they_pay():
    seen = checks.delay.run(evidence(alive, mixed()))
    assert "succeeding, which ends the episode, in 4 recorded episodes pays 18." in seen
    bonus = lambda o, a, n: alive(o, a, n) + 100.0 * n["terminated"].float()
    assert checks.delay.run(evidence(bonus, mixed())) is None


@pytest.mark.parametrize("bank", [mixed(2), mixed(failures_end=True), mixed(0), make_bank(ends="terminated")])
def test_that_successes_ended_does_not_say_that_success_ended_them(bank):
    with pytest.raises(Inconclusive, match="whether reaching the goal ends"):
        checks.delay.run(evidence(alive, bank, goals=AHEAD))
