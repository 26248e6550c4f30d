"""Every check on banks that leave little to look at: a check without data is inconclusive, and none raises."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import cast

import pytest
import torch

from rewardsmith.bank.simple import TO_AND_FRO
from rewardsmith.critic import checks_ends as ends
from rewardsmith.critic import checks_episodes as episodes
from rewardsmith.critic import checks_exploits as exploits
from rewardsmith.critic.critic import examine
from rewardsmith.critic.evidence import Evidence, Inconclusive
from rewardsmith.critic.native import TERM, TOTAL, RecordedReward
from rewardsmith.critic.sample import from_bank
from rewardsmith.critic.table import CHECKS, NATIVE_CHECKS
from rewardsmith.reward.program import RewardProgram
from tests.critic.worlds import INTERFACE, FakeProgram, evidence, make_bank

GOALS = {"x": torch.full((5,), 1.5), "v": torch.zeros(5, 2), "room": torch.zeros(5, dtype=torch.int64)}

ODD = {
    "one-step episodes that fail": make_bank([1] * 12, ends="terminated", success=[0.0] * 12),
    "one-step episodes that succeed": make_bank([1] * 12, ends="terminated", success=[1.0] * 12),
    "one-step episodes, cut": make_bank([1] * 12, ends="truncated", success=[0.0] * 12),
    "one-step episodes, success unknown": make_bank([1] * 12, ends="terminated"),
    "mixed one-step episodes": make_bank([1] * 12, ends="terminated", success=[0.0, 1.0] * 6),
    "one episode that fails": make_bank([8], ends="terminated", success=[0.0]),
    "one episode, cut": make_bank([8], ends="truncated", success=[1.0]),
    "one episode of one step": make_bank([1], ends="terminated", success=[0.0]),
}
REWARDS = {
    "position": lambda o, a, n: n["x"],
    "cost": lambda o, a, n: -1 - 0.1 * n["x"] ** 2,
    "two": lambda o, a, n: (n["x"] + 10 * o["x"], {"near": n["x"], "far": 10 * o["x"]}),
    "at the end": lambda o, a, n: n["terminated"].float(),
    "constant": lambda o, a, n: torch.ones_like(n["x"]),
}


def seen_by(checks, seen: Evidence) -> list[str]:
    """What the checks see, by those that can answer."""
    told = []
    for check in checks:
        with suppress(Inconclusive):
            told.append(check.run(seen) or "")
    return told


@pytest.mark.parametrize("goal_ends", [True, False, None])
@pytest.mark.parametrize("bank", ODD)
def test_every_check_bears_with_every_bank(bank, goal_ends):
    simple = {name: from_bank(ODD[bank]) for name in ("idle", TO_AND_FRO)}
    for reward in REWARDS.values():
        for goals in (None, GOALS):
            for program in (FakeProgram(reward), FakeProgram(reward, potential=lambda o: o["x"])):
                seen = evidence(program, ODD[bank], goals=goals, simple=simple, goal_ends=goal_ends, words="go far")
                assert not any("nan" in told for told in seen_by(CHECKS, seen))  # said without data
                assert not any(finding.id == "values.crash" for finding in examine(seen))


@pytest.mark.parametrize("fill", [None, torch.nan, torch.inf])
@pytest.mark.parametrize("bank", ODD)
def test_the_audit_of_a_native_reward_bears_with_every_bank(bank, fill):
    """Also with rewards that are not finite, which recording refuses."""
    recorded = from_bank(ODD[bank])
    pay = recorded.next_obs["x"].clone()
    if fill is not None:
        pay[::2] = fill
    program = cast(RewardProgram, RecordedReward(["speed"]))
    recorded = replace(recorded, next_obs=recorded.next_obs | {TOTAL: pay, f"{TERM}speed": pay})
    seen = Evidence(program, INTERFACE, recorded=recorded, simple={"idle": recorded})
    told = seen_by(NATIVE_CHECKS, seen)
    assert fill is not None or not any("nan" in words for words in told)


@pytest.mark.parametrize(
    "check", [episodes.failure_pays, episodes.idling_pays, episodes.dying_pays, ends.blank_end, exploits.oscillation]
)
def test_where_every_step_is_terminal_a_check_that_compares_with_others_cannot_tell(check):
    bank = make_bank([1] * 12, ends="terminated", success=[0.0] * 12)
    with pytest.raises(Inconclusive, match="every recorded step is terminal"):
        check.run(evidence(lambda o, a, n: -1 - 0.1 * n["x"], bank))
