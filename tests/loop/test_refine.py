"""Refining a run: a wish becomes a check, what was there is carried over, and success asks for both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import rewardsmith
from rewardsmith.analyze.report import ReportHeadline, Scores
from rewardsmith.analyze.report.headline import verdict_of
from rewardsmith.errors import EnvironmentFault, RunError, UsageError
from rewardsmith.loop import parts, steps
from rewardsmith.loop.goal import GoalAnswer, GoalProposal
from rewardsmith.loop.refining import plan_refinement, refine_run, refined_config
from rewardsmith.loop.summary import START, RunSummary, load_run
from rewardsmith.store import RunFolder, list_runs
from rewardsmith.train import train_population
from rewardsmith.types import CandidateState, Check, Goal, TrainingResult
from tests.helpers.model_server import ModelServer
from tests.loop.conftest import EngineHere
from tests.loop.runs import GOAL, HEIGHT, SPEED, asking, reply, tiny_config

pytestmark = pytest.mark.slow

WISH, SECOND = "never rush", "stay on the left"


def check(success: str) -> str:
    """A model's reply with a check of the speed or the position."""
    return (
        f"Success: {success}.\nProgress: how nearly.\n\n```python\ndef step(obs, action, next_obs):\n"
        '    return {"speed": next_obs["velocity"].abs(), "position": next_obs["position"]}\n\n\n'
        f"def episode(total, last, low, high, length):\n    return {success}, -high['speed']\n```\n"
    )


SLOW = check('high["speed"] < 0.04')
LEFT = check('high["position"] < 0.1')
SLOWER = reply('next_obs["velocity"].abs() - 3 * torch.relu(next_obs["velocity"].abs() - 0.02)', "speed")
CHECK_FILE = (
    '"""Never faster than 0.04."""\n\n'
    'def step(features, previous):\n    return {"speed": features["velocity"].abs()}\n\n'
    'def episode(sums, last, high):\n    return -high["speed"], high["speed"] < 0.04\n'
)


class Refined(NamedTuple):
    before: RunSummary
    run: RunSummary
    proposals: list[GoalProposal]
    prompts: list[list[dict]]  # of the refining run


@pytest.fixture(scope="module", autouse=True)
def _small(one_jail) -> Iterator[None]:
    """Training in this process, and few recorded episodes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "LocalEngine", EngineHere)
        patch.setattr(parts, "BANK_TRANSITIONS", 3000)
        patch.setenv("OPENAI_API_KEY", "test-key")
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory, _small) -> RunSummary:
    """A run with a goal that the model wrote."""
    with ModelServer([GOAL, SPEED]) as server:
        config = asking(server.url, words="get past 0.2 m", candidates=1)
        return rewardsmith.design_reward(config, runs=tmp_path_factory.mktemp("base"))


def goal_of(run: RunSummary) -> Goal:
    assert run.task is not None
    return run.task.goal


def refine(before: RunSummary, runs: Path, script: list[str], wish: str = WISH, **options) -> Refined:
    proposals: list[GoalProposal] = []

    def accept(proposal: GoalProposal) -> GoalAnswer:
        proposals.append(proposal)
        return GoalAnswer(accepted=True)

    with ModelServer(script) as server:
        model = {"llm": "tiny", "base_url": server.url}
        run = refine_run(before.root, wish, runs=runs, approve_goal=accept, model=model, **options)
        return Refined(before, run, proposals, [request["messages"] for request in server.requests])


@pytest.fixture(scope="module")
def refined(base, tmp_path_factory) -> Refined:
    """That run with a wish, and the comparison on a fresh seed, which the change is made to win."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "pick_best", lambda results, **_: "r1s1" if results else None)
        return refine(base, tmp_path_factory.mktemp("refined"), [SLOW, SLOWER], candidates=1, final_seeds=1)


def test_the_first_prompt_has_the_wish_the_start_and_what_was_seen(refined) -> None:
    asked_for_check, *designing = refined.prompts
    assert "get past 0.2 m" in asked_for_check[0]["content"] and WISH in asked_for_check[0]["content"]
    assert "compute_reward" not in json.dumps(asked_for_check), "a check never sees a reward"
    (messages,) = designing
    start, told = messages[-2]["content"], messages[-1]["content"]
    assert refined.before.best_path.read_text().strip() in start
    best = refined.before.candidate(refined.before.best)
    assert best.analysis.reflection in told
    assert f"The person also asks: {WISH} (met when: " in told
    assert "Keep the structure of the reward above: do not start over" in told
    everything = json.dumps(messages)
    assert "def episode" not in everything and "def step" not in everything


def test_the_person_is_asked_about_the_check_alone(refined) -> None:
    (proposal,) = refined.proposals
    assert proposal.wish == WISH
    assert proposal.about.startswith('Success: high["speed"] < 0.04')
    assert proposal.best[0].success == 1.0, "random cars are slow"


