"""The live table and what replaces it: questions, advice and tables at the end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rewardsmith.analyze.report.headline import headline_view
from rewardsmith.budget import Spent
from rewardsmith.cli import live, show
from rewardsmith.cli.goal import goal_file, read_goal_file
from rewardsmith.cli.show import advice_on
from rewardsmith.config import DesignConfig
from rewardsmith.loop.events import CandidateChanged, PointMeasured, RoundStarted
from rewardsmith.loop.goal import GoalAnswer, GoalProposal
from rewardsmith.loop.report import report_data
from rewardsmith.loop.summary import Candidate, Headline, RunSummary
from rewardsmith.store import RunFolder
from rewardsmith.types import Analysis, CandidateState, CurvePoint, EnvSpec, MemberResult, Proposal, TrainingResult
from tests.helpers.results import kept_of


def test_a_log_tells_each_state_once_and_training_once_a_minute(monkeypatch) -> None:
    out, now = io.StringIO(), [0.0]
    monkeypatch.setattr(live, "progress", Console(file=out, force_terminal=False, width=200))
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])

    def measure(id: str, steps: int, *success: float) -> None:
        for seed, s in enumerate(success):
            view(
                PointMeasured(
                    id, seed, CurvePoint(env_steps=steps, fitness=s + 1, success=s, episode_length=1, episodes=1)
                )
            )

    with live.LiveView() as view:
        view(RoundStarted("round 1 of 1"))
        for state in (CandidateState.TRAINING, CandidateState.TRAINING):
            for id in "ab":
                view(CandidateChanged(id, state))
        for steps in range(100, 1000, 100):
            measure("a", steps, 0.0, 0.5)
            measure("b", steps, 0.0)
        now[0] = 61
        measure("a", 1000, 0.25, 0.75)
        measure("b", 1000, 0.0)
        view(CandidateChanged("a", CandidateState.ACCEPTED))
        view(CandidateChanged("b", CandidateState.DROPPED, "2nd of 2"))
        view(RoundStarted("final: fresh seeds"))
        measure("a", 1000, 1.0)
    assert out.getvalue().splitlines() == [
        "--- round 1 of 1",
        "a: training",
        "b: training",
        "a leads: success 0.25 (0 to 0.5), fitness 1.25 (1 to 1.5) at 900 env steps; 1 more in training",
        "a: accepted - success 0.5 (0.25 to 0.75), fitness 1.5 (1.25 to 1.75) at 1,000 env steps",
        "b: dropped - 2nd of 2",
        "--- final: fresh seeds",
        "a: success 1, fitness 2 at 1,000 env steps",
    ]


def test_the_table_is_out_of_the_way_while_a_question_is_asked(monkeypatch) -> None:
    monkeypatch.setattr(live, "progress", Console(file=io.StringIO(), force_terminal=True))
    answer, running = GoalAnswer(accepted=True), []
    with live.LiveView() as view:

        def ask(proposal: GoalProposal) -> GoalAnswer:
            running.append(view._live is not None and view._live.is_started)
            return answer

        assert view.asking(ask)(GoalProposal("about", "code", (), ())) is answer
        assert running == [False]
        assert view._live is not None and view._live.is_started


def test_an_edited_goal_brings_its_description_along() -> None:
    file = goal_file("Success: upright.\nProgress: seconds.", "def step(obs):\n    # a comment\n    return {}\n")
    assert file.startswith("# Success: upright.\n# Progress: seconds.\n\ndef step")
    about, code = read_goal_file(file.replace("seconds", "share of the time"))
    assert about == "Success: upright.\nProgress: share of the time."
    assert code == "def step(obs):\n    # a comment\n    return {}\n"
    assert read_goal_file("def step(): pass") == ("", "def step(): pass\n")


def trained(*success: float, reward: tuple[float, float] = (0.0, 0.0), knows_success: bool = True) -> Candidate:
    points = [
        CurvePoint(
            env_steps=1000 * (i + 1),
            fitness=s,
            success=s,
            episode_length=9,
            episodes=16,
            reward=reward[0] if i == 0 else reward[1],
        )
        for i, s in enumerate(success)
    ]
    member = MemberResult(
        candidate="a", seed=0, state="trained", env_steps=3000, wall_s=1, curve=tuple(points), kept=kept_of(points)
    )
    return Candidate(
        proposal=Proposal(id="a", round=1, sample=0, code="x", origin="model"),
        training=TrainingResult(candidate="a", members=(member,)),
        analysis=Analysis(candidate="a", reflection="", has_success=knows_success),
    )


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (trained(0, 0, 0), ["No evaluated episode", "more env"]),
        (trained(0, 1, 0, reward=(0.1, 0.2)), ["1.00 at 2,000", "its own reward rose", "best policy was kept"]),
        (trained(0, 1, 0, reward=(0.2, 0.1)), ["1.00 at 2,000", "to 0.00 in the end (0 of 16 episodes). Each"]),
    ],
)
def test_advice_fits_the_curve_and_the_command(candidate, words) -> None:
    for searched in (True, False):
        advice = advice_on(candidate, searched=searched)
        assert all(word in advice for word in words)
        assert ("--rounds" in advice) == searched  # `train` has no such option


def test_no_advice_where_there_is_nothing_to_say() -> None:
    assert advice_on(trained(0, 1, 0.9)) == ""
    assert advice_on(trained(0, 0.125, 0)) == ""  # 2 of 16 episodes and none may be chance
    assert advice_on(trained(0, 0, 0, knows_success=False)) == ""
    assert advice_on(trained().model_copy(update={"training": None})) == ""


@pytest.mark.parametrize(
    ("success", "knows_success", "on_the_terminal", "in_the_report"),
    [
        (0.0, True, "No episode with the designed reward succeeded.", ("success", "open")),
        (0.0, False, "not defined", ("fitness", "good")),
        (1.0, True, "beats the sparse one on success", ("success", "good")),
    ],
)
def test_a_win_without_success_is_no_triumph(
    success, knows_success, on_the_terminal, in_the_report, tmp_path, monkeypatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(show, "results", Console(file=out, width=120))
    folder = RunFolder.create(tmp_path, {}, env="pendulum")
    run = RunSummary(
        id=folder.id,
        root=folder.root,
        config=DesignConfig(env=EnvSpec(name="pendulum")),
        task=None,
        finished=True,
        candidates=(trained(0, knows_success=knows_success),),
        feedbacks=(),
        best="a",
        headline=Headline(
            designed_success=(success,) * 3,
            designed_fitness=(9.0, 9.0, 8.0),
            sparse_success=(0.0,) * 3,
            sparse_fitness=(1.0, 2.0, 1.0),
        ),
        final={},
        spent=Spent(),
        wall_s=1.0,
    )
    show.show_headline(run)
    assert on_the_terminal in out.getvalue()
    headline = report_data(run).headline
    assert headline is not None
    view = headline_view(headline)
    assert (view.measure, view.tone) == in_the_report
    assert view.tiles[0].second == ("" if not knows_success else "fitness 8.67, 95 % interval 8 to 9")


def test_seeds_that_join_late_do_not_lower_a_finalists_score(monkeypatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(live, "progress", Console(file=out, force_terminal=True, width=120))
    with live.LiveView() as view:
        for seed, steps, success in ((0, 900, 0.75), (1, 900, 0.25), (2, 100, 0.0)):
            point = CurvePoint(env_steps=steps, fitness=0, success=success, episode_length=1, episodes=1)
            view(PointMeasured("a", seed, point))
        cells = [list(column.cells) for column in view._table().columns]
    assert cells[2] == ["0.5 (0.25 to 0.75)"]
    assert cells[4] == ["1,900"]
