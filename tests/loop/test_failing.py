"""What is said of failures: the telling line, and a fix that fits the command and the kind of failure."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from rewardsmith.budget import Spent
from rewardsmith.cli import show
from rewardsmith.config import DesignConfig
from rewardsmith.loop.failing import nothing_acceptable, reason
from rewardsmith.loop.summary import Candidate, RunSummary
from rewardsmith.types import (
    CandidateState,
    CurvePoint,
    EnvSpec,
    Finding,
    MemberResult,
    Proposal,
    TrainingResult,
    Verdict,
)
from tests.helpers.results import kept_of

CRASH = (
    f"the process exited with 1\nTraceback (most recent call last):\n{'  File a, line 1, in b' * 50}\nKeyError: 'fuel'"
)
POINT = CurvePoint(env_steps=10, fitness=1, success=0, episode_length=5, episodes=4)
TRAINED = MemberResult(
    candidate="a", seed=9, state="trained", env_steps=10, wall_s=1, curve=(POINT,), kept=kept_of([POINT])
)


def candidate(state: CandidateState, *members: MemberResult, verdict: Verdict | None = None) -> Candidate:
    return Candidate(
        proposal=Proposal(id="a", round=1, sample=0, code="", origin="file"),
        verdict=verdict,
        training=TrainingResult(candidate="a", members=members) if members else None,
        state=state,
    )


def failed(state: str, error: str = CRASH) -> Candidate:
    member = MemberResult(candidate="a", seed=0, state=state, env_steps=0, wall_s=1, error=error)  # type: ignore[arg-type]
    return candidate(CandidateState(state), member)


REFUSED = candidate(
    CandidateState.REFUSED,
    verdict=Verdict(
        candidate="a", accepted=False, findings=(Finding(id="gate.import", severity="refuse", message="imports os"),)
    ),
)


def run_of(*candidates: Candidate, method: str = "given", **more) -> RunSummary:
    return RunSummary(
        id="run",
        root=Path("runs/run"),
        config=DesignConfig(env=EnvSpec(name="hopper"), method=method, seeds=1),
        task=None,
        finished=True,
        candidates=candidates,
        feedbacks=(),
        headline=None,
        spent=Spent(),
        wall_s=1.0,
        **({"best": None, "final": {}} | more),
    )


@pytest.mark.parametrize(
    ("ended", "message", "fix"),
    [
        (
            failed("crashed_env"),
            "a crashed env: the process exited with 1: KeyError: 'fuel'",
            "correct the environment",
        ),
        (failed("crashed_reward"), "KeyError: 'fuel'", "correct the reward"),
        (failed("diverged", "weights not finite"), "a diverged: weights not finite", "learning_rate"),
        (failed("timed_out", "no sign of life"), "no sign of life", "--stall-s"),
        (REFUSED, "a refused: imports os", "rewardsmith check"),
    ],
)
def test_the_fix_after_train_fits_train_and_the_failure(ended, message, fix) -> None:
    error = nothing_acceptable(run_of(ended))
    assert message in error.message and fix in error.hint and "report.html" in error.hint
    assert not any(option in error.hint for option in ("--rounds", "--candidates", "--repairs"))


def test_a_search_that_found_nothing_may_go_on_unless_the_environment_is_at_fault() -> None:
    assert "--rounds" in nothing_acceptable(run_of(failed("diverged"), method="eureka")).hint
    assert "--rounds" in nothing_acceptable(run_of(failed("crashed_env"), REFUSED, method="eureka")).hint
    assert "--rounds" not in nothing_acceptable(run_of(failed("crashed_env"), method="eureka")).hint
    assert "--rounds" in nothing_acceptable(run_of(method="eureka")).hint


def test_some_failed_seeds_are_told_beside_those_that_trained() -> None:
    some = candidate(CandidateState.ACCEPTED, TRAINED, *failed("crashed_env").training.members)  # type: ignore[union-attr]
    assert reason(some) == "1 of 2 seeds failed: the process exited with 1: KeyError: 'fuel'"
    assert reason(candidate(CandidateState.ACCEPTED, TRAINED)) == ""


def test_the_terminal_tells_failures_and_broken_episodes(monkeypatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(show, "results", Console(file=out, width=120))
    broken = TRAINED.model_copy(update={"episodes": 1000, "broken_episodes": 12})
    crashed = failed("crashed_env").training
    run = run_of(candidate(CandidateState.ACCEPTED, broken), best="a", final={"a": crashed})
    show.show_run(run)
    said = " ".join(out.getvalue().split())
    assert "In 12 of 1,000 episodes (1.2%) the simulation broke down" in said
    assert "on the fresh seeds, a: the process exited with 1: KeyError: 'fuel'" in said
    assert "Trained with 1 seed " in said and "1 seeds" not in said
