"""Agreement with the metric: rank correlation and separation of outcomes, over episodes of unlike length."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from rewardsmith.tune import agreement
from tests.tune.worlds import HEIGHT, REMEMBERING, SPEED, compiled, linear, make_bank, mean_per_episode, measured


@pytest.fixture(scope="module")
def bank():
    return make_bank()


@pytest.fixture(scope="module")
def program(jail):
    return linear(jail, {"speed": SPEED, "height": HEIGHT}, {"speed": 1.0, "height": 1.0})


@pytest.fixture(scope="module")
def speeds(bank):
    return mean_per_episode(bank, bank.next_obs["velocity"][:, 0])


def test_the_metric_itself_agrees_its_opposite_disagrees_and_a_constant_says_nothing(program, bank, speeds) -> None:
    lucky = measured(bank, speeds, (speeds > 0).double())
    settings = [{"speed": weight, "height": 0.0} for weight in (1.0, 3.0, -1.0, 0.0)]
    same, louder, opposite, constant = agreement(program, lucky, settings).found
    assert same is not None and opposite is not None and constant is not None
    assert same == louder
    assert same.per_step == (pytest.approx(1.0), 1.0)
    assert opposite.per_step == (pytest.approx(-1.0), 0.0)
    assert constant.per_step == constant.by_return == (0.0, 0.5)
    assert opposite.score == pytest.approx(-same.score)
    assert constant.score == 0.0


def test_returns_and_means_per_step_differ_where_episodes_end_early(jail) -> None:
    """Successes end episodes early (CARD): paid well per step they still lose in all to long failures."""
    bank = make_bank(40, longest=1)
    lengths = torch.tensor([5] * 20 + [50] * 20)
    rows = torch.repeat_interleave(torch.arange(40), lengths)
    bank = dataclasses.replace(
        bank,
        obs={k: v[rows] for k, v in bank.obs.items()},
        action=bank.action[rows],
        next_obs={k: v[rows] for k, v in bank.next_obs.items()} | {"height": torch.where(rows < 20, 2.0, 1.0)},
        episode=rows,
        t=torch.cat([torch.arange(int(length)) for length in lengths]),
    )
    bank = measured(bank, torch.zeros(40), (torch.arange(40) < 20).double())
    [found] = agreement(linear(jail, {"height": HEIGHT}, {"height": 1.0}), bank).found
    assert found is not None
    assert found.per_step == (pytest.approx(1.0), 1.0)
    assert found.by_return == (pytest.approx(-1.0), 0.0)
    assert found.score == pytest.approx(0.0)


def test_success_counts_before_fitness(program, bank, speeds) -> None:
    """Fitness and speed agree, but the slowest episodes are the successes."""
    won = (speeds <= speeds.sort().values[9]).double()
    [found] = agreement(program, measured(bank, speeds, won), [{"height": 0.0}]).found
    assert found is not None
    episodes = len(won)
    pairs, wrong = episodes * (episodes - 1) / 2, 10 * (episodes - 10)
    assert found.per_step.tau == pytest.approx((pairs - 2 * wrong) / pairs)
    assert found.per_step.auc == 0.0


def test_the_share_of_pairs_in_the_right_order_counts_ties_half(jail, bank) -> None:
    program = linear(jail, {"contact": 'next_obs["contact"].float()'}, {"contact": 1.0})
    won = torch.arange(60) % 3 == 0
    [found] = agreement(program, measured(bank, torch.zeros(60), won)).found
    assert found is not None
    pay = mean_per_episode(bank, bank.next_obs["contact"].float())
    above = (pay[won][:, None] > pay[~won]).double() + 0.5 * (pay[won][:, None] == pay[~won]).double()
    assert found.per_step.auc == pytest.approx(float(above.mean()))


def test_episodes_that_are_all_alike_are_inconclusive(program, bank, speeds) -> None:
    alike = agreement(program, measured(bank, torch.zeros(60)))
    assert alike.found == () and "1 different values" in alike.inconclusive
    assert "0 recorded episodes" in agreement(program, bank).inconclusive  # no metric has measured them
    four = measured(bank, torch.arange(60).double() % 4)
    assert "4 different values" in agreement(program, four).inconclusive
    few = measured(bank, torch.zeros(60), (torch.arange(60) < 4).double())
    assert agreement(program, few).inconclusive
    enough = measured(bank, torch.zeros(60), (torch.arange(60) < 5).double())
    assert not agreement(program, enough).inconclusive
    assert not agreement(program, measured(bank, torch.arange(60).double() % 5)).inconclusive


def test_episodes_that_nobody_measured_are_left_out(program, bank, speeds) -> None:
    fitness = torch.where(torch.arange(60) % 2 == 0, speeds, torch.nan)
    [found] = agreement(program, measured(bank, fitness), [{"height": 0.0}]).found
    assert found is not None and found.per_step.tau == pytest.approx(1.0) and found.per_step.auc is None
    no_success = measured(bank, speeds, torch.full((60,), torch.nan))
    [found] = agreement(program, no_success, [{"height": 0.0}]).found
    assert found is not None and found.per_step.tau == pytest.approx(1.0)


def test_settings_that_are_not_finite_have_no_agreement(jail, bank, speeds) -> None:
    code = (
        "def compute_reward(obs, action, next_obs, *, limit=100.0):\n"
        '    r = torch.sqrt(limit - next_obs["height"])\n    return r, {}\n'
    )
    good, bad = agreement(compiled(jail, code), measured(bank, speeds), [{}, {"limit": 0.0}]).found
    assert good is not None and bad is None


def test_rewards_with_memory_are_stepped(jail, bank) -> None:
    """The metric is the mean of stage / step, which only the memory knows."""
    means = []
    for k in range(bank.episodes):
        stage, shares = 0, []
        for step, height in enumerate(bank.next_obs["height"][bank.rows(k)].tolist(), start=1):
            stage += (stage == 0 and height > 0.3) or (stage == 1 and height < -0.3)
            shares.append(stage / step)
        means.append(round(sum(shares) / len(shares), 6))
    known = measured(bank, torch.tensor(means))
    staged, moving = agreement(compiled(jail, REMEMBERING), known, [{"speed_weight": 0.0}, {"stage_weight": 0.0}]).found
    assert staged is not None and moving is not None
    assert staged.per_step.tau > 0.99 and abs(moving.per_step.tau) < 0.3
