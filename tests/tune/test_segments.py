"""Segments: what a reward pays for stretches of episodes, with memory and without."""

from __future__ import annotations

import pytest
import torch

from rewardsmith.errors import UsageError
from rewardsmith.reward.program import RewardProgram
from rewardsmith.tune import RewardFails, Segments
from tests.tune.worlds import HEIGHT, REMEMBERING, SPEED, compiled, linear, make_bank


@pytest.fixture(scope="module")
def bank():
    return make_bank(30)


def step_by_step(program: RewardProgram, bank, episode: int) -> torch.Tensor:
    """The reward of one episode, called once per step as an environment would."""
    memory, paid = None, []
    for row in range(*bank.rows(episode).indices(len(bank))):
        obs, next_obs = ({k: v[row : row + 1] for k, v in frame.items()} for frame in (bank.obs, bank.next_obs))
        out = program(obs, bank.action[row : row + 1], next_obs, memory=memory, params={"speed_weight": 0.5})
        memory = out.memory
        paid.append(out.total)
    return torch.cat(paid)


def test_episodes_are_paid_by_mean_per_step_or_by_sum(jail, bank) -> None:
    program = linear(jail, {"speed": SPEED}, {"speed": 1.0})
    segments = Segments.episodes(bank)
    values = bank.next_obs["velocity"][:, 0].double()
    sums = torch.stack([2 * values[bank.rows(k)].sum() for k in range(bank.episodes)])
    torch.testing.assert_close(segments.pay(program, {"speed": 2.0}, per="segment"), sums)
    torch.testing.assert_close(segments.pay(program, {"speed": 2.0}, per="step"), sums / segments.lengths)
    assert len(set(segments.lengths.tolist())) > 5


def test_memory_is_carried_through_each_episode_and_no_further(jail, bank) -> None:
    program = compiled(jail, REMEMBERING)
    alone = torch.cat([step_by_step(program, bank, k) for k in range(bank.episodes)])
    together = Segments.episodes(bank).rewards(program, {"speed_weight": 0.5})
    torch.testing.assert_close(together, alone)


def test_a_part_of_an_episode_remembers_what_came_before_it(jail, bank) -> None:
    program = compiled(jail, REMEMBERING)
    long = [k for k in range(bank.episodes) if bank.rows(k).stop - bank.rows(k).start >= 10][:3]
    starts = torch.tensor([bank.rows(k).start for k in long])
    parts = Segments(bank, torch.cat([starts + 4, starts + 2]), torch.cat([starts + 9, starts + 6]))  # they overlap
    alone = [step_by_step(program, bank, k) for k in long]
    expected = torch.stack([p[4:9].double().mean() for p in alone] + [p[2:6].double().mean() for p in alone])
    torch.testing.assert_close(parts.pay(program, {"speed_weight": 0.5}), expected)
    torch.testing.assert_close(
        parts.take(torch.tensor([3, 0])).pay(program, {"speed_weight": 0.5}), expected[torch.tensor([3, 0])]
    )


@pytest.mark.parametrize(
    ("start", "end", "match"),
    [([], [], "empty"), ([3], [3], "empty"), ([-1], [2], "beyond"), ([0], [10_000], "beyond"), ([0], [60], "several")],
)
def test_impossible_segments_are_refused(bank, start, end, match) -> None:
    with pytest.raises(UsageError, match=match):
        Segments(bank, torch.tensor(start, dtype=torch.int64), torch.tensor(end, dtype=torch.int64))


def test_a_failing_operation_is_the_rewards_fault(jail, bank) -> None:
    program = compiled(
        jail,
        'def compute_reward(obs, action, next_obs):\n    r = (next_obs["room"] // obs["room"]).float()\n'
        "    return r, {}\n",
    )
    with pytest.raises(RewardFails, match="fails on recorded transitions"):
        Segments.episodes(bank).rewards(program)


def test_unknown_parameters_are_named(jail, bank) -> None:
    program = linear(jail, {"speed": SPEED, "height": HEIGHT}, {"speed": 1.0, "height": 1.0})
    with pytest.raises(UsageError, match="did you mean speed"):
        Segments.episodes(bank).pay(program, {"sped": 1.0})
