"""The lava of Auto MC-Reward (arXiv 2312.09238), small: what its trajectory analyzer found, ours has to find.

The paper's designer first forgot the lava; then its penalty for lava in sight taught the agent to look away; and a
bonus for coming closer was farmed by going back and forth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import rewardsmith
from rewardsmith.analyze.episodes import Watched, describe, look
from rewardsmith.bank import record_bank
from rewardsmith.bank.record import Policy
from rewardsmith.critic.evidence import evaluate_episodes
from rewardsmith.critic.sample import from_bank
from rewardsmith.envs import resolve_env
from rewardsmith.jail import Jail
from rewardsmith.loop import parts
from rewardsmith.loop.played import EPISODES
from rewardsmith.loop.summary import RunSummary
from rewardsmith.reward.compile import compile_reward
from tests.helpers.lava_grid import EAST, ENV, HORIZON, WEST
from tests.helpers.model_server import ModelServer
from tests.loop.conftest import EngineHere
from tests.loop.runs import asking

APPROACH = 'approach = -delta(obs, next_obs, "goal_distance")'
NO_LAVA_SEEN = 'lava = -0.5 * next_obs["sees_lava"][:, 0].float()'
CLOSER = 'closer = (-delta(obs, next_obs, "goal_distance")).clamp(min=0.0)'
TRAINING = {
    "env_steps": 12_288,
    "num_envs": 16,
    "rollout_steps": 32,
    "minibatch_size": 128,
    "epochs": 4,
    "learning_rate": 1e-3,
    "evaluations": 6,
    "eval_episodes": 4,
}


def code(*terms: str) -> str:
    """A reward that is the sum of its terms, each `name = value`."""
    names = [term.split(" = ")[0] for term in terms]
    components = ", ".join(f'"{name}": {name}' for name in names)
    body = "\n    ".join(terms)
    return f"def compute_reward(obs, action, next_obs):\n    {body}\n    return {' + '.join(names)}, {{{components}}}\n"


def reply(*terms: str) -> str:
    return f"A short plan.\n\n```python\n{code(*terms)}```\n"


# --- a designer that makes the paper's mistakes ----------------------------------------------------------------------


class Designed(NamedTuple):
    run: RunSummary
    prompts: list[str]  # what each round was told


@pytest.fixture(scope="module")
def designed(one_jail, tmp_path_factory) -> Iterator[Designed]:
    """Round 1 forgets the lava, round 2 makes seeing it cost something, and in round 3 the designer gives up."""
    replies = [reply(APPROACH), reply(APPROACH, NO_LAVA_SEEN), "I have no idea."]
    with ModelServer(replies) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "test-key")
        patch.setattr(parts, "LocalEngine", EngineHere)
        patch.setattr(parts, "BANK_TRANSITIONS", 4000)
        config = asking(
            server.url, env={"name": ENV}, method="eureka", rounds=3, candidates=1, repairs=0, training=TRAINING
        )
        run = rewardsmith.design_reward(config, runs=tmp_path_factory.mktemp("runs"))
        yield Designed(run, [request["messages"][-1]["content"] for request in server.requests])


@pytest.mark.slow
def test_after_one_round_the_designer_is_told_that_the_policy_dies_in_lava(designed) -> None:
    told = designed.prompts[1]
    assert f"Seen in {EPISODES} episodes of the trained policy: 100 % are ended by the environment without succ" in told
    (ends,) = [line for line in told.splitlines() if line.startswith("- at the end of episodes that fail:")]
    assert "`lava_distance` is 0.00 (otherwise 1.00 ..." in ends
    assert "facing" not in ends and "sees_lava" not in ends, "where it looks has nothing to do with it"
    assert "Suspected reward hacking" not in told, "coming closer is what is wanted"


@pytest.mark.slow
def test_a_policy_that_looks_away_from_lava_and_walks_into_it_is_told_to_the_next_round(designed) -> None:
    facts = designed.run.candidates[1].episodes
    assert facts is not None
    assert [(alarm.id, alarm.component) for alarm in facts.alarms] == [("penalty_avoided", "lava")]
    assert facts.share("failure") == 1.0
    assert facts.alarms[0].evidence in designed.prompts[2]


# --- scripted policies -----------------------------------------------------------------------------------------------


@pytest.fixture
def jail(one_jail) -> Jail:
    return parts.reward_jail(allow_unsandboxed=False)


def watch(reward: str, jail: Jail, policy: Policy | None = None) -> Watched:
    """A few episodes of a policy (None: random actions), and what a reward pays in them, from its source."""
    env = resolve_env(ENV)
    program = compile_reward(reward, env.interface, jail).program
    assert program is not None
    bank = record_bank(env, seed=1, episodes=8, policy=policy)
    paid = evaluate_episodes(program, from_bank(bank))
    random = record_bank(env, seed=2, episodes=30)
    return Watched("r1s0", bank, paid.components, paid.effective, env.interface, random=random)


def always(step: int, glance: int) -> Policy:
    return lambda obs: torch.tensor([[step, glance]]).expand(len(obs), 2)


def back_and_forth() -> Policy:
    """All rows go west and east in turn, the first time into the wall, so that they end one step closer.

    Nobody ends early there, so they stay in step.
    """
    turns = iter(range(10 * HORIZON))
    return lambda obs: always((WEST, EAST)[next(turns) % 2], EAST)(obs)


def test_the_change_of_a_distance_is_right_from_the_first_step_to_the_last(jail) -> None:
    """Walking east from the left edge, the third step is into lava: each brings the goal one step closer."""
    watched = watch(code(APPROACH), jail, always(EAST, WEST))
    assert watched.lengths.tolist() == [3] * 8 and watched.failed.all()
    assert watched.components["approach"].tolist() == [1.0] * 24
    assert "lava_distance" in {last.feature for last in look(watched).last_steps}


def test_an_oscillator_that_farms_a_distance_is_named(jail) -> None:
    facts = look(watch(code(CLOSER), jail, back_and_forth()))
    assert facts.share("oscillating") == 1.0
    assert [(alarm.id, alarm.component) for alarm in facts.alarms] == [("farming", "closer")]
    restless = facts.components[0].restless
    assert restless is not None and restless > 5
    assert "100 % go back and forth until the time limit. Suspected reward hacking: 'closer' pays" in describe(facts)


def test_an_oscillator_that_a_distance_does_not_pay_is_no_farmer(jail) -> None:
    """Each step back takes away what the step forth has paid, but for the last."""
    facts = look(watch(code(APPROACH), jail, back_and_forth()))
    assert facts.share("oscillating") == 1.0 and facts.components[0].mean == pytest.approx(1 / HORIZON)
    assert not facts.alarms


# --- signs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sparse", "dense"),
    [
        ('next_obs["terminated"].float()', 'obs["goal_distance"] - next_obs["goal_distance"]'),
        ('3.0 - 4.0 * next_obs["lava_distance"]', '1e30 * (next_obs["facing"] - 1)'),
        ('torch.log(1.0 - next_obs["goal_distance"])', 'torch.log(next_obs["lava_distance"] - 1.0)'),
        ('-1.0 / next_obs["lava_distance"]', 'next_obs["position"][:, 0] / next_obs["position"][:, 1]'),
    ],
)
def test_with_sign_only_the_sizes_are_fixed_whatever_the_code(sparse: str, dense: str, jail) -> None:
    raw = watch(code(f"sparse = {sparse}", f"dense = {dense}"), jail).components
    paid = watch(code(f"paid = sign_only(dense={dense}, sparse={sparse})"), jail).total
    torch.testing.assert_close(paid, sign(raw["sparse"]) + 0.1 * sign(raw["dense"]))
    assert {round(value, 4) for value in paid.tolist()} <= {0, 0.1, -0.1, 0.9, -0.9, 1, -1, 1.1, -1.1}


def sign(values: Tensor) -> Tensor:
    return (values > 0).float() - (values < 0).float()  # 0 where it is not a number
