"""Which reward is meant by a name."""

from __future__ import annotations

import pytest

from rewardsmith.errors import RunError, UsageError
from rewardsmith.loop.inspecting.subject import find_subject, require_code
from tests.loop.inspecting.conftest import CLIMB, PLACE


def test_a_run_means_its_best_candidate_with_its_policy(run) -> None:
    for name in (run.name, "latest", str(run), f"{run.name}:r1s0", "latest:"):
        found = find_subject(name, runs=run.parent)
        assert found.code == PLACE and found.label == f"r1s0 of {run.name}"
        assert found.policy == run / "candidates" / "r1s0" / "seeds" / "0" / "policy.safetensors"


def test_a_candidate_that_was_not_trained_has_no_policy(run) -> None:
    found = find_subject("latest:r1s1", runs=run.parent)
    assert found.code == CLIMB and found.candidate == "r1s1" and found.policy is None


def test_a_file_is_a_file_and_the_packs_rewards_have_names(files, tmp_path) -> None:
    found = find_subject(files["climb"], runs=tmp_path)
    assert (found.code, found.label, found.run) == (CLIMB, "climb.py", None)
    human = find_subject("human", runs=tmp_path)
    assert human.code is None and require_code(human, {"human": "x"}, "e") == "x"
    with pytest.raises(UsageError, match="e has no human reward: it has no pack"):
        require_code(human, {}, "e")


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("missing.py", UsageError, "cannot read missing.py"),
        ("nonsense", RunError, "unknown run 'nonsense'.*Known: .*mountain"),
        ("nonsense:r1s0", RunError, "unknown run 'nonsense'"),
        ("latest:r9s9", RunError, "unknown candidate 'r9s9'.*r1s0, r1s1"),
        ("latest:../r1s0", RunError, "unknown candidate"),
    ],
)
def test_unknown_names_say_what_is_known(run, name, error, said) -> None:
    with pytest.raises(error, match=said) as raised:
        find_subject(name, runs=run.parent)
    assert raised.value.hint


def test_a_policy_that_lies_outside_of_the_run_is_refused(run, tmp_path) -> None:
    path = run / "candidates" / "r1s0" / "seeds" / "0" / "policy.safetensors"
    path.rename(tmp_path / "elsewhere.safetensors")
    path.symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(RunError, match="leads out of the run"):
        find_subject("latest", runs=run.parent)
