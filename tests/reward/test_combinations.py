"""What combinations of reward terms promise: what cannot be farmed, bought off, or turned around."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from rewardsmith.blend import Margin, conjunction, margin_of, weighted_sum
from rewardsmith.errors import UsageError
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.graph import RewardGraph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.reward.toolkit import geometric
from rewardsmith.train.recorder import Transitions
from rewardsmith.train.rewards import blocks_of, rollout_rewards
from rewardsmith.types import Member
from tests.reward.corpus.interface import INTERFACE, frame, transition

REWARD = """
def compute_reward(obs, action, next_obs):
    pay = {pay}
    return pay, {{"pay": pay}}
"""
LOW, HIGH = 0.0, 2.0


def program(jail: Jail, pay: str, more: str = "") -> RewardProgram:
    result = compile_reward(REWARD.format(pay=pay) + more, INTERFACE, jail)
    assert result.program is not None, result.findings
    return result.program


# --- clip and delta: a loop that farms the raw term gets nowhere -----------------------------------------------------


def episode_sum(reward: RewardProgram, heights: Tensor, *, gain: float = 1.0) -> float:
    """What an episode pays with the heights `heights` (T + 1,) and velocities `gain` times those."""
    steps = len(heights) - 1
    still = frame(1, 0)

    def at(values: Tensor) -> dict[str, Tensor]:
        spread = {name: value.expand(steps, *value.shape[1:]).clone() for name, value in still.items()}
        return spread | {"height": values, "velocity": gain * values[:, None].expand(-1, 3)}

    after = at(heights[1:]) | {"terminated": torch.zeros(steps, dtype=torch.bool)}
    return float(reward(at(heights[:-1]), torch.zeros(steps, 2), after).total.double().sum())


def to_and_fro(steps: int) -> Tensor:
    """Up and down between the bounds, ending where it began if `steps` is even."""
    return torch.tensor([LOW, HIGH]).repeat(steps // 2 + 1)[: steps + 1]


RAW = {"level": 'next_obs["height"]', "progress": 'torch.relu(next_obs["height"] - obs["height"])'}


@pytest.mark.parametrize("raw", RAW)
def test_the_raw_term_can_be_farmed(raw: str, jail: Jail) -> None:
    reward = program(jail, RAW[raw])
    assert episode_sum(reward, to_and_fro(1000)) == pytest.approx(100 * episode_sum(reward, to_and_fro(10)))


@pytest.mark.parametrize("steps", [9, 10, 100, 1001])
def test_delta_pays_no_more_than_the_range_however_long_the_loop(steps: int, jail: Jail) -> None:
    heights = to_and_fro(steps)
    paid = episode_sum(program(jail, 'delta(obs, next_obs, "height")'), heights)
    assert paid == pytest.approx(float(heights[-1] - heights[0]), abs=1e-4)
    assert abs(paid) <= HIGH - LOW


def test_clip_bounds_what_a_step_and_so_an_episode_can_pay(jail: Jail) -> None:
    raw = program(jail, 'next_obs["velocity"][:, 0]')
    clipped = program(jail, 'clip(next_obs["velocity"][:, 0], -1.0, 1.0)')
    heights = to_and_fro(100)
    for gain in (1.0, 10.0, 1e6):
        assert episode_sum(raw, heights, gain=gain) == pytest.approx(100 * gain, rel=1e-5)
        assert episode_sum(clipped, heights, gain=gain) == 50.0


def test_delta_of_a_clipped_feature_is_bounded_even_if_the_feature_runs_away(jail: Jail) -> None:
    reward = program(jail, 'clip(next_obs["height"], -1.0, 1.0) - clip(obs["height"], -1.0, 1.0)')
    for last in (5.0, 1e3, 1e6):
        assert episode_sum(reward, torch.linspace(0, last, 50)) == pytest.approx(1.0)


# --- KRC: the geometric mean of sizes with one sign ------------------------------------------------------------------


def by_parity(*components: Tensor) -> Tensor:
    """The variant of public code: the sign is that of the product."""
    product = torch.stack(components).prod(0)
    return product.sign() * product.abs() ** (1 / len(components))


def of(*values: float) -> float:
    return float(geometric(*(torch.tensor([v], dtype=torch.float64) for v in values)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [((1, 1, 1), 1), ((0.5, 0.5), 0.5), ((-0.5, -0.5), -0.5), ((0.5, -0.5), -0.5), ((4, 1), 2), ((8, 1, -1), -2),
     ((0, 3), 0), ((0, -3), 0)],
)  # fmt: skip
def test_known_values(values: tuple[float, ...], expected: float) -> None:
    assert of(*values) == pytest.approx(expected)


def test_two_wrongs_make_no_right_as_they_do_by_parity() -> None:
    wrong = torch.tensor([-0.5]), torch.tensor([-0.5])
    assert float(by_parity(*wrong)) == pytest.approx(0.5)
    assert float(geometric(*wrong)) == pytest.approx(-0.5)
    signs = list(itertools.product((-1.0, 1.0), repeat=3))
    table = [torch.tensor(column) for column in zip(*signs, strict=True)]
    assert (geometric(*table) > 0).tolist() == [all(s > 0 for s in row) for row in signs]
    assert not torch.equal(by_parity(*table), geometric(*table))


def test_order_does_not_matter_and_the_largest_size_is_a_bound() -> None:
    parts = [frame(300, seed)["height"].double() for seed in range(3)]
    for order in itertools.permutations(parts):
        torch.testing.assert_close(geometric(*order), geometric(*parts))
    assert bool((geometric(*parts).abs() <= torch.stack(parts).abs().amax(0) + 1e-12).all())


def test_as_a_potential_it_sums_to_its_end_less_its_start(jail: Jail) -> None:
    more = '\ndef potential(obs):\n    return geometric(obs["height"], obs["velocity"][:, 0], obs["velocity"][:, 1])\n'
    reward, steps, gamma = program(jail, '0.0 * next_obs["height"]', more), 12, 0.9
    states = {name: value[:, None] for name, value in frame(steps + 1, 3).items()}
    before = {name: value[:-1] for name, value in states.items()}
    after = {name: value[1:] for name, value in states.items()}
    paid = rollout_rewards(
        blocks_of([Member("c", 0)], {"c": reward}),
        Transitions(before, after),
        torch.zeros(steps, 1, 2),
        torch.zeros(steps, 1, dtype=torch.bool),
        num_envs=1,
        gamma=gamma,
    ).total[:, 0, 0]
    ends = reward.potential({name: value[:, 0] for name, value in states.items()})
    assert bool((ends > 0).any()) and bool((ends < 0).any())
    total = float((paid * gamma ** torch.arange(steps)).sum())
    assert total == pytest.approx(float(gamma**steps * ends[-1] - ends[0]), abs=1e-4)


# --- conjunction: what is bad in one property cannot win by another --------------------------------------------------


@pytest.fixture(scope="module")
def parts(jail: Jail) -> dict[str, RewardGraph]:
    pays = {
        "fast": 'next_obs["velocity"][:, 0]',
        "calm": '-next_obs["velocity"][:, 1].abs()',
        "up": 'next_obs["height"]',
    }
    return {name: program(jail, pay).graph for name, pay in pays.items()}


def margins(parts: dict[str, RewardGraph]) -> dict[str, Margin]:
    return {name: margin_of(RewardProgram(part)(*transition(999)).total) for name, part in parts.items()}


def standing(reward: RewardGraph, **changes: float) -> float:
    """The pay of a step at the bank's medians, with some parts changed: fast, calm and up."""
    place = {"fast": 0.0, "calm": 0.0, "up": 0.0} | changes
    obs, action, after = (
        frame(1, 0),
        torch.zeros(1, 2),
        frame(1, 0) | {"terminated": torch.zeros(1, dtype=torch.bool)},
    )
    after["velocity"] = torch.tensor([[place["fast"], place["calm"], 0.0]])
    after["height"] = torch.tensor([place["up"]])
    return float(RewardProgram(reward)(obs, action, after).total)