def test_the_goal_is_carried_over_as_it_was(refined) -> None:
    before, after = goal_of(refined.before), goal_of(refined.run)
    assert after.model_copy(update={"checks": ()}).digest == before.digest
    for file in ("goal.py", "goal.graph.json"):
        assert (refined.run.root / file).read_bytes() == (refined.before.root / file).read_bytes()
    (made,) = after.checks
    assert (made.wish, made.about) == (WISH, 'high["speed"] < 0.04.')
    assert (refined.run.root / "check-1.py").read_text() == made.code
    assert refined.before.root.name == refined.run.config.refines
    assert load_run(refined.before.root) == refined.before, "nothing of it was changed"


def test_start_and_winner_stand_side_by_side_on_the_same_fresh_seeds(refined) -> None:
    run = refined.run
    assert [c.id for c in run.candidates] == [START, "r1s1"]
    assert list(run.wishes) == [START, "r1s1"] and set(run.final) == {START, "r1s1"}
    for met in run.wishes.values():
        assert met.episodes == 4
        assert met.success <= met.shares[WISH]
    for candidate in run.candidates:
        assert any(f"meet the wish {WISH!r}" in line for line in candidate.analysis.observations)
    report = (run.root / "report.html").read_text()
    assert f"refines {refined.before.id}" in report and WISH in report
    headline = run.headline
    assert headline.reference == START and len(headline.start_success) == 1
    assert "Start reward" in report and "no sparse reference" not in report


def test_wishes_accumulate_and_carried_checks_are_the_same(refined, tmp_path) -> None:
    again = refine(refined.run, tmp_path, [LEFT, HEIGHT], SECOND, candidates=1, final_seeds=0)
    assert again.run.config.wishes == (WISH, SECOND)
    first, second = goal_of(again.run).checks
    assert first.digest == goal_of(refined.run).checks[0].digest
    assert (again.run.root / first.path).read_bytes() == (refined.run.root / "check-1.graph.json").read_bytes()
    assert second.wish == SECOND
    assert len(again.prompts) == 2, "only the new check was written"
    assert WISH in again.prompts[1][-1]["content"] and SECOND in again.prompts[1][-1]["content"]
    asked = again.run.spent.calls
    resumed = rewardsmith.resume_run(again.run.root)
    assert resumed.spent.calls == asked and resumed.task == again.run.task


def test_the_verdict_names_the_start_reward() -> None:
    high, low = Scores(success=(0.9, 0.95, 1.0)), Scores(success=(0.0, 0.05, 0.1))
    assert verdict_of(ReportHeadline(designed=high, start=low)) == (
        "The designed reward beats the start one on success.",
        "good",
    )
    assert verdict_of(ReportHeadline(designed=low, start=high, sparse=low))[1] == "bad"


# --- without a language model ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built_in(tmp_path_factory, _small) -> RunSummary:
    """A run of `builtin` on the pack's own task."""
    return rewardsmith.design_reward(tiny_config(candidates=1), runs=tmp_path_factory.mktemp("built-in"))


def test_a_dry_run_asks_for_the_same_check_and_makes_no_run(refined, base, tmp_path, monkeypatch) -> None:
    plan = plan_refinement(base.root, WISH, runs=tmp_path, candidates=3, rounds=2)
    (check_name, check_prompt), (_, first) = plan.prompts
    assert check_name == f"check of {WISH!r}"
    assert refined.prompts[0][-1]["content"] in check_prompt
    assert refined.prompts[1][-2]["content"] in first and WISH in first, "the reward that it starts from"
    assert plan.model_calls == (1 + 6, 4 + 6 * (1 + base.config.repairs))
    assert plan.steps_are.startswith("7 candidates x ")
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another-user"))
    with pytest.raises(UsageError, match="refine would use the model"):
        plan_refinement(base.root, WISH, runs=tmp_path)


