from __future__ import annotations

import pytest

from rewardsmith.loop.summary import (
    Headline,
    Screened,
    candidate_state,
    component_means,
    decide,
    describe,
    pick_best,
    score_of,
)
from rewardsmith.types import CandidateState, CurvePoint, Finding, MemberResult, Proposal, TrainingResult, Verdict
from tests.helpers.results import kept_of

PROPOSAL = Proposal(id="r1s0", round=1, sample=0, code="x", origin="model")
ACCEPTED = Verdict(candidate="r1s0", accepted=True)
REFUSED = Verdict(
    candidate="r1s0", accepted=False, findings=(Finding(id="gate.import", severity="refuse", message=""),)
)
DOUBLE = Verdict(
    candidate="r1s0", accepted=False, findings=(Finding(id="duplicate.near", severity="refuse", message=""),)
)


def member(state: str = "trained", success: float = 0.0, fitness: float = 0.0, seed: int = 0) -> MemberResult:
    point = CurvePoint(
        env_steps=10, fitness=fitness, success=success, episode_length=5, episodes=1, components={"a": fitness}
    )
    return MemberResult(
        candidate="r1s0", seed=seed, state=state, env_steps=10, wall_s=1.0, curve=(point,), kept=kept_of([point])
    )  # type: ignore[arg-type]


def result(*members: MemberResult) -> TrainingResult:
    return TrainingResult(candidate="r1s0", members=members)


@pytest.mark.parametrize(
    ("verdict", "training", "best", "state"),
    [
        (None, None, None, CandidateState.PROPOSED),
        (REFUSED, None, None, CandidateState.REFUSED),
        (DOUBLE, None, None, CandidateState.DUPLICATE),
        (ACCEPTED, None, None, CandidateState.CHECKED),
        (ACCEPTED, result(member()), "r1s0", CandidateState.ACCEPTED),
        (ACCEPTED, result(member()), "r1s1", CandidateState.OUTSCORED),
        (ACCEPTED, result(member("dropped")), None, CandidateState.DROPPED),
        (ACCEPTED, result(member("crashed_reward")), None, CandidateState.CRASHED_REWARD),
        (ACCEPTED, result(member("crashed_env"), member("dropped")), None, CandidateState.CRASHED_ENV),
        (ACCEPTED, result(member("diverged")), None, CandidateState.DIVERGED),
        (ACCEPTED, result(member("timed_out")), None, CandidateState.TIMED_OUT),
        (ACCEPTED, result(member("trained"), member("diverged")), "r1s0", CandidateState.ACCEPTED),
    ],
)
def test_the_state_names_the_guilty_side(verdict, training, best, state) -> None:
    assert candidate_state(PROPOSAL, verdict, training, best=best, finished=False) is state


def test_a_candidate_that_was_never_trained_in_a_finished_run_met_the_budget() -> None:
    assert candidate_state(PROPOSAL, ACCEPTED, None, best=None, finished=True) is CandidateState.BUDGET


def test_a_reply_without_code_is_the_models_fault() -> None:
    failed = PROPOSAL.model_copy(update={"failure": "no code"})
    assert candidate_state(failed, REFUSED, None, best=None, finished=True) is CandidateState.MODEL_FAILED


def test_success_decides_before_fitness() -> None:
    results = {
        "a": result(member(success=0.5, fitness=1.0)),
        "b": result(member(success=0.6, fitness=-9.0)),
        "c": result(member("dropped", success=1.0)),
    }
    assert pick_best(results) == "b"
    assert score_of(results["c"]) is None
    assert pick_best({"c": results["c"]}) is None


def test_a_refined_reward_stays_the_best_as_long_as_no_change_succeeds() -> None:
    start, fitter = result(member(success=0.0, fitness=1.0)), result(member(success=0.0, fitness=9.0))
    met = result(member(success=0.1, fitness=-9.0))
    assert pick_best({"start": start, "a": fitter}) == "a"
    assert pick_best({"start": start, "a": fitter}, start="start") == "start"
    assert pick_best({"start": start, "a": fitter, "b": met}, start="start") == "b"
    failed = result(member("diverged", success=0.0))
    assert pick_best({"start": failed, "a": fitter}, start="start") == "a", "something has to be the best"
    assert pick_best({"start": failed}, start="start") is None


def test_the_score_is_the_mean_over_seeds_that_trained_to_the_end() -> None:
    score = score_of(
        result(member(success=1.0, fitness=2.0), member(success=0.0, fitness=4.0), member("diverged", 1.0))
    )
    assert score == (0.5, 3.0)
    assert component_means(result(member(fitness=2.0), member(fitness=4.0), member("diverged", fitness=99))) == {
        "a": 3.0
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "decision"),
    [
        (([1, 1, 1], [5, 6, 7]), ([0, 0, 0], [9, 9, 9]), ("better", "success")),
        (([0, 0, 0], [5, 6, 7]), ([1, 1, 1], [1, 1, 1]), ("worse", "success")),
        (([1, 1, 1], [5, 6, 7]), ([1, 1, 1], [1, 2, 3]), ("better", "fitness")),
        (([1, 0, 1], [5, 1, 7]), ([1, 0, 0], [1, 6, 3]), ("cannot tell yet", "")),
        (([1, 1], [5, 6]), ([0, 0], [1, 1]), ("cannot tell yet", "")),
        (([1, 1, 1], [1, 1, 1]), ([], []), ("cannot tell yet", "")),
    ],
)
def test_which_is_better(ours, theirs, decision) -> None:
    assert decide(ours, theirs) == decision
    headline = Headline(
        designed_success=ours[0], designed_fitness=ours[1], sparse_success=theirs[0], sparse_fitness=theirs[1]
    )
    assert headline.decision == decision


def test_few_seeds_get_no_interval() -> None:
    assert "no interval" in describe([0.5, 0.7])
    assert describe([]) == "not measured"
    assert "over 3 seeds" in describe([0.1, 0.2, 0.3])


def test_what_is_screened_out_says_why() -> None:
    scores = {"a": 0.5, "b": 0.4, "c": 0.1, "d": None}
    told = Screened(kept=("a", "b"), scores=scores, inconclusive="")
    assert [told.why(id) for id in ("a", "never seen")] == ["", ""]
    assert "by 0.10 on recorded episodes, those kept by 0.40 to 0.50" in told.why("c")
    assert "cannot be compared" in told.why("d")
    none = Screened(kept=("a",), scores=dict.fromkeys("ab"), inconclusive="all episodes score the same")
    assert none.why("b").endswith("(all episodes score the same), so those that differ most were")
