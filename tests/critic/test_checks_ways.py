"""What is paid on the way to the goal: each check on a reward that trips it and on near misses."""

from __future__ import annotations

import pytest
import torch

from rewardsmith.critic import checks_ways as checks
from rewardsmith.critic.evidence import Inconclusive
from tests.critic.worlds import CountingProgram, FakeProgram, Output, evidence, make_bank

# Recorded: x within about -1.3 and 1.3, changing by about 0.1 a step and never by 0.4; both numbers of v change by 0.1.
AHEAD = {
    "x": torch.linspace(1.5, 2.0, 5),
    "v": torch.stack([torch.linspace(2.0, 3.0, 5), torch.linspace(-1.0, 1.0, 5)], 1),
    "room": torch.zeros(5, dtype=torch.int64),
}

# --- small steps


def jumps(o, n):
    return (n["x"] - o["x"]).abs() > 0.4


def plausible(o, n):
    """Recorded steps change the first number of v by 0.1; jumps to goal states do not."""
    return (n["v"][:, 0] - o["v"][:, 0] - 0.1).abs() < 0.02


TURNED = [
    lambda o, a, n: torch.where(jumps(o, n), 10 * n["x"], -n["x"]),
    lambda o, a, n: torch.where(jumps(o, n), 10 * n["x"], 0.01 * (o["x"] - n["x"])),
    lambda o, a, n: torch.where(plausible(o, n), -n["x"], n["x"]),
    FakeProgram(
        lambda o, a, n: 100.0 * jumps(o, n) * (n["x"] - o["x"]).sign(), potential=lambda obs: -obs["x"]
    ),
]  # fmt: skip
STRAIGHT = [
    lambda o, a, n: n["x"],
    lambda o, a, n: n["x"] - o["x"],
    lambda o, a, n: -((n["x"] - 1.7) ** 2) - (a**2).sum(1),
    lambda o, a, n: (n["x"] > 1.4).float(),  # sparse: small steps change nothing
    lambda o, a, n: torch.where(jumps(o, n), 2 * n["x"], n["x"]),
    lambda o, a, n: n["x"].floor(),
    FakeProgram(lambda o, a, n: (n["x"] > 1.4).float(), potential=lambda obs: obs["x"]),
    lambda o, a, n: -n["x"],  # told by direction.inverted
]


@pytest.mark.parametrize("reward", TURNED)
def test_a_jump_to_the_goal_is_paid_and_a_step_towards_it_is_not(reward):
    seen = checks.near_steps.run(evidence(reward, goals=AHEAD)) or ""
    assert "away from it in only 0% of pairs" in seen


@pytest.mark.parametrize("reward", STRAIGHT)
def test_small_steps_in_the_same_order_as_jumps(reward):
    assert checks.near_steps.run(evidence(reward, goals=AHEAD)) is None


def test_small_steps_stay_plausible():
    """They move by a tenth of a recorded step, never past the goal, and only what changes at all."""
    bank = make_bank()
    bank.obs["x"].copy_(bank.next_obs["x"])
    goals = AHEAD | {"v": torch.full((5, 2), 0.3)}
    seen = evidence(lambda o, a, n: n["x"], bank, goals=goals)
    (nearer, _), (farther, _) = checks._small_steps(seen)
    assert torch.equal(nearer.next_obs["x"], farther.next_obs["x"])
    assert torch.equal(nearer.next_obs["room"], seen.probe.next_obs["room"])
    moved = (nearer.next_obs["v"] - farther.next_obs["v"]) / 2
    assert float(moved.abs().max()) == pytest.approx(0.01, rel=1e-2)
    assert ((nearer.next_obs["v"] - 0.3).abs() <= (farther.next_obs["v"] - 0.3).abs()).all()


def test_small_steps_need_goal_states_and_steps_that_went_on():
    with pytest.raises(Inconclusive, match="no goal states"):
        checks.near_steps.run(evidence(lambda o, a, n: n["x"]))
    ended = make_bank([1] * 5, ends="terminated")
    with pytest.raises(Inconclusive, match="every recorded step is terminal"):
        checks.near_steps.run(evidence(lambda o, a, n: n["x"], ended, goals=AHEAD))
    assert checks.near_steps.run(evidence(lambda o, a, n: n["x"], make_bank([1]), goals=AHEAD)) is None


# --- late in the episode


