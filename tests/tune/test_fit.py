"""Fitting parameters to votes: known truths come back, and what votes cannot tell is said."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.special import expit

from rewardsmith.errors import UsageError
from rewardsmith.tune import RewardFails, Segments, Votes, fit
from rewardsmith.tune.model import Model
from rewardsmith.tune.told import NO_EFFECT, NO_GRADIENT, NOT_READ, SCALE_ONLY, SHAPING_ONLY, TOO_LITTLE
from tests.reward.corpus.benign import BENIGN
from tests.tune.worlds import DRIFT, HEIGHT, REMEMBERING, SPEED, compiled, linear, make_bank

EPISODES = 80
SMOOTH = (
    "docstring_and_parameters",
    "tensor_of_parameters",
    "mjpc_residuals",
    "kernels_as_helpers",
    "unit_vectors",
    "table_of_lambdas",
    "nested_helpers",
    "stacked_weighted_parts",
)


@pytest.fixture(scope="module")
def segments():
    return Segments.episodes(make_bank(EPISODES))


@pytest.fixture(scope="module")
def weights(jail):
    terms = {"speed": SPEED, "drift": DRIFT, "height": HEIGHT}
    return linear(jail, terms, {"speed": 1.0, "drift": -0.5, "height": 0.5})


TRUTH = {"speed": 0.5, "drift": -1.0, "height": 0.5}  # the product is that of the defaults: not only stretched


def votes_by(program, segments, truth, *, count=400, decided=4.0, flips=0.0, seed=0, per="step") -> Votes:
    """Votes of somebody who wants the reward with the parameters `truth`."""
    rng = np.random.default_rng(seed)
    pay = segments.pay(program, truth, per=per).numpy()
    a = rng.integers(len(pay), size=count)
    b = (a + rng.integers(1, len(pay), size=count)) % len(pay)
    won = rng.random(count) < expit(decided * (pay[a] - pay[b]) / pay.std())
    return Votes.of(a, b, np.where(rng.random(count) < flips, ~won, won))


def test_votes_against_the_defaults_are_followed_too(weights, segments) -> None:
    """The defaults explain these votes worse than chance: nothing near them is any better."""
    truth = {"speed": 0.2, "drift": -0.2, "height": 4.0}
    against = votes_by(weights, segments, truth, count=400)
    pay = segments.pay(weights).numpy()
    against = Votes.of(
        *np.array(
            [v for v in zip(against.a, against.b, against.outcome, strict=True) if (pay[v[0]] > pay[v[1]]) != v[2]]
        ).T
    )
    found = fit(weights, segments, against, holdout=0.0)
    assert found.train.after > 0.5 * found.train.before
    assert found.values["height"] / found.values["speed"] > 5


@pytest.mark.parametrize("flips", [0.0, 0.1])
def test_known_weights_come_back(weights, segments, flips) -> None:
    found = fit(weights, segments, votes_by(weights, segments, TRUTH, count=1000, flips=flips))
    for name, parameter in found.parameters.items():
        assert parameter.low < TRUTH[name] < parameter.high and not parameter.cannot_tell
        assert parameter.low < parameter.value < parameter.high
        assert abs(math.log(parameter.value / TRUTH[name])) < (0.1 if flips == 0 else 0.25)
        assert parameter.high / parameter.low < 3 or parameter.low / parameter.high < 3
    assert found.held_out is not None and found.train.votes + found.held_out.votes == 1000
    assert found.train.after > found.train.before + 20
    assert found.held_out.after > found.held_out.before + 5


def test_intervals_hold_the_truth_as_often_as_they_say(weights, segments) -> None:
    """24 voters, three weights each: 95 % of the intervals are right, give or take three deviations."""
    inside = 0
    for seed in range(24):
        votes = votes_by(weights, segments, TRUTH, count=200, decided=2.0, seed=seed)
        found = fit(weights, segments, votes, holdout=0.0).parameters
        inside += sum(found[name].low < value < found[name].high for name, value in TRUTH.items())
    assert 62 <= inside <= 72


def test_more_votes_make_narrower_intervals(weights, segments) -> None:
    def width(count: int) -> float:
        found = fit(weights, segments, votes_by(weights, segments, TRUTH, count=count, decided=2.0), holdout=0.0)
        return math.log(found.parameters["speed"].high / found.parameters["speed"].low)

    assert width(1600) == pytest.approx(width(100) / 4, rel=0.3)


def test_a_shape_parameter_comes_back(jail, segments) -> None:
    code = (
        "def compute_reward(obs, action, next_obs, *, weight=1.0, temperature=0.5):\n"
        '    near = torch.exp(-(next_obs["height"] - 1) ** 2 / temperature)\n'
        '    return weight * near + next_obs["velocity"][:, 0], {"near": near}\n'
    )
    program, truth = compiled(jail, code), {"weight": 3.0, "temperature": 1.5}
    found = fit(program, segments, votes_by(program, segments, truth, count=1500)).parameters
    for name, value in truth.items():
        assert found[name].low < value < found[name].high and not found[name].cannot_tell
    assert found["temperature"].value == pytest.approx(1.5, rel=0.25)


def test_beta_says_how_decided_the_votes_are(weights, segments) -> None:
    pay = segments.pay(weights, TRUTH)
    for decided in (1.0, 4.0):
        found = fit(weights, segments, votes_by(weights, segments, TRUTH, count=1500, decided=decided))
        assert found.beta == pytest.approx(decided / float(pay.std(correction=0)), rel=0.25)


def test_sums_and_means_per_step_are_different_questions(jail, segments) -> None:
    program = linear(jail, {"speed": SPEED, "alive": f"torch.ones_like({HEIGHT})"}, {"speed": 1.0, "alive": 1.0})
    truth = {"speed": 2.0, "alive": 0.5}
    by_sum = fit(program, segments, votes_by(program, segments, truth, per="segment", count=800), per="segment")
    for name, value in truth.items():
        assert by_sum.parameters[name].low < value < by_sum.parameters[name].high
        assert not by_sum.parameters[name].cannot_tell
    by_step = fit(program, segments, votes_by(program, segments, truth)).parameters
    assert by_step["alive"].cannot_tell == NO_EFFECT


def test_a_reward_with_memory_is_fitted(jail, segments) -> None:
    program, truth = compiled(jail, REMEMBERING), {"stage_weight": 3.0, "speed_weight": 1 / 3}
    found = fit(program, segments, votes_by(program, segments, truth)).parameters
    for name, value in truth.items():
        assert found[name].low < value < found[name].high and not found[name].cannot_tell
    assert found["threshold"].cannot_tell == NO_GRADIENT


# --- what votes cannot tell ----------------------------------------------------------------------------------------


def test_what_the_votes_cannot_tell_is_said_and_stays(jail, segments) -> None:
    code = (
        "def compute_reward(obs, action, next_obs, *, speed=1.0, drift=1.0, unread=3.0, gate=0.3, idle=2.0):\n"
        '    v, h = next_obs["velocity"], next_obs["height"]\n'
        "    total = speed * v[:, 0] + drift * v[:, 1] + torch.where(h > gate, 0.5, 0.0) + idle * 0 * h\n"
        "    return total, {}\n\n"
        'def potential(obs, *, shaping=0.7):\n    return shaping * obs["height"]\n'
    )
    program = compiled(jail, code)
    found = fit(program, segments, votes_by(program, segments, {"speed": 2.0}, count=800)).parameters
    reasons = {name: parameter.cannot_tell for name, parameter in found.items()}
    assert reasons == {
        "speed": "",
        "drift": "",
        "unread": NOT_READ,
        "gate": NO_GRADIENT,
        "idle": NO_EFFECT,
        "shaping": SHAPING_ONLY,
    }
    for name in ("unread", "gate", "idle", "shaping"):
        default, parameter = program.parameters[name], found[name]
        assert parameter.value == pytest.approx(default)
        assert parameter.low < default / 10 and parameter.high > default * 10


def test_a_weight_that_only_scales_the_reward_cannot_be_told(jail, segments) -> None:
    program = linear(jail, {"speed": SPEED}, {"speed": 2.0})
    found = fit(program, segments, votes_by(program, segments, {"speed": 5.0}))
    assert found.parameters["speed"].cannot_tell == SCALE_ONLY
    assert found.parameters["speed"].value == pytest.approx(2.0, rel=0.01)


def test_a_reward_that_pays_all_alike_tells_nothing(jail, segments) -> None:
    program = linear(jail, {"alive": f"torch.ones_like({HEIGHT})"}, {"alive": 1.0})
    found = fit(program, segments, Votes.of([0, 1, 2], [3, 4, 5], [1, 0, 1]), holdout=0.0)
    assert found.parameters["alive"].cannot_tell == NO_EFFECT
    assert found.train.after == found.train.before == pytest.approx(-3 * math.log(2))


def test_a_reward_without_parameters_has_only_beta_to_fit(jail, segments) -> None:
    program = compiled(jail, "def compute_reward(obs, action, next_obs):\n    return next_obs['height'], {}\n")
    found = fit(program, segments, votes_by(program, segments, {}))
    assert found.parameters == {} and found.train.after == pytest.approx(found.train.before)
    assert found.train.after > -0.5 * found.train.votes


def test_segments_that_nobody_voted_on_do_not_matter(weights, segments) -> None:
    votes = votes_by(weights, segments, TRUTH, count=15)
    voted = torch.from_numpy(np.unique([votes.a, votes.b]))
    again = Votes.of(np.searchsorted(voted, votes.a), np.searchsorted(voted, votes.b), votes.outcome)
    assert len(voted) < len(segments)
    assert fit(weights, segments.take(voted), again) == fit(weights, segments, votes)


def test_values_are_short_numbers_that_the_reward_takes(weights, segments) -> None:
    found = fit(weights, segments, votes_by(weights, segments, TRUTH))
    for name, value in found.values.items():
        assert value == pytest.approx(found.parameters[name].value, rel=0.005)
        assert len(repr(value).lstrip("-")) <= 6
    assert len(segments.pay(weights, found.values)) == len(segments)


def test_structural_parameters_are_not_fitted(jail, segments) -> None:
    program = compiled(jail, BENIGN["structural_parameter"])
    assert set(fit(program, segments, votes_by(program, segments, {})).parameters) == {"scale"}


def test_few_or_random_votes_cannot_tell(weights, segments) -> None:
    few = fit(weights, segments, votes_by(weights, segments, TRUTH, count=4), holdout=0.0)
    assert {parameter.cannot_tell for parameter in few.parameters.values()} == {TOO_LITTLE}
    random = fit(weights, segments, votes_by(weights, segments, TRUTH, decided=0.0))
    assert TOO_LITTLE in {parameter.cannot_tell for parameter in random.parameters.values()}
    assert random.held_out is not None
    assert random.held_out.after == pytest.approx(-math.log(2) * random.held_out.votes, rel=0.1)


def test_votes_that_never_contradict_the_reward_give_a_finite_beta(weights, segments) -> None:
    found = fit(weights, segments, votes_by(weights, segments, {}, decided=1e9))
    assert math.isfinite(found.beta) and found.train.after > -1.0


# --- votes ---------------------------------------------------------------------------------------------------------


def test_the_order_of_votes_and_of_the_two_segments_does_not_matter(weights, segments) -> None:
    segments = segments.take(torch.arange(6))  # few pairs, so that sums of weights are rounded
    votes = votes_by(weights, segments, TRUTH)
    rng = np.random.default_rng(1)
    votes = dataclasses.replace(votes, weight=rng.choice([0.1, 0.2, 0.7], len(votes)))
    shuffled, turned = rng.permutation(len(votes)), rng.random(len(votes)) < 0.5
    a, b, outcome = votes.a[shuffled], votes.b[shuffled], votes.outcome[shuffled]
    again = Votes.of(
        np.where(turned, b, a), np.where(turned, a, b), np.where(turned, 1 - outcome, outcome), votes.weight[shuffled]
    )
    assert fit(weights, segments, again) == fit(weights, segments, votes)


def test_a_weight_counts_like_as_many_votes_and_a_tie_like_half_a_vote_each_way(weights, segments) -> None:
    votes = votes_by(weights, segments, TRUTH, count=100)
    twice = Votes.of(*(np.tile(column, 2) for column in (votes.a, votes.b, votes.outcome)))
    weighted = Votes.of(votes.a, votes.b, votes.outcome, 2 * votes.weight)
    assert fit(weights, segments, twice) == fit(weights, segments, weighted)
    tie = Votes.of([3], [5], [0.5], [2.0]).tally()
    both = Votes.of([3, 5], [5, 3], [1, 1]).tally()
    assert [column.tolist() for column in tie] == [column.tolist() for column in both] == [[3], [5], [1.0], [1.0]]


def test_held_out_pairs_are_never_trained_on(weights, segments) -> None:
    tally = votes_by(weights, segments, TRUTH).tally()
    train, held_out = tally.split(0.3, seed=0)
    assert held_out is not None
    pairs = [set(zip(part.a.tolist(), part.b.tolist(), strict=True)) for part in (train, held_out)]
    assert not pairs[0] & pairs[1] and len(pairs[1]) == round(0.3 * len(tally.a))
    assert pairs[0] | pairs[1] == set(zip(tally.a.tolist(), tally.b.tolist(), strict=True))
    assert tally.split(0.0, seed=0)[1] is None
    assert fit(weights, segments, votes_by(weights, segments, TRUTH), holdout=0.0).held_out is None


@pytest.mark.parametrize(
    "arrays",
    [
        ([], [], []),
        ([1], [1], [1]),
        ([1], [2, 3], [1]),
        ([-1], [2], [1]),
        ([1], [2], [0.7]),
        ([1], [2], [math.nan]),
        ([1], [2], [1], [0.0]),
        ([1], [2], [1], [math.inf]),
    ],
)
def test_impossible_votes_are_refused(arrays) -> None:
    with pytest.raises(UsageError, match="vote"):
        Votes.of(*arrays)


def test_impossible_fits_are_refused(jail, weights, segments) -> None:
    with pytest.raises(UsageError, match=f"segment {EPISODES} of {EPISODES}"):
        fit(weights, segments, Votes.of([0], [EPISODES], [1]))
    for holdout in (-0.1, 1.0, 0.9):
        with pytest.raises(UsageError, match="leaves none"):
            fit(weights, segments, Votes.of([0], [1], [1]), holdout=holdout)
    code = "def compute_reward(obs, action, next_obs, *, w=1.0):\n    return {}, {{}}\n"
    votes = Votes.of([0, 1], [2, 3], [1, 0])
    root = compiled(jail, code.format('torch.sqrt(w * next_obs["height"])'))
    with pytest.raises(RewardFails, match="not finite on some"):
        fit(root, segments, votes)
    steep = compiled(jail, code.format('torch.sqrt(w * next_obs["contact"].float())'))
    with pytest.raises(RewardFails, match="gradient"):
        fit(steep, segments, votes)


# --- gradients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SMOOTH, "memory"])
def test_slopes_are_those_of_finite_differences(jail, segments, name) -> None:
    program = compiled(jail, REMEMBERING if name == "memory" else BENIGN[name])
    model = Model(program, segments, "step")
    theta = torch.full((len(model.names),), 0.1, dtype=torch.float64)
    slopes = model.slopes(theta)
    assert slopes.shape == (len(segments.bank), len(model.names))
    for k in (k for k, parameter in enumerate(model.names) if parameter != "threshold"):  # it has no slope
        step = torch.zeros_like(theta)
        step[k] = 0.003
        expected = (model.pay(theta + step) - model.pay(theta - step)) / 0.006
        size = float(model.pay(theta).abs().max())
        torch.testing.assert_close(model.collect(slopes[:, k]), expected, rtol=2e-3, atol=5e-4 * size)


@pytest.mark.parametrize(
    "name", [name for name, code in BENIGN.items() if "*," in code and "float(weight)" not in code]
)
def test_slopes_are_the_same_forwards_and_backwards(jail, segments, name) -> None:
    """No operation that models use lacks one of the two derivatives."""
    model = Model(compiled(jail, BENIGN[name]), segments, "segment")
    theta = torch.full((len(model.names),), 0.1, dtype=torch.float64, requires_grad=True)
    total = model.pay(theta).sum()
    gradient = torch.autograd.grad(total, theta)[0] if total.requires_grad else torch.zeros_like(theta)
    forwards = model.slopes(theta.detach())
    torch.testing.assert_close(forwards.sum(dim=0).nan_to_num(), gradient.nan_to_num(), rtol=1e-4, atol=1e-3)