def test_it_is_the_sum_of_log_sigmoids_of_the_margins(parts) -> None:
    known = margins(parts)
    out = RewardProgram(conjunction(parts, known, INTERFACE))(*transition(200))
    terms = {}
    for name, part in parts.items():
        median, deviation = known[name]
        terms[name] = torch.nn.functional.logsigmoid((RewardProgram(part)(*transition(200)).total - median) / deviation)
    torch.testing.assert_close(out.components, terms, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.total, torch.stack(list(terms.values())).sum(0), rtol=1e-4, atol=1e-5)


def test_excellence_in_one_property_does_not_pay_for_a_bad_other_one(parts) -> None:
    together = conjunction(parts, margins(parts), INTERFACE)
    summed = weighted_sum(parts, dict.fromkeys(parts, 1.0), INTERFACE)
    fair = {"fast": 0.5, "calm": 0.1, "up": 0.5}
    for speed in (10.0, 1e3, 1e6):
        assert standing(summed, **fair | {"fast": speed, "up": -8.0}) > standing(summed, **fair)
        assert standing(together, **fair | {"fast": speed, "up": -8.0}) < standing(together, **fair)
    gain = standing(together, **fair | {"fast": 1e6}) - standing(together, **fair | {"fast": 0.0})
    assert 0 < gain < math.log(2) + 0.05  # fast = 0 is the median, up to the bank's noise


def test_every_step_towards_better_still_pays(parts) -> None:
    together = conjunction(parts, margins(parts), INTERFACE)
    paid = [standing(together, up=height) for height in (-8.0, -2.0, 0.0, 2.0, 8.0)]
    assert paid == sorted(paid) and len(set(paid)) == 5


def test_what_says_nothing_is_no_part_of_a_conjunction(parts) -> None:
    for values in (torch.ones(5), torch.tensor([1.0, math.nan])):
        with pytest.raises(UsageError, match="never varies"):
            margin_of(values)
    with pytest.raises(UsageError, match="do not fit"):
        conjunction(parts, {"fast": Margin(0, 1)}, INTERFACE)
