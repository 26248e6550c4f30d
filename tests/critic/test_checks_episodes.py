"""Checks on whole episodes, goal states and rewards already tried: trips, near misses, honest "cannot tell"."""

from __future__ import annotations

import pytest
import torch

from rewardsmith.critic import checks_episodes as checks
from rewardsmith.critic.evidence import Inconclusive
from rewardsmith.critic.likeness import Likeness
from tests.critic.worlds import CountingProgram, FakeProgram, evidence, make_bank

GOALS = {"x": torch.full((5,), 1.5), "v": torch.zeros(5, 2), "room": torch.zeros(5, dtype=torch.int64)}


def x(obs, action, next_obs):
    return next_obs["x"]


def failing(**options):
    return make_bank(ends="terminated", success=[0.0] * 12, **options)


def succeeding():
    return make_bank(ends="terminated", success=[1.0] * 12)


def at_end(amount):
    return lambda o, a, n: 0.1 * n["x"] + amount * n["terminated"].float()


EPISODE_CASES = [
    (checks.failure_pays, at_end(5.0), at_end(0.0), "at 12 failed ends"),
    (checks.failure_pays, at_end(5.0), at_end(-5.0), "95 % of all other steps"),
    (checks.idling_pays, lambda o, a, n: 1 + 0.05 * n["x"], lambda o, a, n: 1 + n["x"], "living counts"),
    (checks.dying_pays, lambda o, a, n: -1 - 0.1 * n["x"], lambda o, a, n: -1 - 0.1 * n["x"] - 100.0 * n["terminated"],
     "less than zero"),
    (checks.dying_pays, lambda o, a, n: -1 - 0.1 * n["x"], lambda o, a, n: n["x"] - 0.5, "failing at once"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "bad", "near", "words"), EPISODE_CASES)
def test_check_trips_and_does_not(check, bad, near, words):
    seen = check.run(evidence(bad, failing()))
    assert seen is not None and words in seen
    assert check.run(evidence(near, failing())) is None


@pytest.mark.parametrize("check", [checks.failure_pays, checks.dying_pays])
@pytest.mark.parametrize(
    ("bank", "reason"),
    [
        (make_bank(ends="truncated", success=[0.0] * 12), "ended by itself"),
        (make_bank(ends="terminated"), "not known"),
        (make_bank(ends="terminated", success=[1.0] * 12), "only 0"),
        (make_bank([5, 5], ends="terminated", success=[0.0, 0.0]), "only 2"),
    ],
)
def test_without_failures_nothing_is_said(check, bank, reason):
    with pytest.raises(Inconclusive, match=reason):
        check.run(evidence(lambda o, a, n: -1 - 0.1 * n["x"], bank))


@pytest.mark.parametrize(("penalty", "pays"), [(-1.0, False), (1.0, True)])
def test_shaping_that_falls_away_at_the_end_is_not_pay_for_failing(penalty, pays):
    program = FakeProgram(at_end(penalty), potential=lambda obs: -50 - obs["x"].abs())
    assert (checks.failure_pays.run(evidence(program, failing())) is not None) == pays


def test_finishing_early_may_pay_when_it_is_success():
    with pytest.raises(Inconclusive):
        checks.dying_pays.run(evidence(lambda o, a, n: -1 - 0.1 * n["x"], succeeding()))


def test_one_step_episodes():
    with pytest.raises(Inconclusive, match="every recorded step is terminal"):
        checks.failure_pays.run(evidence(x, make_bank([1] * 5, ends="terminated", success=[0.0] * 5)))


def test_idling_needs_ends():
    with pytest.raises(Inconclusive):
        checks.idling_pays.run(evidence(lambda o, a, n: 1 + 0.05 * n["x"], make_bank()))


def test_time_limit_jump():
    bank = make_bank()
    bank.next_obs["x"][bank.truncated] += 50.0  # as if the feature were reset too early
    assert "the last step before the time limit" in checks.time_limit_jump.run(evidence(x, bank))
    assert checks.time_limit_jump.run(evidence(x, make_bank())) is None
    with pytest.raises(Inconclusive):
        checks.time_limit_jump.run(evidence(x, make_bank(ends="terminated")))


# --- direction


