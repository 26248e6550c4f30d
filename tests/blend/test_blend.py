"""Learning weights beside a policy in a small world, and the reward that comes out."""

from __future__ import annotations

import math

import pytest
import torch

from rewardsmith.blend import BlendConfig, blend, weighted_sum
from rewardsmith.blend.bilevel import Blend, part_sizes
from rewardsmith.errors import UsageError
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train import PpoConfig
from rewardsmith.types import RewardInterface
from tests.helpers.tiny_world import DISCRETE, HORIZON, MULTI, PointEnvironment
from tests.reward.corpus.benign import BENIGN
from tests.reward.corpus.interface import INTERFACE, transition

REWARD = """
def compute_reward(obs, action, next_obs, *, scale=1.0):
    pay = scale * ({pay})
    return pay, {{"pay": pay}}
"""
NEAR, FAR = 'torch.exp(-next_obs["position"].abs())', 'next_obs["position"].abs() - 2.0'
PPO = PpoConfig(
    env_steps=8_000, num_envs=8, rollout_steps=50, minibatch_size=100, epochs=6, hidden=(32,), learning_rate=3e-3
)
WORLD = PointEnvironment()


def program(jail: Jail, pay: str, interface: RewardInterface = WORLD.interface) -> RewardProgram:
    result = compile_reward(REWARD.format(pay=pay), interface, jail)
    assert result.program is not None, result.findings
    return result.program


@pytest.fixture(scope="module")
def parts(jail: Jail) -> dict[str, RewardProgram]:
    return {"far": program(jail, FAR), "near": program(jail, NEAR)}


