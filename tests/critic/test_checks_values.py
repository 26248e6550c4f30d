"""Each check on a reward that trips it and on a near miss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rewardsmith.critic import checks_values as checks
from rewardsmith.critic.evidence import Inconclusive
from rewardsmith.reward.toolkit import sign_only
from tests.critic.worlds import CountingProgram, FakeProgram, Output, evidence, make_bank


def x(obs, action, next_obs):
    return next_obs["x"]


def rare(obs, action, next_obs):
    """Pays where only synthetic positions reach."""
    return (next_obs["x"].abs() > 1.9).float()


def test_a_run_of_signs_alone_takes_no_other_sizes():
    signed = lambda o, a, n: sign_only(n["x"], (n["x"].abs() > 0.9).float())
    heavier = lambda o, a, n: 2 * signed(o, a, n)
    assert checks.sizes.run(replace(evidence(signed), sign_only=True)) is None
    assert "only -1.1, -1.0" in (checks.sizes.run(replace(evidence(heavier), sign_only=True)) or "")
    assert checks.sizes.run(evidence(heavier)) is None, "unless signs were asked for, sizes are free"


# check, a reward that trips it, a near miss, words the message must have
VALUE_CASES = [
    (checks.crash, lambda o, a, n: torch.zeros(3)[n["room"]], lambda o, a, n: torch.zeros(4)[n["room"]], "out of"),
    (checks.shape, lambda o, a, n: n["v"], lambda o, a, n: n["v"][:, 0], "(N, 2) instead of (N,)"),
    (checks.shape, lambda o, a, n: n["v"].sum(), lambda o, a, n: n["v"].sum(1), "() instead of (N,)"),
    (checks.shape, lambda o, a, n: n["x"].double(), x, "float64"),
    (checks.shape, lambda o, a, n: (n["x"], {"c": n["v"]}), lambda o, a, n: (n["x"], {"c": n["x"]}), "component 'c'"),
    (checks.nonfinite, lambda o, a, n: torch.log(n["x"]), lambda o, a, n: torch.log(n["x"].abs() + 1e-3), "NaN"),
    (checks.nonfinite, lambda o, a, n: 1 / (n["x"] * 0), x, "infinite"),
    (checks.nonfinite, lambda o, a, n: (n["x"], {"a": n["x"], "b": n["x"].sqrt()}), x, "component 'b' is NaN"),
    (checks.absurd, lambda o, a, n: 1e8 * n["x"], lambda o, a, n: 1e6 * n["x"], "reaches"),
    (checks.edge, lambda o, a, n: n["v"][:, 0] / n["v"].norm(dim=1), x, "all features at zero"),
    (checks.edge, lambda o, a, n: torch.sqrt(1.9 - n["x"]), lambda o, a, n: torch.sqrt(2.0 - n["x"]), "high bound"),
    (checks.edge, lambda o, a, n: torch.zeros(3)[(n["room"] - 1).clamp(min=-3) % 3 + n["room"] // 3], x, "failed"),
    (checks.mixed, lambda o, a, n: n["x"] - n["x"].mean(), lambda o, a, n: n["x"] - n["v"].mean(1), "exchanged"),
    (checks.mixed, lambda o, a, n: n["x"] / n["x"].abs().max(), lambda o, a, n: n["v"].max(dim=1).values, "exchanged"),
    (checks.mixed, lambda o, a, n: n["x"].cumsum(0), lambda o, a, n: n["v"].cumsum(1)[:, 1], "exchanged"),
    (checks.mixed, lambda o, a, n: n["x"].roll(1), x, "exchanged"),
    (checks.mixed, lambda o, a, n: n["x"].argsort().float(), x, "exchanged"),
    (checks.mixed, lambda o, a, n: (n["x"], {"c": n["x"] - n["x"].mean()}), x, "exchanged"),
    (checks.batch_size, lambda o, a, n: n["x"] / len(n["x"]), lambda o, a, n: n["x"] / 7, "alone"),
    (checks.batch_size, lambda o, a, n: torch.arange(len(n["x"])) * 1.0, x, "reverse order"),
    (checks.batch_size, lambda o, a, n: n["x"] * float(len(n["x"]) > 1), x, "a row alone"),
    (checks.batch_size, lambda o, a, n: n["x"].flip(0), lambda o, a, n: torch.tanh(n["v"]).exp().sum(1), "alone"),
    (checks.constant, lambda o, a, n: torch.full_like(n["x"], 3.0), lambda o, a, n: 3.0 + 1e-3 * n["x"], "total is 3"),
    (checks.constant, lambda o, a, n: 0 * n["x"], rare, "the total is 0"),
    (checks.silent, rare, lambda o, a, n: rare(o, a, n) + 0.01 * n["x"], "in all 480 recorded"),
    (checks.dead_component, lambda o, a, n: (n["x"], {"a": n["x"], "bonus": 0 * n["x"]}),
     lambda o, a, n: (n["x"], {"bonus": (n["x"] > 0.99).float()}), "'bonus': zero"),
    (checks.constant_component, lambda o, a, n: (n["x"], {"alive": n["x"] * 0 + 2}),
     lambda o, a, n: (n["x"], {"alive": 2 + 0.01 * n["x"]}), "'alive' is always 2"),
    (checks.drowned, lambda o, a, n: (n["x"], {"big": 100 * n["x"], "small": n["v"][:, 0]}),
     lambda o, a, n: (n["x"], {"big": 10 * n["x"], "small": n["v"][:, 0]}), "'big' 98"),
    (checks.drowned, lambda o, a, n: (n["x"], {"big": 1000 * n["x"], "small": n["v"][:, 0], "dead": 0 * n["x"]}),
     lambda o, a, n: (n["x"], {"big": 1000 * n["x"], "dead": 0 * n["x"]}), "'big' 9"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "bad", "near", "words"), VALUE_CASES)
def test_check_trips_and_does_not(check, bad, near, words):
    seen = check.run(evidence(bad))
    assert seen is not None and words in seen
    assert check.run(evidence(near)) is None


@pytest.mark.parametrize("check", [checks.crash, checks.shape, checks.nonfinite, checks.mixed, checks.constant])
def test_without_an_environment_synthetic_transitions_do(check):
    bad, near = next((bad, near) for c, bad, near, _ in VALUE_CASES if c is check)
    assert check.run(evidence(bad, False))
    assert check.run(evidence(near, False)) is None


WEIGHTS = torch.linspace(-1, 1, 10).reshape(2, 5)
INNOCENT = [
    lambda o, a, n: torch.tanh(n["v"] @ WEIGHTS).sum(1),
    lambda o, a, n: torch.softmax(10 * n["v"], dim=1)[:, 0],
    lambda o, a, n: torch.exp(-((n["x"] - 0.3) ** 2) / 0.01) + torch.sin(40 * n["x"]),
    lambda o, a, n: torch.where(n["x"] > 0.1, n["v"].norm(dim=1), -(a**2).sum(1)),
    lambda o, a, n: torch.linspace(0, 1, 4)[n["room"]] * n["v"].std(dim=1),
    lambda o, a, n: 1e-6 * n["x"] + 1e6,
    lambda o, a, n: torch.logsumexp(n["v"], 1) + torch.atan2(n["v"][:, 0], n["v"][:, 1]),
    lambda o, a, n: (n["v"].sort(dim=1).values * torch.tensor([1.0, -3.0])).sum(1),
]


@pytest.mark.parametrize("number", range(len(INNOCENT)))
@pytest.mark.parametrize("lengths", [[40] * 12, [3], [7, 10]])
def test_row_by_row_rewards_are_never_called_mixed(number, lengths):
    seen = evidence(INNOCENT[number], make_bank(lengths))
    assert checks.mixed.run(seen) is None
    assert checks.batch_size.run(seen) is None


def test_messages_say_which_transitions():
    assert "synthetic" in checks.nonfinite.run(evidence(lambda o, a, n: n["x"].sqrt(), False))
    assert "recorded" in checks.nonfinite.run(evidence(lambda o, a, n: n["x"].sqrt()))


def test_nonfinite_only_at_terminal_steps_says_so():
    seen = checks.nonfinite.run(
        evidence(lambda o, a, n: n["x"] / (~n["terminated"]).float(), make_bank(ends="terminated"))
    )
    assert "12 of 480" in seen and "12 of them terminal" in seen


def test_silent_needs_recorded_transitions():
    assert checks.silent.run(evidence(rare, False)) is None


def test_sleeping_components_are_not_called_dead():
    def bonus(obs, action, next_obs):
        return next_obs["x"], {"bonus": rare(obs, action, next_obs), "x": next_obs["x"]}

    def at_goal(obs, action, next_obs):
        return next_obs["x"], {"bonus": ((next_obs["v"] == 7).all(1) & next_obs["terminated"]).float()}

    goals = {"x": torch.zeros(1), "v": torch.full((1, 2), 7.0), "room": torch.zeros(1, dtype=torch.int64)}
    for program, options in ((bonus, {}), (at_goal, {"goals": goals})):
        assert "'bonus'" in checks.sleeping_component.run(evidence(program, **options))
        assert checks.dead_component.run(evidence(program, **options)) is None
    assert checks.dead_component.run(evidence(at_goal))
    assert checks.sleeping_component.run(evidence(at_goal)) is None
    assert checks.silent.run(evidence(lambda o, a, n: (n["v"] == 7).all(1).float(), goals=goals))


def test_one_row_cannot_show_mixing():
    with pytest.raises(Inconclusive):
        checks.mixed.run(evidence(x, make_bank([1])))
    assert checks.batch_size.run(evidence(x, make_bank([1]))) is None


@pytest.mark.parametrize("lengths", [[1], [2], [1, 1], [3, 1, 2]])
def test_tiny_banks_are_fine_for_a_good_reward(lengths):
    seen = evidence(x, make_bank(lengths))
    for check in (checks.crash, checks.shape, checks.nonfinite, checks.absurd, checks.batch_size, checks.drowned):
        assert check.run(seen) is None


# --- potential, memory, parameters


def test_a_constant_where_episodes_end_by_themselves():
    """Paying 1 a step asks for staying up; paying 0, or where nothing ends, asks for nothing."""
    one = lambda o, a, n: 0 * n["x"] + 1
    seen = evidence(one, make_bank(ends="terminated"))
    assert "every step pays 1, and 12 of the recorded" in checks.only_length.run(seen)
    assert checks.constant.run(seen) is None
    for reward, bank in ((one, make_bank()), (lambda o, a, n: 0 * n["x"], make_bank(ends="terminated"))):
        assert checks.only_length.run(evidence(reward, bank)) is None
        assert checks.constant.run(evidence(reward, bank))
    assert checks.only_length.run(evidence(x, make_bank(ends="terminated"))) is None


def test_a_reward_that_remembers_may_pay_later_than_anything_recorded():
    never = CountingProgram()
    never.over_rollout = lambda obs, *_, **__: Output(0 * obs["x"], {"late": 0 * obs["x"]})
    seen = evidence(never, make_bank())
    assert checks.constant.run(seen) is None
    assert "the total is 0 in all" in checks.silent.run(seen)


def test_only_shaping():
    def zero(obs, action, next_obs):
        return 0 * next_obs["x"]

    alone = FakeProgram(zero, potential=lambda obs: obs["x"])
    beside = FakeProgram(x, potential=lambda obs: obs["x"])
    flat = FakeProgram(zero, potential=lambda obs: 0 * obs["x"])
    assert "only the potential" in checks.only_shaping.run(evidence(alone))
    assert checks.constant.run(evidence(alone)) is None
    assert checks.only_shaping.run(evidence(beside)) is None
    assert checks.only_shaping.run(evidence(flat)) is None
    assert checks.constant.run(evidence(flat))


def test_potential_is_checked_too():
    bad = FakeProgram(x, potential=lambda obs: obs["x"].log())
    assert "the potential is NaN" in checks.nonfinite.run(evidence(bad))
    mixed = FakeProgram(x, potential=lambda obs: obs["x"] - obs["x"].mean())
    assert checks.mixed.run(evidence(mixed))


def test_shaping_ends_at_termination_and_not_at_the_time_limit():
    program = FakeProgram(lambda o, a, n: 0 * n["x"], potential=lambda obs: torch.ones_like(obs["x"]))
    ended = evidence(program, make_bank([3], ends="terminated")).values.effective
    cut = evidence(program, make_bank([3], ends="truncated")).values.effective
    torch.testing.assert_close(ended, torch.tensor([-0.01, -0.01, -1.0]))
    torch.testing.assert_close(cut, torch.tensor([-0.01, -0.01, -0.01]))


@pytest.mark.parametrize("lengths", [[1], [5], [3, 1, 7, 7]])
def test_memory_is_carried_through_episodes_of_any_length(lengths):
    seen = evidence(CountingProgram(), make_bank(lengths))
    assert seen.values.total.tolist() == [float(step) for n in lengths for step in range(n)]


def test_memory_rewards_see_fewer_and_shorter_episodes(monkeypatch):
    monkeypatch.setattr("rewardsmith.critic.sample.Sample.heads.__defaults__", (100, 1000))
    seen = evidence(CountingProgram(), make_bank([300] * 50))
    assert seen.sample.lengths.tolist() == [100] * 10
    assert float(seen.values.total.max()) == 99
    unread = FakeProgram(x)
    unread.uses_memory = True
    assert len(evidence(unread, make_bank([300] * 50)).sample) == 300 * 50


def test_unused_memory():
    program = FakeProgram(x)
    assert checks.unused_memory.run(evidence(program)) is None
    assert checks.unused_memory.run(evidence(CountingProgram())) is None
    program.uses_memory, program.memory_spec = True, {"best": ((), torch.float32)}
    assert checks.unused_memory.run(evidence(program)).endswith("reads 'best'")


def test_unused_parameter_and_feature():
    program = FakeProgram(x, parameters={"a": 1.0, "b": 2.0, "c": 3.0}, read=("a",), structural=("c",))
    assert checks.unused_parameter.run(evidence(program)) == "not used: 'b'"
    assert checks.unused_parameter.run(evidence(FakeProgram(x, parameters={"a": 1.0}, read=("a",)))) is None
    assert checks.unused_feature.run(evidence(FakeProgram(x, unused_features=("v",)))) == "not read: 'v'"
    assert checks.unused_feature.run(evidence(FakeProgram(x))) is None


def test_long_lists_of_names_are_cut():
    names = tuple(f"feature_{n}" for n in range(40))
    assert checks.unused_feature.run(evidence(FakeProgram(x, unused_features=names))).endswith("and 34 more")
