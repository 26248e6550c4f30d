"""The last step: blank observations, and potentials written by hand."""

from __future__ import annotations

import pytest

from rewardsmith.critic import checks_ends as checks
from rewardsmith.critic.evidence import Evidence, Inconclusive
from rewardsmith.critic.sample import from_bank
from rewardsmith.reward.compile import compile_reward, reward_jail
from tests.critic.worlds import INTERFACE, FakeProgram, evidence, make_bank

# --- blank observations


def blanked(success=0.0, ends="terminated"):
    """Slow walks far from zero whose last observation is all zeros, as NetHack's is."""
    bank = make_bank(success=[success] * 12, ends=ends)
    for state in (bank.obs, bank.next_obs):
        state["x"].mul_(0.1).add_(5.0)
        state["v"].mul_(0.1).add_(3.0)
    for name in ("x", "v"):
        bank.next_obs[name][bank.terminated] = 0
    return bank


def low(o, a, n):
    return (n["x"] < 1).float() + 0.01 * n["x"]


def test_a_term_for_something_low_fires_at_blank_ends():
    seen = checks.blank_end.run(evidence(low, blanked()))
    assert "at all 12 unsuccessful ends 'x', 'v' fell to zero" in seen
    assert "pays 1 there and would pay 0.05" in seen


@pytest.mark.parametrize(
    "reward",
    [
        lambda o, a, n: low(o, a, n) * (~n["terminated"]).float() + 0.05 * n["terminated"],
        lambda o, a, n: low(o, a, o),
        lambda o, a, n: (a**2).sum(1),
    ],
)
def test_rewards_that_do_not_believe_it(reward):
    assert checks.blank_end.run(evidence(reward, blanked())) is None


def test_features_that_arrive_at_zero_are_not_blank():
    bank = make_bank(success=[0.0] * 12, ends="terminated")
    bank.next_obs["x"][bank.terminated] = 0.0  # positions within +-1 that change by 0.1 a step
    bank.obs["x"][bank.terminated] = 0.1
    assert checks.blank_end.run(evidence(low, bank)) is None


def test_features_the_reward_does_not_read_do_not_matter():
    program = FakeProgram(low, unused_features=("x", "v", "room"))
    assert checks.blank_end.run(evidence(program, blanked())) is None


@pytest.mark.parametrize(
    ("bank", "reason"),
    [(blanked(ends="truncated"), "ended by itself"), (blanked(success=1.0), "without success")],
)
def test_blank_ends_need_ends(bank, reason):
    with pytest.raises(Inconclusive, match=reason):
        checks.blank_end.run(evidence(low, bank))


# --- potentials written by hand


@pytest.fixture(scope="module")
def compiled():
    with reward_jail() as jail:

        def run(body: str, *, memory: bool = False) -> Evidence:
            lines = "\n    ".join(["later, sooner = next_obs['x'] + 3, obs['x'] + 3", *body.split("; ")])
            start, argument, end = (
                ("def initial_memory(n):\n    return {'far': torch.zeros(n)}\n", "memory, ", ", {'far': far}")
                if memory
                else ("", "", "")
            )
            code = (
                f"{start}def compute_reward(obs, action, next_obs, {argument}*, gamma=0.99):\n    {lines}\n"
                f"    return total, {{'total': total}}{end}\n"
            )
            result = compile_reward(code, INTERFACE, jail)
            assert result.program, result.findings
            return Evidence(result.program, INTERFACE, recorded=from_bank(make_bank(ends="terminated")))

        yield run


ALIVE = "alive = (~next_obs['terminated']).float()"


@pytest.mark.parametrize(
    "body",
    [
        "total = gamma * later - sooner",
        "total = 0.99 * later - sooner",
        "total = -sooner + later * gamma",
        "total = 2.0 * (gamma * later) - 2.0 * sooner",
        "total = gamma * -torch.exp(-later) * -30 - 30 * torch.exp(-sooner)",
        "shaping = gamma * later - sooner; total = 0.1 * action[:, 0] + shaping",
        "total = torch.where(next_obs['v'][:, 0] > 9, 1.0, gamma * later - sooner)",
        "total = 0.1 * action[:, 0] + gamma * later - sooner",
        "later, sooner = later + next_obs['v'][:, 0], sooner + obs['v'][:, 0]; total = 1.0 + gamma * later - sooner",
        "total = 0.1 * action[:, 0] - (sooner - gamma * later)",
    ],
)
def test_a_hand_written_potential_that_forgets_the_end(compiled, body):
    seen = checks.potential_end.run(compiled(body))
    assert seen is not None and "the 12 steps that ended an episode are paid" in seen


def test_a_hand_written_potential_beside_memory(compiled):
    farthest = "far = torch.maximum(memory['far'], next_obs['x']); gain = far - memory['far']"
    shaped = "total = gain + gamma * later - sooner"
    assert checks.potential_end.run(compiled(f"{farthest}; {shaped}", memory=True))
    assert checks.potential_end.run(compiled("far = memory['far']; total = gamma * later - sooner", memory=True))
    ended = f"{ALIVE}; total = gain + gamma * later * alive - sooner"
    assert checks.potential_end.run(compiled(f"{farthest}; {ended}", memory=True)) is None


@pytest.mark.parametrize(
    "body",
    [
        f"{ALIVE}; total = gamma * later * alive - sooner",
        f"{ALIVE}; total = alive * (gamma * later - sooner)",
        "total = gamma * torch.where(next_obs['terminated'], 0.0, later) - sooner",
        "total = gamma * later.masked_fill(next_obs['terminated'], 0.0) - sooner",
        "total = torch.where(next_obs['terminated'], 5.0, gamma * later - sooner)",
        "total = later - sooner",  # progress, not a discounted potential
        "total = gamma * later - 0.3 * sooner",
        "total = gamma * next_obs['x'] - obs['v'][:, 0]",
        "total = gamma * next_obs['x'] - next_obs['x'] ** 2",
        "total = 0.001 * (gamma * later - sooner) + next_obs['x']",  # too small to matter
    ],
)
def test_what_is_no_such_potential_or_ends_properly(compiled, body):
    assert checks.potential_end.run(compiled(body)) is None


def test_without_ends_it_cannot_be_seen(compiled):
    seen = compiled("total = gamma * later - sooner")
    seen.recorded = from_bank(make_bank())
    with pytest.raises(Inconclusive, match="shapes by hand"):
        checks.potential_end.run(seen)


def test_it_says_what_the_ends_should_pay(compiled):
    seen = compiled("total = 0.5 * (gamma * later - sooner)")
    ends = seen.sample.rows(seen.sample.terminated)
    wrong, right = 0.5 * (0.99 * (ends.next_obs["x"] + 3) - ends.obs["x"] - 3), -0.5 * (ends.obs["x"] + 3)
    message = checks.potential_end.run(seen)
    assert f"paid {float(wrong.mean()):.4g} on average" in message
    assert f"as it has to be, {float(right.mean()):.4g}" in message
