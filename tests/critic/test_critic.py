"""The critic end to end: real code, the real jail, a tiny recorded world."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import torch

import rewardsmith.critic
from rewardsmith.critic import DUPLICATE, FINDINGS, Critic, check_files
from rewardsmith.critic.critic import examine
from rewardsmith.critic.findings import STAGES
from rewardsmith.critic.table import CHECKS
from rewardsmith.errors import EnvironmentFault
from rewardsmith.reward.compile import reward_jail
from rewardsmith.types import Proposal
from tests.critic.worlds import INTERFACE, evidence, make_bank

GOALS = {"x": torch.full((5,), 1.5), "v": torch.zeros(5, 2), "room": torch.zeros(5, dtype=torch.int64)}


def reward(total, components="{}") -> str:
    return (
        f"def compute_reward(obs, action, next_obs, *, w=1.0):\n    total = {total}\n    return total, {components}\n"
    )


GOOD = reward("w * next_obs['x'] - 0.1 * (action ** 2).sum(dim=1)", "{'x': w * next_obs['x']}")
MEMORY = """
def initial_memory(n):
    return {"best": torch.zeros(n)}

def compute_reward(obs, action, next_obs, memory, *, w=1.0):
    best = torch.maximum(memory["best"], next_obs["x"])
    gain = w * (best - memory["best"])
    return gain, {"gain": gain}, {"best": best}
