"""The task's words and the features' units against the reward."""

from __future__ import annotations

import pytest

from rewardsmith.critic import Critic
from rewardsmith.critic import checks_words as checks
from rewardsmith.critic.checks_words import order_or_count
from rewardsmith.critic.evidence import Evidence
from rewardsmith.envs.pack import Pack, bundled_packs
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.types import ActionSpec, FeatureSpec, RewardInterface
from tests.critic.worlds import INTERFACE, CountingProgram, evidence, make_bank

ORDERED = [
    ("go to A, then to B, then back to A", "then"),
    ("First touch the red block, then the green one.", "First touch the red block, then"),
    ("touch the wall and then return", "and then"),
    ("jump twice", "twice"),
    ("spin around three times", "three times"),
    ("do 3 laps", "3 laps"),
    ("open the door after picking up the key", "after picking"),
    ("visit every corner", "visit every"),
    ("press the buttons in the right order", "in the right order"),
    ("reach the flag. Then drive back to the start", ". Then"),
    ("reach the flag and go back to the start again", "go back to"),
    ("touch the left and the right wall alternately", "alternately"),
]
UNORDERED = [
    "",
    "run forward as fast as you can",
    "run twice as fast as before",
    "be three times faster",
    "keep the first joint still",
    "if the pole falls, then balance it",
    "stay at the target once you are there",
    "hop forward without falling",
    "swing up the pole and keep it upright",
    "land softly between the flags, upright, with little fuel",
    "put the box against the wall",
    "move the back leg",
    "lean back",
]


@pytest.mark.parametrize(("words", "phrase"), ORDERED)
def test_words_that_order_or_count(words, phrase):
    assert order_or_count(words).lower() == phrase.strip(",;. ").lower()
    seen = checks.needs_memory.run(evidence(lambda o, a, n: n["x"], words=words))
    assert "depends on no memory" in seen
    assert checks.needs_memory.run(evidence(CountingProgram(), words=words)) is None


@pytest.mark.parametrize("words", UNORDERED)
def test_words_that_do_not(words):
    assert checks.needs_memory.run(evidence(lambda o, a, n: n["x"], words=words)) is None


def test_no_instruction_of_a_pack_orders_or_counts():
    for folder in bundled_packs().values():
        for task in Pack(folder).file.task:
            assert not order_or_count(task.instruction), task.instruction


@pytest.fixture(scope="module")
def jail():
    with reward_jail() as jail:
        yield jail


def test_a_critic_that_knows_the_words_warns(jail):
    code = "def compute_reward(obs, action, next_obs):\n    x = next_obs['x']\n    return x, {'x': x}\n"
    for words, warned in (("jump twice", True), ("jump", False)):
        verdict = Critic(INTERFACE, jail, bank=make_bank(), words=words).check(code).verdict
        assert verdict.accepted
        assert ("words.needs_memory" in [f.id for f in verdict.findings]) == warned


# --- units

METRIC = RewardInterface(
    features=(
        FeatureSpec(name="height", unit="m"),
        FeatureSpec(name="speed", shape=(2,), unit="m/s"),
        FeatureSpec(name="angle", unit="rad"),
        FeatureSpec(name="power", unit="fraction"),
        FeatureSpec(name="plain"),
    ),
    action=ActionSpec(kind="continuous", shape=(1,), low=(-1.0,), high=(1.0,)),
)


@pytest.mark.parametrize(
    ("total", "names"),
    [
        ("n['height'] + n['angle']", ["'height' (m)", "'angle' (rad)"]),
        ("n['height'] - n['angle'].abs()", ["'height' (m)", "'angle' (rad)"]),
        ("n['speed'].norm(dim=-1) - (n['height'] - 1.2).abs()", ["'speed' (m/s)", "'height' (m)"]),
        ("n['speed'][:, 0] + n['height'] * w - n['speed'][:, 1] - n['angle']", []),  # beyond a scaled term: unknown
        ("torch.clamp(n['speed'].sum(dim=-1), max=2.0) + n['angle']", ["'speed' (m/s)", "'angle' (rad)"]),
        ("n['height'] - obs['height']", []),
        ("n['speed'][:, 0] + n['speed'][:, 1]", []),
        ("n['height'] + w * n['angle']", []),
        ("n['height'] / 1.25 + n['angle']", []),
        ("n['height'] + torch.exp(-n['angle'])", []),
        ("n['height'] ** 2 + n['angle'] ** 2", []),
        ("n['height'] + n['power'] - n['plain']", []),
        ("n['height'] * n['angle']", []),
    ],
)
def test_units(jail, total, names):
    code = (
        "def compute_reward(obs, action, next_obs, *, w=1.0):\n    n = next_obs\n"
        f"    total = {total}\n    return total, {{'total': total}}\n"
    )
    program = compile_reward(code, METRIC, jail).program
    assert program is not None
    seen = checks.units.run(Evidence(program, METRIC)) or ""
    assert bool(seen) == bool(names)
    assert all(name in seen for name in names)