@pytest.mark.parametrize(
    ("reward", "outcome"),
    [
        (lambda o, a, n: n["x"], "right"),
        (lambda o, a, n: n["x"] - o["x"], "right"),
        (lambda o, a, n: o["x"], "right"),  # of the state before the step only, as Pendulum-v1 pays
        (lambda o, a, n: -o["x"], "inverted"),
        (lambda o, a, n: (n["x"] > 1.4).float(), "right"),
        (lambda o, a, n: 100.0 * n["terminated"], "right"),  # arriving may end the episode
        (lambda o, a, n: n["x"] - 100.0 * n["terminated"], "right"),  # or not
        (lambda o, a, n: -n["x"], "inverted"),
        (lambda o, a, n: o["x"] - n["x"], "inverted"),
        (lambda o, a, n: a[:, 0], "doubtful"),
        (lambda o, a, n: n["v"][:, 0] - o["v"][:, 0], "doubtful"),
    ],
)
def test_direction(reward, outcome):
    seen = evidence(reward, goals=GOALS)
    assert (checks.inverted.run(seen) is not None) == (outcome == "inverted")
    assert (checks.doubtful.run(seen) is not None) == (outcome == "doubtful")


def test_direction_without_goals():
    for check in (checks.inverted, checks.doubtful):
        with pytest.raises(Inconclusive, match="no goal states"):
            check.run(evidence(x))


def test_direction_with_a_potential():
    program = FakeProgram(lambda o, a, n: 0 * n["x"], potential=lambda obs: -obs["x"])
    assert checks.inverted.run(evidence(program, goals=GOALS))


# --- ranking


def two_kinds(won=5, lost=5):
    """Successes are ten times shorter and far to the right."""
    bank = make_bank([10] * won + [100] * lost, success=[1.0] * won + [0.0] * lost)
    bank.next_obs["x"][bank.episode < won] += 1.0
    return bank


def one_step_each(won, lost):
    bank = make_bank([1] * (len(won) + len(lost)), success=[1.0] * len(won) + [0.0] * len(lost))
    bank.next_obs["x"][:] = torch.tensor(won + lost)
    return bank


def test_ranking_is_per_step():
    assert checks.successes_lose.run(evidence(lambda o, a, n: n["x"] + 3, two_kinds())) is None
    seen = checks.successes_lose.run(evidence(lambda o, a, n: -n["x"], two_kinds()))
    assert "0% of 5 successful" in seen and "best of 5 failed" in seen


def test_ranking_by_hand():
    lost = [0.0, 0.0, 2.0, 2.0, 2.0]
    seen = checks.successes_lose.run(evidence(x, one_step_each([3.0, 3.0, 3.0, 1.0, 1.0], lost)))
    assert "60% of 5 successful" in seen and "76% of all pairs" in seen
    assert "worst success gets 1 a step, the best failure 2" in seen
    assert checks.successes_lose.run(evidence(x, one_step_each([3.0, 3.0, 3.0, 3.0, 1.0], lost))) is None


def test_one_lucky_failure_among_many_is_no_reason():
    assert checks.successes_lose.run(evidence(x, one_step_each([1.0] * 5, [0.0] * 40 + [5.0]))) is None


@pytest.mark.parametrize(("won", "lost"), [(0, 9), (9, 0), (4, 9), (9, 4)])
def test_ranking_never_passes_for_lack_of_data(won, lost):
    with pytest.raises(Inconclusive, match=f"{won} successful and {lost} failed"):
        checks.successes_lose.run(evidence(x, two_kinds(won, lost)))


def test_ranking_without_known_outcomes():
    with pytest.raises(Inconclusive):
        checks.successes_lose.run(evidence(x))


# --- duplicates


def tried(bank=None, **rewards):
    """Rewards tried, as functions or programs, on the bank's transitions (`bank=False`: none were recorded)."""
    base = evidence(x, bank)
    likeness = Likeness(base.recorded, base.invented)
    for id, reward in rewards.items():
        likeness.remember(id, reward if isinstance(reward, FakeProgram) else FakeProgram(reward))
    return likeness


def forward(obs, action, next_obs):
    return next_obs["v"][:, 0]