"""
POTENTIAL = GOOD + "\ndef potential(obs, *, p=2.0):\n    return p * obs['x']\n"


@pytest.fixture(scope="module")
def jail():
    with reward_jail() as jail:
        yield jail


@pytest.fixture(scope="module")
def critic(jail):
    return Critic(INTERFACE, jail, bank=make_bank(), goal_states=GOALS)


@pytest.fixture(scope="module")
def blind(jail):
    """Only an interface, no environment."""
    return Critic(INTERFACE, jail)


def ids(verdict, *severities):
    return [f.id for f in verdict.findings if f.severity in (severities or ("refuse", "warn", "info"))]


@pytest.mark.parametrize("code", [GOOD, MEMORY, POTENTIAL])
def test_good_rewards_are_accepted(critic, blind, code):
    for judge in (critic, blind):
        verdict, program = judge.check(code, candidate_id="a")
        assert verdict.accepted
        assert ids(verdict, "refuse", "warn") == []
        assert program is not None
        assert verdict.graph_id == program.graph_id
        assert verdict.candidate == "a"
        assert verdict.cost_ms > 0


@pytest.mark.parametrize(
    ("code", "id"),
    [
        ("import os\n" + GOOD, "gate.import"),
        ("def compute_reward(:", "gate.syntax"),
        (reward("torch.log(next_obs['x'])"), "values.nonfinite"),
        (reward("1e9 * next_obs['x']"), "values.absurd"),
        (reward("0.0 * next_obs['x'] + 3.0"), "signal.constant"),
        (reward("-next_obs['x']"), "direction.inverted"),
        (reward("obs['x'] - next_obs['x']"), "direction.inverted"),
    ],
)
def test_bad_rewards_are_refused_for_one_reason(critic, code, id):
    verdict, _ = critic.check(code, candidate_id="a")
    assert not verdict.accepted
    assert ids(verdict, "refuse") == [id]
    assert all(f.hint for f in verdict.findings if f.severity == "refuse")


@pytest.mark.parametrize(
    "total",
    ["next_obs['x'] - next_obs['x'].mean()", "next_obs['x'] / next_obs['x'].abs().max()", "next_obs['x'].sum()"],
)
def test_rows_that_mix_are_refused_somewhere(critic, total):
    verdict, _ = critic.check(reward(total), candidate_id="a")
    assert not verdict.accepted


def test_a_program_comes_back_even_when_its_numbers_are_refused(critic):
    report = critic.check(reward("1e9 * next_obs['x']"), candidate_id="a")
    assert report.program is not None
    assert report.verdict.graph_id


def test_proposals_without_code(critic):
    for proposal in (
        Proposal(id="p", round=1, sample=0, code="", origin="model"),
        Proposal(id="p", round=1, sample=0, code=GOOD, origin="model", failure="the reply was empty"),
    ):
        verdict, program = critic.check(proposal)
        assert (verdict.candidate, verdict.accepted, ids(verdict), program) == ("p", False, ["code.missing"], None)
    assert "the reply was empty" in verdict.findings[0].message


def test_without_an_environment_checks_that_need_one_say_so(blind):
    verdict, _ = blind.check(GOOD, candidate_id="a")
    assert {"episodes.skipped", "direction.skipped", "ranking.skipped"} <= set(ids(verdict, "info"))


def test_without_data_checks_are_inconclusive(jail):
    verdict, _ = Critic(INTERFACE, jail, bank=make_bank()).check(GOOD, candidate_id="a")
    assert {"episodes.inconclusive", "direction.inconclusive", "ranking.inconclusive"} <= set(ids(verdict, "info"))
    assert verdict.accepted


def test_an_empty_bank_is_no_bank(jail):
    verdict, _ = Critic(INTERFACE, jail, bank=make_bank([])).check(GOOD, candidate_id="a")
    assert verdict.accepted
    assert "episodes.skipped" in ids(verdict)


@pytest.mark.parametrize("lengths", [[1], [2], [1, 1, 1]])
def test_tiny_banks(jail, lengths):
    for code in (GOOD, MEMORY, POTENTIAL):
        assert Critic(INTERFACE, jail, bank=make_bank(lengths)).check(code, candidate_id="a").verdict.accepted


def test_duplicates_of_rewards_tried(jail):
    judge = Critic(INTERFACE, jail, bank=make_bank())
    for id, code in (("first", GOOD), ("remembers", MEMORY)):
        judge.remember(id, judge.check(code, candidate_id=id).program)
    scaled = GOOD.replace("w=1.0", "w=1.01")
    again, _ = judge.check(scaled, candidate_id="second")
    assert ids(again, "refuse") == [DUPLICATE]
    assert "'first'" in again.findings[-1].message
    assert judge.check(GOOD, candidate_id="first").verdict.accepted  # not a duplicate of itself
    assert judge.check(reward("next_obs['v'][:, 0]"), candidate_id="other").verdict.accepted
    assert ids(judge.check(MEMORY, candidate_id="third").verdict, "refuse") == [DUPLICATE]


def test_references_given_at_the_start(jail, critic):
    program = critic.check(GOOD, candidate_id="first").program
    judge = Critic(INTERFACE, jail, bank=make_bank(), reference={"first": program})
    assert ids(judge.check(GOOD, candidate_id="second").verdict, "refuse") == [DUPLICATE]


def test_goal_states_must_have_every_feature(jail):
    with pytest.raises(EnvironmentFault, match="lack the feature 'room'"):
        Critic(INTERFACE, jail, goal_states={"x": torch.ones(3), "v": torch.ones(3, 2)})
    with pytest.raises(EnvironmentFault, match=r"'v' have shape \(3,\)"):
        Critic(INTERFACE, jail, goal_states={**GOALS, "v": torch.ones(3)})


def test_the_same_verdict_every_time(critic):
    one, two = (critic.check(GOOD, candidate_id="a").verdict for _ in range(2))
    assert one.model_copy(update={"cost_ms": 0.0}) == two.model_copy(update={"cost_ms": 0.0})


# --- files


def test_files(tmp_path, critic):
    bad = {
        "missing.py": None,
        "binary.py": b"\x7fELF\x00\x00",
        "latin.py": "# caf\u00e9".encode("latin-1"),
        "large.py": b"#" * 300_000,
    }
    for name, data in bad.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "good.py").write_text("\ufeff" + GOOD, encoding="utf-8")
    (tmp_path / "empty.py").write_text("")
    files = [tmp_path / name for name in [*bad, "folder.py", "good.py", "empty.py"]]
    verdicts = dict(check_files(files, critic))
    assert list(verdicts) == files
    for file in files[:5]:
        assert ids(verdicts[file]) == ["file.unreadable"], file
        assert not verdicts[file].accepted
        assert str(file) in verdicts[file].findings[0].message
    assert verdicts[tmp_path / "good.py"].accepted
    assert ids(verdicts[tmp_path / "empty.py"]) == ["code.missing"]


@pytest.mark.skipif(not sys.platform.startswith(("linux", "darwin")), reason="pipes in folders are a Unix thing")
def test_a_pipe_does_not_block(tmp_path, critic):
    os.mkfifo(tmp_path / "pipe.py")
    ((_, verdict),) = check_files([tmp_path / "pipe.py"], critic)
    assert ids(verdict) == ["file.unreadable"]


def test_no_files(critic):
    assert list(check_files([], critic)) == []


# --- explanations


def test_every_check_has_its_own_id_in_a_known_stage():
    assert len({check.id for check in CHECKS}) == len(CHECKS)
    assert {check.stage for check in CHECKS} == set(STAGES)


def test_every_finding_is_explained():
    for id, explanation in FINDINGS.items():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", id), id
        assert all(text.strip() for text in explanation), id
    for check in CHECKS:
        assert FINDINGS[check.id] == check.explanation


def test_every_id_in_the_source_is_explained():
    source = "".join(file.read_text() for file in Path(rewardsmith.critic.__file__).parent.glob("*.py"))
    named = set(re.findall(r'id="([a-z_]+\.[a-z_]+)"', source))
    assert named <= set(FINDINGS)
    assert {f"{stage}.inconclusive" for stage in STAGES} <= set(FINDINGS)


def test_stages_after_a_refusal_are_not_reached():
    found = examine(evidence(lambda o, a, n: n["x"].log() - n["x"].mean(), goals=GOALS))
    assert [f.id for f in found] == ["values.nonfinite"]


def test_failures_on_synthetic_transitions_alone_do_not_refuse():
    bank = make_bank()
    for room in (bank.obs["room"], bank.next_obs["room"]):
        room.clamp_(max=2)  # room 3 is declared and never visited
    found = examine(evidence(lambda o, a, n: n["x"] + torch.zeros(3)[n["room"]], bank))
    assert [f.id for f in found if f.severity == "refuse"] == []
    assert "values.edge" in [f.id for f in found]


def test_a_reward_cannot_choose_which_checks_it_fails_in():
    """One that raises on transitions that only a later check makes would otherwise pass that check as undecided."""
    calls = []

    def picky(obs, action, next_obs):
        calls.append(len(calls))
        if len(calls) > 1:
            raise RuntimeError("ZeroDivisionError")
        return next_obs["x"]

    findings = examine(evidence(picky))
    assert [(f.id, f.severity) for f in findings][-1] == ("values.crash", "refuse")
    assert "failed: ZeroDivisionError" in findings[-1].message