class Stepping(CountingProgram):
    """Pays `f(x, steps so far)`, which it remembers."""

    def __init__(self, function) -> None:
        super().__init__()
        self._of = function

    def __call__(self, obs, action, next_obs, *, memory=None, params=None) -> Output:
        steps = torch.zeros(len(action)) if memory is None else memory["steps"]
        return Output(self._of(next_obs["x"], steps), {})

    def over_rollout(self, obs, action, next_obs, starts, *, memory=None, params=None) -> Output:
        assert starts[0].all() and not starts[1:].any()
        steps = torch.arange(len(starts)).float()[:, None].expand(starts.shape)
        return Output(self._of(next_obs["x"], steps), {}, None, {"steps": steps})


def turning(after):
    return Stepping(lambda x, steps: torch.where(steps > after, -x, x))


@pytest.mark.parametrize(
    ("program", "horizon", "words"),
    [
        (turning(35), None, "after 39 steps"),  # recorded episodes have 40
        (turning(100), 200, "after 149 steps"),
        (turning(195), 200, "after 199 steps"),
        (turning(35), 2000, "after 255 steps"),
    ],
)
def test_a_reward_that_turns_late(program, horizon, words):
    seen = checks.late.run(evidence(program, goals=AHEAD, horizon=horizon))
    assert seen is not None and words in seen and "in only 0% of pairs" in seen


@pytest.mark.parametrize(
    ("program", "horizon"),
    [
        (turning(100), None),  # an episode is never that long
        (turning(100), 1),
        (Stepping(lambda x, steps: x / (1 + steps)), 500),
        (Stepping(lambda x, steps: (x > 1.4) * (steps < 10).float()), 500),  # paid early, and then no more
        (Stepping(lambda x, steps: -x), 500),  # told by direction.inverted
        (FakeProgram(lambda o, a, n: n["x"]), 500),
    ],
)
def test_a_reward_that_stays_as_it_is(program, horizon):
    assert checks.late.run(evidence(program, goals=AHEAD, horizon=horizon)) is None


def test_late_needs_goal_states():
    with pytest.raises(Inconclusive, match="no goal states"):
        checks.late.run(evidence(turning(35)))


# --- stopping short of the goal

BEFORE = [
    lambda o, a, n: torch.exp(-10 * (n["x"] - 1.2) ** 2),
    lambda o, a, n: -(n["x"] - 1.1).abs() - 0.1 * (a**2).sum(1),
    lambda o, a, n: torch.where(n["x"] < 1.3, n["x"], 0.5),
]
THERE = [
    lambda o, a, n: n["x"],
    lambda o, a, n: n["x"] - o["x"],
    lambda o, a, n: -((n["x"] - 1.7) ** 2),
    lambda o, a, n: torch.exp(-((n["x"] - 1.7) ** 2)) + 0.1 * n["v"][:, 1],
    lambda o, a, n: n["x"].clamp(max=0.8),  # enough before the goal, but not more
    lambda o, a, n: (n["x"] > 1.4).float(),
    lambda o, a, n: torch.exp(-10 * (n["x"] - 1.2) ** 2) + 5 * n["terminated"],  # ending may be what the goal does
    lambda o, a, n: -n["x"],  # told by direction.inverted
]


@pytest.mark.parametrize("reward", BEFORE)
def test_the_highest_pay_lies_before_the_goal(reward):
    seen = checks.stops_short.run(evidence(reward, goals=AHEAD)) or ""
    assert "of the way to a goal state and staying there pays" in seen


@pytest.mark.parametrize("reward", THERE)
def test_the_highest_pay_lies_at_the_goal(reward):
    assert checks.stops_short.run(evidence(reward, goals=AHEAD)) is None


def test_pay_for_ending_counts_only_where_the_goal_may_end_the_episode():
    reward = THERE[-2]
    assert checks.stops_short.run(evidence(reward, goals=AHEAD, goal_ends=False)) is not None
    assert checks.stops_short.run(evidence(reward, goals=AHEAD, goal_ends=True)) is None


def test_stopping_short_needs_goal_states_and_no_memory():
    with pytest.raises(Inconclusive, match="no goal states"):
        checks.stops_short.run(evidence(lambda o, a, n: n["x"]))
    with pytest.raises(Inconclusive, match="memory"):
        checks.stops_short.run(evidence(CountingProgram(), goals=AHEAD))
