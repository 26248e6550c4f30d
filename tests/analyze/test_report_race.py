"""The chart of a race: who was dropped when and why."""

from __future__ import annotations

import re

import pytest

from rewardsmith.analyze.report import ReportCandidate, ReportData
from rewardsmith.analyze.report.race import Racer, race_chart
from rewardsmith.train import RacingConfig
from rewardsmith.train.racing import judge
from rewardsmith.types import CandidateState, TrainingResult
from tests.analyze.test_report import HOSTILE, bare, checked
from tests.train.test_racing import member


def race(fitness: dict[str, float], *, rungs: tuple[int, ...] = (100, 200), end: int = 400) -> list[TrainingResult]:
    """A race decided by sharply known fitness: half go on at each rung, finalists end with two more seeds."""
    running, standings, members = dict(fitness), {c: [] for c in fitness}, {}
    for steps in rungs:
        field = {c: [member(c, s, [(0.0, f)] * 4, steps=steps) for s in (0, 1)] for c, f in running.items()}
        for c, standing in judge(field, RacingConfig(at_most=0.5)).items():
            standings[c].append(standing)
            if not standing.kept:
                members[c] = [m.model_copy(update={"state": "dropped"}) for m in field[c]]
                del running[c]
    members |= {c: [member(c, s, [(0.0, f)] * 4, steps=end) for s in range(4)] for c, f in running.items()}
    return [TrainingResult(candidate=c, members=tuple(members[c]), race=tuple(standings[c])) for c in fitness]


def reported(results: list[TrainingResult], best: str) -> ReportData:
    def state(result: TrainingResult) -> CandidateState:
        if result.candidate == best:
            return CandidateState.ACCEPTED
        return CandidateState.OUTSCORED if result.final_scores else CandidateState.DROPPED

    candidates = tuple(
        ReportCandidate(id=r.candidate, round=1, state=state(r), origin="builtin", members=r.members, race=r.race)
        for r in results
    )
    return bare(candidates=candidates, best=best)


def racers(results: list[TrainingResult]) -> list[Racer]:
    return [Racer(r.candidate, False, "outscored", r.members, r.race) for r in results]


FITNESS = {"a": 1.0, "b": 7.0, "c": 3.0, "d": 8.0, "e": 2.0, "f": 5.0, "g": 6.0, "h": 4.0}


def test_it_shows_who_was_dropped_when_and_why() -> None:
    page = checked(reported(race(FITNESS), best="d"))
    assert "Who was dropped when, and why" in page.words
    for expected in (
        "100 env steps",
        "200 env steps",
        "the end, 400 env steps",
        "fitness, 2 seeds",
        "fitness, 4 seeds",
    ):
        assert expected in page.words, expected
    assert page.words.count("a: 8th of 8 at 100 env steps: fitness 1 [1, 1] against 5 [5, 5] of f at the cut") == 1
    assert "3rd of 4 at 200 env steps" in page.words  # also in the candidate's own place
    assert "dropped after" not in page.words  # said once, with its reason
    assert "trained more seeds of the finalists" in page.words


def test_more_seeds_of_the_finalists_are_told_only_where_they_trained_some() -> None:
    results = [r.model_copy(update={"members": r.members[:2]}) for r in race(FITNESS)]
    page = checked(reported(results, best="d"))
    assert "Who was dropped when, and why" in page.words and "more seeds" not in page.words


def test_rows_are_sorted_by_how_far_they_came() -> None:
    svg = str(race_chart(racers(race(FITNESS)), title="race"))
    names = re.findall(r'class="rowname"[^>]*><title>(\w)</title>', svg)
    assert names == list("dbgfhcea")
    assert svg.count('class="cross"') == 6
    assert len(re.findall(r'class="seed plain"', svg)) == 2 + 4 + 2
    assert svg.count('class="cut"') == 2
    assert svg.count(">dropped<") == 6


def test_without_a_race_there_is_no_chart() -> None:
    results = [r.model_copy(update={"race": ()}) for r in race(FITNESS)]
    assert race_chart(racers(results), title="race") == ""
    assert race_chart([], title="race") == ""
    assert "Who was dropped when, and why" not in checked(reported(results, best="d")).words


def test_a_race_that_nobody_finished_is_drawn_as_far_as_it_went() -> None:
    lost = [
        r.model_copy(update={"members": tuple(m.model_copy(update={"state": "diverged"}) for m in r.members)})
        for r in race({"a": 1.0, "b": 2.0})
    ]
    svg = str(race_chart(racers(lost), title="race"))
    assert "the end" not in svg
    assert svg.count('class="cross"') == 1


@pytest.mark.parametrize("value", [1e300, -1e300, 0.0, 1e-300])
def test_absurd_scores_do_not_break_it(value: float) -> None:
    checked(reported(race({"a": value, "b": 1.0, "c": value, "d": 2.0}), best="d"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text(text: str) -> None:
    checked(reported(race({text: 1.0, f"{text} 2": 2.0, "c": 3.0, "d": 4.0}), best="d"))


def test_a_measure_that_the_column_does_not_show_is_named() -> None:
    """Success decides about one of them, fitness about the other."""
    scores = {"top": (1.0, 9.0), "cut": (0.5, 5.0), "tied": (0.5, 1.0), "none": (0.0, 8.0)}
    field = {c: [member(c, s, [score] * 4) for s in (0, 1)] for c, score in scores.items()}
    judged = judge(field, RacingConfig(at_most=0.5))
    states = {c: "trained" if s.kept else "dropped" for c, s in judged.items()}
    members = {c: [m.model_copy(update={"state": states[c]}) for m in ms] for c, ms in field.items()}
    svg = str(race_chart([Racer(c, False, "", members[c], [s]) for c, s in judged.items()], title="race"))
    assert "fitness where success ties" in svg
    assert ">dropped<" in svg and ">dropped on success<" in svg