def last_return(found: Blend) -> float:
    """Mean primary return over the last quarter of the course."""
    points = [p.primary for p in found.course if not math.isnan(p.primary)]
    return sum(points[-len(points) // 4 :]) / len(points[-len(points) // 4 :])


def test_an_opposing_part_is_turned_off_and_costs_nothing(parts) -> None:
    """The part pays for being far from where the primary one wants to be, and more than that one does."""
    start, fixed = {"near": 1.0, "far": 2.0}, BlendConfig(outer_rate=0)
    alone = last_return(blend(WORLD, {"near": parts["near"]}, "near", PPO, fixed))
    naive = last_return(blend(WORLD, parts, "near", PPO, fixed, start=start))
    weights = blend(WORLD, parts, "near", PPO, start=start).weights
    assert naive < 0.5 * alone
    assert weights["near"] > 0 >= weights["far"]
    assert last_return(blend(WORLD, parts, "near", PPO, fixed, start=weights)) >= 0.95 * alone


def test_it_repeats_and_the_order_and_size_of_parts_do_not_matter(jail, parts) -> None:
    short = PPO.model_copy(update={"env_steps": 2_000})
    once = blend(WORLD, parts, "near", short)
    assert blend(WORLD, dict(reversed(parts.items())), "near", short) == once
    loud = parts | {"far": program(jail, f"1024 * ({FAR})")}
    found = blend(WORLD, loud, "near", short)
    assert found.weights["far"] * 1024 == pytest.approx(once.weights["far"], rel=1e-3)
    assert blend(WORLD, parts, "near", short, seed=1).weights != once.weights


def test_without_outer_steps_the_weights_stay(parts) -> None:
    short = PPO.model_copy(update={"env_steps": 800})
    found = blend(WORLD, parts, "near", short, BlendConfig(outer_rate=0), start={"near": 0.5, "far": -2.0})
    assert found.weights == pytest.approx({"near": 0.5, "far": -2.0})
    assert [point.env_steps for point in found.course] == [400, 800]


def test_nothing_is_concluded_from_a_primary_reward_that_was_never_paid(jail, parts) -> None:
    never = {"never": program(jail, '(next_obs["position"] > 100).float()'), "near": parts["near"]}
    start = {"never": 1.0, "near": 2.0}
    found = blend(WORLD, never, "never", PPO.model_copy(update={"env_steps": 2_400}), start=start)
    assert found.weights == pytest.approx(start)


@pytest.mark.parametrize("action", [DISCRETE, MULTI], ids=["discrete", "multi_discrete"])
def test_other_actions(jail, action) -> None:
    world = PointEnvironment(action)
    near = {"near": program(jail, NEAR, world.interface)}
    course = blend(world, near, "near", PPO.model_copy(update={"env_steps": 4_000})).course
    assert course[-1].primary > 1.3 * course[0].primary


def test_returns_are_those_of_whole_episodes(jail) -> None:
    """A point cannot leave within the 20 steps of an episode if nothing pushes it: every step pays 1."""
    one = {"one": program(jail, 'torch.ones_like(next_obs["position"])')}
    course = blend(WORLD, one, "one", PPO.model_copy(update={"env_steps": 800}), BlendConfig(outer_rate=0)).course
    assert max(point.primary for point in course) <= HORIZON
    assert min(point.primary for point in course) > HORIZON / 4


def test_what_cannot_be_blended_is_refused(jail, parts) -> None:
    shaped = next(code for code in BENIGN.values() if "def potential" in code)
    remembering = next(code for code in BENIGN.values() if "initial_memory" in code)
    for code, kept in ((shaped, "a potential"), (remembering, "memory")):
        other = compile_reward(code, INTERFACE, jail).program
        assert other is not None
        with pytest.raises(UsageError, match=f"other has {kept}"):
            blend(WORLD, parts | {"other": other}, "near", PPO)
    with pytest.raises(UsageError, match="nearr"):
        blend(WORLD, parts, "nearr", PPO)
    with pytest.raises(UsageError, match="discount"):
        blend(WORLD, parts, "near", PPO.model_copy(update={"gamma": 1.0}))
    with pytest.raises(UsageError, match="do not fit"):
        blend(WORLD, parts, "near", PPO, start={"near": 1.0})


def test_sizes_of_parts() -> None:
    reward = torch.zeros(2, 3, 2)
    reward[:, 0] = torch.tensor([3.0, -3.0])
    reward[0, 1] = 2.0
    assert part_sizes(reward).tolist() == pytest.approx([3.0, 2**0.5, 1.0])


# --- the reward that comes out ---------------------------------------------------------------------------------------


def test_the_sum_is_a_reward_whose_weights_are_parameters(jail) -> None:
    parts = {name: program(jail, pay, INTERFACE) for name, pay in
             (("up", 'next_obs["height"]'), ("still", '-(next_obs["velocity"] ** 2).sum(1)'))}  # fmt: skip
    merged = weighted_sum({k: p.graph for k, p in parts.items()}, {"up": 2.0, "still": -0.5}, INTERFACE)
    assert parse_graph(RewardProgram(merged).to_json(), INTERFACE) == merged
    assert merged.parameters == {"weight_of_up": 2.0, "weight_of_still": -0.5, "up_scale": 1.0, "still_scale": 1.0}
    inputs = transition(200)
    paid = {name: part(*inputs).total for name, part in parts.items()}
    out = RewardProgram(merged)(*inputs)
    torch.testing.assert_close(out.total, 2 * paid["up"] - 0.5 * paid["still"])
    torch.testing.assert_close(out.components, {"up": 2 * paid["up"], "still": -0.5 * paid["still"]})
    weight = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    moved = RewardProgram(merged)(*inputs, params={"weight_of_up": weight}).total
    torch.testing.assert_close(moved.detach(), 3 * paid["up"] - 0.5 * paid["still"])
    moved.sum().backward()
    assert float(weight.grad or 0) == pytest.approx(float(paid["up"].sum()), rel=1e-4)


def test_parts_of_a_sum_keep_their_memory(jail) -> None:
    code = next(code for code in BENIGN.values() if "initial_memory" in code and "def potential" not in code)
    remembering = compile_reward(code, INTERFACE, jail).program
    assert remembering is not None
    up = program(jail, 'next_obs["height"]', INTERFACE)
    graphs = {"m": remembering.graph, "up": up.graph}
    inputs = transition(50)
    alone = remembering(*inputs)
    both = RewardProgram(weighted_sum(graphs, {"m": 2.0, "up": 0.0}, INTERFACE))(*inputs)
    torch.testing.assert_close(both.total, 2 * alone.total)
    assert alone.memory is not None and both.memory is not None
    assert all(torch.equal(both.memory[f"m_{name}"], value) for name, value in alone.memory.items())


def test_what_cannot_be_summed_is_refused(jail) -> None:
    up = program(jail, 'next_obs["height"]', INTERFACE).graph
    shaped = next(code for code in BENIGN.values() if "def potential" in code)
    other = compile_reward(shaped, INTERFACE, jail).program
    assert other is not None
    for graphs, weights, why in (
        ({}, {}, "do not fit"),
        ({"up": up}, {"down": 1.0}, "do not fit"),
        ({"Up!": up}, {"Up!": 1.0}, "cannot name"),
        ({"weight": up}, {"weight": 1.0}, "cannot name"),
        ({"p": other.graph}, {"p": 1.0}, "potential"),
    ):
        with pytest.raises(UsageError, match=why):
            weighted_sum(graphs, weights, INTERFACE)