def hand_shaped(reward, phi, gamma=0.99):
    return lambda o, a, n: reward(o, a, n) + gamma * phi(n) * (1 - n["terminated"].float()) - phi(o)


def quadratic(state):
    return 5 * state["x"] ** 2 - state["v"][:, 1]


NEAR_CASES = [
    (x, True),
    (lambda o, a, n: 1000 * n["x"] + 7, True),
    (lambda o, a, n: n["x"] + 1e-3 * n["v"][:, 0], True),
    (hand_shaped(x, quadratic, gamma=0.5), False),  # of another discount
    (lambda o, a, n: n["x"] + 0.2 * n["v"][:, 0], False),
    (lambda o, a, n: -n["x"], False),
    (lambda o, a, n: n["x"] + 10 * (n["x"] > 1.5).float(), False),  # a bonus that no recorded transition earns
    (lambda o, a, n: a[:, 0], False),
]


@pytest.mark.parametrize("bank", [None, False])
@pytest.mark.parametrize(("reward", "same"), NEAR_CASES)
def test_near_duplicates(reward, same, bank):
    seen = evidence(reward, bank, tried=tried(bank, first=x, other=forward))
    found = checks.near.run(seen)
    assert (found is not None) == same
    assert not same or "'first'" in found
    assert same or "at a distance of" in checks.novelty.run(seen)


@pytest.mark.parametrize("bank", [None, False])
@pytest.mark.parametrize("reward", [FakeProgram(x, potential=lambda obs: obs["v"][:, 0]), hand_shaped(x, quadratic)])
def test_other_shaping_of_a_reward_tried_is_told_and_trained(reward, bank):
    """It asks for the same policies, but it may find them where the other did not."""
    seen = evidence(reward, bank, tried=tried(bank, first=x, other=forward))
    assert checks.near.run(seen) is None
    assert "'first'" in checks.shaped.run(seen)
    again = evidence(reward, bank, tried=tried(bank, first=x, twin=reward))
    assert "'twin'" in checks.near.run(again)
    assert checks.shaped.run(again) is None


def test_nothing_tried_yet():
    for likeness in (None, tried()):
        assert checks.near.run(evidence(x, tried=likeness)) is None
        assert checks.novelty.run(evidence(x, tried=likeness)) is None


def test_a_candidate_is_not_its_own_duplicate():
    assert checks.near.run(evidence(x, tried=tried(first=x), candidate="first")) is None


def test_a_bonus_for_being_alive_makes_a_difference_only_where_episodes_end():
    def alive(obs, action, next_obs):
        return next_obs["x"] + 1

    for ends, same in (("terminated", False), ("truncated", True)):
        bank = make_bank([8] * 40, ends=ends)
        assert (checks.near.run(evidence(alive, bank, tried=tried(bank, first=x))) is not None) == same


def test_shaping_of_a_reward_that_was_never_earned_is_no_duplicate():
    """Nothing recorded tells what a sparse reward asks for, so help to find it has to be tried."""

    def sparse(obs, action, next_obs):
        return (next_obs["x"] > 1.8).float()

    guided = hand_shaped(sparse, lambda state: state["x"])
    assert checks.near.run(evidence(guided, tried=tried(first=sparse))) is None
    assert checks.near.run(evidence(lambda o, a, n: 2 * sparse(o, a, n), tried=tried(first=sparse)))


def test_memory_is_not_comparable_unless_the_graph_is_the_same():
    with pytest.raises(Inconclusive, match="memory"):
        checks.near.run(evidence(CountingProgram(), tried=tried(first=x)))
    program = CountingProgram()
    program.graph_id = "abc"
    assert checks.near.run(evidence(program, tried=tried(a=program)))


def test_a_memory_reward_among_those_tried_is_passed_over():
    remembered = tried(m=CountingProgram(), first=x)
    assert "'first'" in checks.near.run(evidence(x, tried=remembered))
    assert checks.near.run(evidence(forward, tried=remembered)) is None


def test_the_nearest_is_named():
    seen = evidence(lambda o, a, n: n["x"] + 0.3 * n["v"][:, 0], tried=tried(far=forward, close=x))
    assert "'close', at a distance of 0." in checks.novelty.run(seen)