def test_a_check_file_works_without_any_model(built_in, tmp_path, monkeypatch) -> None:
    file = tmp_path / "slow.py"
    file.write_text(CHECK_FILE)
    run = refine_run(built_in.root, f"  {WISH} ", check=file, runs=tmp_path, candidates=1)
    plan = plan_refinement(built_in.root, WISH, check=file, candidates=1)
    assert plan.prompts == () and run.spent.env_steps <= plan.env_steps
    (made,) = goal_of(run).checks
    assert (made.kind, made.path, made.wish, made.about) == ("metric_file", str(file), WISH, "Never faster than 0.04.")
    assert goal_of(run).task == "reach_flag"
    assert run.candidates[1].proposal.parents == (START,)
    assert set(run.wishes) == {START, run.best}, "from the search, where no fresh seeds were trained"
    assert "sparse" not in {c.parent.name for c in run.root.glob("candidates/*/reward.py")}
    assert run.config.training == built_in.config.training
    file.write_text("1 / 0\n")  # and the check stays named in run.json, which alone is known to be this user's
    with pytest.raises(UsageError, match=r"slow\.py"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another-user"))
        rewardsmith.resume_run(run.root)


def test_the_start_is_never_dropped_and_stays_the_best_when_no_change_meets_the_wish(
    built_in, tmp_path, monkeypatch
) -> None:
    spared: list[list[str]] = []

    def told(*args, **options) -> dict[str, TrainingResult]:
        spared.append(list(options["spared"]))
        return train_population(*args, **options)

    monkeypatch.setattr(parts, "train_population", told)
    file = tmp_path / "slow.py"
    file.write_text(CHECK_FILE.replace("< 0.04\n", "< -1\n"))
    training = {"evaluations": 4}
    run = refine_run(built_in.root, WISH, check=file, runs=tmp_path, candidates=3, racing=True, training=training)
    start, *changes = run.candidates
    assert spared == [[START]]
    assert {m.state for m in start.training.members} == {"trained"}
    assert any(c.state == CandidateState.DROPPED for c in changes)
    trained = [c for c in changes if c.score]
    assert {c.score[0] for c in (start, *trained)} == {0.0}
    assert max(c.score for c in trained) > start.score, "one is fitter, and meets the wish no more than it"
    assert run.best == START and run.unchanged


def test_a_check_that_only_the_journal_names_needs_consent(built_in, tmp_path) -> None:
    folder = RunFolder.create(tmp_path, built_in.config.model_dump(mode="json"), env="x")
    evil = Check(kind="metric_file", path=str(tmp_path / "evil.py"), wish="run this")
    with folder.journal() as journal:
        goal = Goal(kind="pack", task="reach_flag", checks=(evil,))
        journal.put("task", built_in.task.model_copy(update={"goal": goal}).model_dump(mode="json"))
    with pytest.raises(UsageError, match=r"evil\.py"):
        rewardsmith.resume_run(folder.root)


@pytest.mark.parametrize(
    ("wish", "file", "says"),
    [
        (WISH, None, "not a language model"),
        ("  ", CHECK_FILE, "no wish"),
        (WISH, CHECK_FILE.replace("previous", "previous, native_reward"), "native_reward"),
        (WISH, SLOW.split("```python\n")[1].split("```")[0], "unknown parameter 'next_obs'.*\n.*another form"),
    ],
)
def test_what_cannot_be_checked_is_refused_before_a_run_is_made(built_in, tmp_path, wish, file, says) -> None:
    path = None
    if file is not None:
        path = tmp_path / "check.py"
        path.write_text(file)
    with pytest.raises((UsageError, EnvironmentFault), match=says):
        refine_run(built_in.root, wish, check=path, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_check_that_fails_on_recorded_episodes_leaves_no_run(built_in, tmp_path) -> None:
    path = tmp_path / "check.py"
    path.write_text(CHECK_FILE.replace("velocity", "gone"))
    with pytest.raises(EnvironmentFault, match=r"check.py, line 4: .*'gone'"):
        refine_run(built_in.root, WISH, check=path, runs=tmp_path / "runs")
    assert list_runs(tmp_path / "runs") == []


def test_a_wish_is_made_once_and_a_run_without_a_best_reward_cannot_be_refined(refined, tmp_path) -> None:
    with pytest.raises(UsageError, match="before"):
        refined_config(refined.run, WISH)
    with pytest.raises(UsageError, match="no trained reward"):
        refined_config(refined.run.model_copy(update={"best": None}), SECOND)


def test_somebody_elses_run_needs_trust(base, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another-user"))
    with pytest.raises(UsageError, match="refine would use the model") as error:
        refine_run(base.root, WISH, runs=tmp_path / "runs")
    assert "refine --trust" in error.value.hint


def test_settings_are_those_of_the_run_but_for_what_is_given(refined) -> None:
    before = refined.run.config
    same = refined_config(refined.run, SECOND)
    assert (same.model, same.training, same.seeds) == (before.model, before.training, before.seeds)
    assert (same.method, same.candidates, same.rounds) == ("refine", 6, 1)
    given = {"model": {"llm": "other", "base_url": None}, "training": {"env_steps": 2048}, "budget": {"tokens": 5}}
    changed = refined_config(refined.run, SECOND, seeds=3, rounds=2, **given)
    assert (changed.model.llm, changed.model.base_url) == ("other", before.model.base_url)
    assert changed.training == {**before.training, "env_steps": 2048}
    assert (changed.seeds, changed.rounds, changed.budget.tokens) == (3, 2, 5)


def test_a_run_ended_before_it_took_anything_over_says_what_to_do(refined, tmp_path) -> None:
    folder = RunFolder.create(tmp_path, refined.run.config.model_dump(mode="json"), env="x")
    with pytest.raises(RunError, match="had taken over") as error:
        rewardsmith.resume_run(folder.root)
    assert refined.before.id in error.value.hint


def test_a_check_that_is_turned_down_trains_nothing_and_is_asked_about_again(base, tmp_path) -> None:
    def no(proposal: GoalProposal) -> GoalAnswer:
        return GoalAnswer(accepted=False)

    with ModelServer([SLOW]) as server:
        model = {"llm": "tiny", "base_url": server.url}
        for _ in range(2):
            with pytest.raises(UsageError, match="the check was turned down") as error:
                if not tmp_path.joinpath("runs").exists():
                    refine_run(base.root, WISH, runs=tmp_path / "runs", approve_goal=no, model=model)
                rewardsmith.resume_run("latest", runs=tmp_path / "runs", approve_goal=no)
            assert "--check FILE" in error.value.hint
        assert len(server.requests) == 1, "the model's reply is a record"
