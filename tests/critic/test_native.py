"""The audit of an environment's own reward: from recorded values alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from rewardsmith.cli import app
from rewardsmith.critic import checks_native as checks
from rewardsmith.critic.evidence import Inconclusive
from rewardsmith.critic.native import TERM, TOTAL, NativeRecording, audit, native_evidence, record_native
from rewardsmith.critic.table import NATIVE_CHECKS
from rewardsmith.envs import resolve_env
from tests.critic.worlds import INTERFACE, make_bank
from tests.helpers.tiny_world import PointEnvironment


def paid(total, bank=None, **terms):
    """Evidence of a native reward: `total` and `terms` are functions of (next_obs of the bank) -> (M,)."""
    bank = make_bank() if bank is None else bank
    columns = {TOTAL: total(bank.next_obs)} | {f"{TERM}{name}": term(bank.next_obs) for name, term in terms.items()}
    recording = NativeRecording(replace(bank, next_obs=bank.next_obs | columns), {}, tuple(terms), False)
    return native_evidence(recording, INTERFACE)


def x(n):
    return n["x"]


def one(n):
    return torch.ones_like(n["x"])


def rare(n):
    return (torch.arange(len(n["x"])) == 7).float()


def ended():
    return make_bank(ends="terminated")


CASES = [
    (checks.silent, paid(one), paid(x), "all 12 random episodes are paid 40"),
    (checks.silent, paid(one), paid(one, make_bank([5, 6, 7, 8, 9])), "paid 40"),
    (checks.constant, paid(one, make_bank([5, 6, 7])), paid(x), "all 18 random steps pay 1; episodes last 5 to 7"),
    (checks.sparse, paid(rare), paid(x), "1 of 480 random steps pay anything but 0"),
    (checks.sparse, paid(rare), paid(one), "but 0"),
    (checks.last_step, paid(lambda n: n["x"] - 100 * n["terminated"], ended()), paid(x, ended()), "the 12 steps that"),
    (checks.alive_bonus, paid(x, alive=one), paid(x, far=x), "'alive' is 1 in nearly every step: random episodes col"),
    (checks.terms, paid(x, a=x, b=lambda n: 3 * n["x"]), None, "75% of the movement"),
    (checks.scale, paid(one), None, "12 random episodes 40 +- 0 in 40 steps"),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_check_trips_and_does_not(number):
    check, bad, near, words = CASES[number]
    assert words in (check.run(bad) or "")
    assert near is None or check.run(near) is None


def test_nothing_known():
    for check, seen in (
        (checks.silent, paid(x, make_bank([3]))),
        (checks.last_step, paid(x)),
        (checks.terms, paid(x)),
    ):
        with pytest.raises(Inconclusive):
            check.run(seen)


def test_recording_a_tiny_world():
    environment = PointEnvironment()
    recording = record_native(environment, transitions=300, seed=0)
    assert torch.allclose(recording.random.next_obs[TOTAL], -recording.random.next_obs["position"].abs(), atol=1e-6)
    assert set(recording.simple) == {"no action", "to and fro"}
    assert recording.independent and recording.terms == ()
    found = audit(native_evidence(recording, environment.interface), NATIVE_CHECKS)
    assert {"native.scale", "native.simple_policies"} <= {f.id for f in found}
    assert all(f.severity != "refuse" for f in found)


def test_terms_come_from_info_and_success_from_the_threshold():
    recording = record_native(resolve_env("InvertedPendulum-v5"), transitions=60, seed=0)
    assert recording.terms == ("reward_survive",)
    bank = recording.random
    assert torch.equal(bank.next_obs[TERM + "reward_survive"], bank.next_obs[TOTAL])
    assert not recording.independent and not bank.success.isnan().any()


def test_success_that_nobody_defines_stays_unknown():
    recording = record_native(resolve_env("Pendulum-v1"), transitions=200, seed=0)
    assert recording.random.success.isnan().all()


def test_worlds_carry_reward_terms_only_when_asked():
    environment = resolve_env("InvertedPendulum-v5")
    assert "reward_survive" not in environment.make_world(1).info
    assert environment.watch_reward_terms() == ("reward_survive",)
    assert "reward_survive" in environment.make_world(1).info


def test_the_command():
    done = CliRunner().invoke(app, ["check", "--env", "CartPole-v1", "--native", "--json"])
    assert done.exit_code == 0, done.output
    line = json.loads(done.stdout)
    assert line["env"] == "CartPole-v1" and line["env_steps"] > 10_000
    found = {finding["id"]: finding for finding in line["findings"]}
    assert found["native.constant"]["severity"] == "warn"
    assert "native.silent" not in found


def test_a_pack_is_audited_with_the_terms_of_its_published_reward():
    done = CliRunner().invoke(app, ["check", "--env", "mountain_car_continuous", "--native"])
    assert done.exit_code == 0, done.output
    assert "goal 0 a step" in done.stdout
    assert "exploits.idle_beats_random" in done.stdout


def test_it_takes_no_reward_files():
    done = CliRunner().invoke(app, ["check", "reward.py", "--env", "CartPole-v1", "--native"])
    assert "takes no reward files" in str(done.exception)
