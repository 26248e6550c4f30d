"""Whole runs, small: a real environment, a real HTTP model server, a real jail and real training.

Where a test is about something else, training happens in this process; elsewhere in processes of its own, as ever.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import pytest

import rewardsmith
from rewardsmith.bank import Bank
from rewardsmith.budget import BudgetLimits
from rewardsmith.config import ModelConfig
from rewardsmith.envs import resolve_env
from rewardsmith.errors import (
    BudgetSpent,
    EnvironmentFault,
    ModelServerError,
    NothingAcceptable,
    RewardRefused,
    UsageError,
)
from rewardsmith.loop.driver import _tell_budget
from rewardsmith.loop.events import Event, PointMeasured, Said
from rewardsmith.loop.goal import GoalAnswer
from rewardsmith.loop.played import EPISODES
from rewardsmith.loop.summary import RunSummary, load_run
from rewardsmith.resources import resource_root
from rewardsmith.store import RunFolder, list_runs
from rewardsmith.train import PpoConfig
from rewardsmith.types import CandidateState
from tests.helpers.model_server import Fault, ModelServer
from tests.loop.runs import FORBIDDEN, GOAL, HEIGHT, SPEED, asking, reply, tiny_config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_jail")]


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "test-key")
        yield


class Finished(NamedTuple):
    run: RunSummary
    events: list[Event]
    server: ModelServer  # still there


@pytest.fixture(scope="module")
def finished(tmp_path_factory, key) -> Iterator[Finished]:
    """A run that asked a model for two rewards."""
    events: list[Event] = []
    with ModelServer([SPEED, HEIGHT]) as server:
        run = rewardsmith.design_reward(asking(server.url), runs=tmp_path_factory.mktemp("runs"), observe=events.append)
        yield Finished(run, events, server)


def by_sample(*replies: str):
    """A script that answers by content, whatever the order in which concurrent requests arrive."""
    answers = list(replies)
    return [lambda request: answers.pop(0)] * len(answers)


def test_a_model_designs_and_resume_asks_nothing_again(finished) -> None:
    run = finished.run
    asked = len(finished.server.requests)
    again = rewardsmith.resume_run(run.root)
    assert len(finished.server.requests) == asked == 2
    assert {c.state for c in run.candidates} == {CandidateState.ACCEPTED, CandidateState.OUTSCORED}
    assert again.candidates == run.candidates
    assert again.best == run.best
    assert run.best_path.read_text().startswith("def compute_reward")
    assert (run.root / "report.html").read_text().count("<script") == 0
    assert any(isinstance(e, PointMeasured) for e in finished.events)
    assert run.spent.calls == 2
    assert run.spent.tokens == 36
    assert run.spent.env_steps > 2 * 1024


def test_a_finished_run_is_resumed_without_a_jail(finished, monkeypatch) -> None:
    monkeypatch.setattr("rewardsmith.loop.parts.reward_jail", lambda **_: pytest.fail("there is nothing to check"))
    assert rewardsmith.resume_run(finished.run.root).candidates == finished.run.candidates


@pytest.mark.usefixtures("training_here")
def test_the_cassette_of_a_run_replays_it_without_a_server(finished, tmp_path) -> None:
    first = finished.run
    model = ModelConfig(llm=f"replay:{first.root / 'cassette.jsonl'}", strict_replay=True)
    second = rewardsmith.design_reward(tiny_config(model=model), runs=tmp_path)
    assert [c.proposal for c in second.candidates] == [c.proposal for c in first.candidates]
    assert [c.score for c in second.candidates] == [c.score for c in first.candidates]
    report = (second.root / "report.html").read_text()
    assert "recorded" in report
    assert "replay:cassette.jsonl" in report
    assert str(first.root.parent) not in report
    assert str(tmp_path) not in report


@pytest.mark.usefixtures("training_here")
def test_a_refused_reward_goes_back_with_its_findings_and_is_repaired(tmp_path) -> None:
    with ModelServer([FORBIDDEN, SPEED]) as server:
        run = rewardsmith.design_reward(asking(server.url, candidates=1), runs=tmp_path)
        told = server.requests[1]["messages"][-1]["content"]
    assert [(c.id, c.state) for c in run.candidates] == [
        ("r1s0", CandidateState.REFUSED),
        ("r1s0f1", CandidateState.ACCEPTED),
    ]
    assert "__import__" in told


OBJECTION = (
    '{"verdict": "revise", "problems": [{"line": 2, "problem": "it pays for any speed", "fix": "pay for height"}]}'
)
NO_OBJECTION = '{"verdict": "pass", "problems": []}'


@pytest.mark.usefixtures("training_here")
def test_a_reviewer_sends_an_accepted_reward_back(tmp_path) -> None:
    with ModelServer([SPEED, OBJECTION, HEIGHT, NO_OBJECTION]) as server:
        run = rewardsmith.design_reward(asking(server.url, candidates=1, review_rounds=3), runs=tmp_path)
        assert "it pays for any speed" in server.requests[2]["messages"][-1]["content"]
        rewardsmith.resume_run(run.root)
        assert len(server.requests) == 4
    assert [(c.id, c.state) for c in run.candidates] == [
        ("r1s0", CandidateState.REFUSED),
        ("r1s0f1", CandidateState.ACCEPTED),
    ]
    assert run.candidates[0].verdict.findings[0].id == "review.problem"
    assert run.candidates[0].training is None
    assert run.spent.calls == 4


@pytest.mark.usefixtures("training_here")
def test_a_reviewer_never_makes_up_for_a_refusal(tmp_path) -> None:
    """What it says of accepted code cannot bring in code that the critic refuses: the accepted one trains, warned."""
    with ModelServer([SPEED, OBJECTION, FORBIDDEN]) as server:
        run = rewardsmith.design_reward(asking(server.url, candidates=1, review_rounds=3), runs=tmp_path)
    assert [(c.id, c.state) for c in run.candidates] == [
        ("r1s0", CandidateState.ACCEPTED),
        ("r1s0f1", CandidateState.REFUSED),
    ]
    assert [f.severity for f in run.candidates[0].verdict.findings if f.id == "review.problem"] == ["warn"]


def test_a_review_needs_a_language_model(tmp_path) -> None:
    with pytest.raises(UsageError, match="builtin"):
        rewardsmith.design_reward(tiny_config(review_rounds=1), runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_second_round_sees_the_best_so_far_and_never_the_metrics_code(tmp_path) -> None:
    with ModelServer([SPEED, HEIGHT, reply('next_obs["position"]', "far")]) as server:
        run = rewardsmith.design_reward(asking(server.url, method="eureka", rounds=2, seeds=2), runs=tmp_path)
        prompts = json.dumps([r["messages"] for r in server.requests])
        last = server.requests[2]["messages"]
    best_of_first = max((c for c in run.candidates if c.proposal.round == 1), key=lambda c: c.score)
    assert best_of_first.proposal.code in last[-2]["content"]
    assert "def episode(sums" not in prompts
    assert "metric.py" not in prompts


def test_the_critic_of_the_second_round_has_seen_what_the_first_rounds_policies_do(tmp_path) -> None:
    with ModelServer([SPEED, HEIGHT]) as server:
        run = rewardsmith.design_reward(asking(server.url, rounds=2, candidates=1), runs=tmp_path)
    bank = Bank.load(run.root / "bank.round-1.npz", resolve_env(run.config.env.name).interface)
    assert bank.policy == "r1s0 seed 0"
    assert bank.episodes == EPISODES
    assert not (run.root / "bank.round-2.npz").exists(), "nobody would look at it"
    again = rewardsmith.resume_run(run.root)
    assert again.spent == run.spent
    assert again.candidates == run.candidates


@pytest.mark.usefixtures("training_here")
def test_words_without_a_metric_get_a_goal_that_a_person_accepts(tmp_path) -> None:
    seen = []

    def accept(proposal):
        seen.append(proposal)
        return GoalAnswer(accepted=True)

    with ModelServer([GOAL, SPEED, HEIGHT]) as server:
        config = asking(server.url, words="get to 0.2 m, no further")
        run = rewardsmith.design_reward(config, runs=tmp_path, approve_goal=accept)
        reward_prompts = json.dumps([r["messages"] for r in server.requests[1:]])
    assert run.task.goal.kind == "model"
    assert (run.root / "goal.py").read_text() == run.task.goal.code
    assert seen[0].best[0].progress >= seen[0].worst[0].progress
    assert 'high["position"]' not in reward_prompts, "the goal's code must not reach the reward designer"
    assert run.best is not None


def test_a_goal_that_is_turned_down_trains_nothing(tmp_path) -> None:
    with ModelServer([GOAL]) as server, pytest.raises(UsageError, match="turned down"):
        rewardsmith.design_reward(
            asking(server.url, words="something else"), runs=tmp_path, approve_goal=lambda p: GoalAnswer(accepted=False)
        )
    assert load_run("latest", runs=tmp_path).candidates == ()


@pytest.mark.usefixtures("training_here")
def test_ones_own_reward_is_the_first_candidate(tmp_path) -> None:
    code = HEIGHT.split("```python\n")[1].split("```")[0]
    with ModelServer([SPEED]) as server:
        run = rewardsmith.design_reward(asking(server.url, from_reward=code), runs=tmp_path)
    assert run.candidates[0].proposal.origin == "file"
    assert run.candidates[0].proposal.code == code


@pytest.mark.parametrize("broken", ["no code at all", "", "```python\ndef f(:\n```"])
def test_a_model_that_never_writes_a_reward_ends_in_nothing_acceptable(tmp_path, broken) -> None:
    script = [broken or Fault("empty_content")]
    with ModelServer(script) as server, pytest.raises(NothingAcceptable, match="report"):
        rewardsmith.design_reward(asking(server.url, candidates=1, repairs=1), runs=tmp_path)
    run = load_run("latest", runs=tmp_path)
    assert run.candidates[-1].state in (CandidateState.MODEL_FAILED, CandidateState.REFUSED)
    assert (run.root / "report.html").exists()


@pytest.mark.usefixtures("training_here")
def test_a_dead_server_loses_nothing_and_the_run_goes_on_when_it_is_back(tmp_path) -> None:
    with ModelServer([SPEED, Fault("unauthorized")]) as server:
        config = asking(server.url)
        with pytest.raises(ModelServerError):
            rewardsmith.design_reward(config, runs=tmp_path)
        run = load_run("latest", runs=tmp_path)
        assert run.spent.calls == 1
        server.script = [HEIGHT]
        asked = len(server.requests)
        finished = rewardsmith.resume_run(run.root)
        assert len(server.requests) == asked + 1, "the reply that had been recorded must not be asked for again"
    assert finished.finished
    assert finished.best is not None


@pytest.mark.usefixtures("training_here")
def test_a_spent_budget_stops_before_training_and_resumes_with_a_larger_one(tmp_path) -> None:
    with pytest.raises(BudgetSpent, match="env steps"):
        rewardsmith.design_reward(tiny_config(budget={"env_steps": 21_000}), runs=tmp_path)
    run = load_run("latest", runs=tmp_path)
    assert not run.finished
    assert (run.root / "report.html").exists()
    resumed = rewardsmith.resume_run(run.root, budget={"env_steps": 1_000_000})
    assert resumed.finished


def test_training_given_rewards_and_comparing_them(tmp_path) -> None:
    code = SPEED.split("```python\n")[1].split("```")[0]
    comparison = rewardsmith.compare_rewards(
        "mountain_car_continuous",
        {"speed": code, "sparse": "sparse"},
        seeds=2,
        runs=tmp_path,
        training=tiny_config().training,
        workers=1,
        videos=False,
    )
    assert [row.name for row in comparison.rows] == ["speed", "sparse"]
    assert all(len(row.success) == 2 for row in comparison.rows)
    assert comparison.answers == {("speed", "sparse"): "cannot tell yet"}, "two seeds cannot tell"


def test_a_reward_to_start_from_that_is_none_stops_before_anything_is_asked(tmp_path) -> None:
    with ModelServer([SPEED]) as server:
        with pytest.raises(RewardRefused, match="the reward to start from is refused"):
            rewardsmith.design_reward(asking(server.url, from_reward="import os\n"), runs=tmp_path)
        assert server.requests == []
    assert list_runs(tmp_path) == [], "else it would be the latest run"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("sparse.py", "next_obs[", "nxt_obs[", "sparse.py"),
        (
            "metric.py",
            "def step(features, previous):",
            "def step(features, previous):\n    features['gone']\n",
            "KeyError",
        ),
        ("metric.py", "return ", "return 1, ", "of the metric fails"),
    ],
)
def test_mistakes_in_a_packs_files_show_before_anything_is_asked(tmp_path, file, old, new, said) -> None:
    pack = tmp_path / "valley"
    shutil.copytree(resource_root("envs") / "mountain_car_continuous", pack)
    text = (pack / file).read_text()
    assert old in text
    (pack / file).write_text(text.replace(old, new))
    with ModelServer([SPEED]) as server:
        with pytest.raises(EnvironmentFault, match=said):
            rewardsmith.design_reward(asking(server.url, env={"name": str(pack)}, final_seeds=1), runs=tmp_path)
        assert server.requests == []
    assert list_runs(tmp_path) == []


def test_an_environment_that_does_not_exist_asks_no_model(tmp_path) -> None:
    with ModelServer([SPEED]) as server:
        with pytest.raises(EnvironmentFault, match="hoper"):
            rewardsmith.design_reward(asking(server.url, env={"name": "hoper"}), runs=tmp_path)
        assert server.requests == []


def test_a_gpu_that_is_not_there_asks_no_model(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with ModelServer([SPEED]) as server:
        with pytest.raises(EnvironmentFault, match="CUDA"):
            rewardsmith.design_reward(asking(server.url, training={"preset": "gpu"}), runs=tmp_path)
        assert server.requests == []


@pytest.mark.usefixtures("training_here")
def test_a_reward_that_ends_the_process_is_refused_at_last(tmp_path) -> None:
    """What three processes that were killed in the middle of checking it leave behind."""
    deadly, fine = (text.split("```python\n")[1].split("```")[0] for text in (SPEED, HEIGHT))
    config = tiny_config(method="given", rewards={"deadly": deadly, "fine": fine})
    folder = RunFolder.create(tmp_path, config.model_dump(mode="json"), env=config.env.name)
    (folder.candidate("deadly").root / "being_checked").write_text("3")
    run = rewardsmith.resume_run(folder.root)
    first, second = run.candidates
    assert first.verdict is not None and [f.id for f in first.verdict.findings] == ["code.fatal"]
    assert first.state == CandidateState.REFUSED
    assert second.score is not None


@pytest.mark.usefixtures("training_here")
def test_a_run_says_what_it_leaves_out(tmp_path, monkeypatch) -> None:
    from rewardsmith.errors import RewardsmithError
    from rewardsmith.loop import driver

    def broken(*args: object) -> None:
        raise RewardsmithError("no screen")

    monkeypatch.setattr(driver, "film", broken)
    events = []
    run = rewardsmith.design_reward(tiny_config(videos=True), runs=tmp_path, observe=events.append)
    assert run.finished
    assert any(isinstance(e, Said) and "no screen" in e.text for e in events)


@pytest.mark.parametrize(("env_steps", "told"), [(1100, True), (1024, False), (1050, False), (100, True)])
def test_a_budget_that_whole_rollouts_change_noticeably_is_told(env_steps, told) -> None:
    said: list[str] = []
    ppo = PpoConfig(**{**tiny_config().training, "env_steps": env_steps})
    _tell_budget(SimpleNamespace(config=tiny_config(), ppo=ppo, say=said.append))  # type: ignore[arg-type]
    assert bool(said) == told
    assert not told or f"trains {ppo.trained_steps:,} env steps, not {env_steps:,}" in said[0]


def test_the_next_round_is_told_what_the_policies_do_and_the_report_shows_it(tmp_path) -> None:
    with ModelServer([SPEED, HEIGHT, HEIGHT]) as server:
        run = rewardsmith.design_reward(asking(server.url, method="eureka", rounds=2), runs=tmp_path)
        told = server.requests[2]["messages"][-1]["content"]
    best = max((c for c in run.candidates if c.proposal.round == 1), key=lambda c: c.score)
    facts = best.episodes
    assert facts is not None and best.analysis is not None
    assert (
        facts.episodes == EPISODES and facts.policies == 1 and {c.name for c in facts.components} <= {"speed", "climb"}
    )
    assert best.analysis.seen.startswith(f"Seen in {EPISODES} episodes of the trained policy: ")
    assert best.analysis.seen in told
    assert "What its policies do" in (run.root / "report.html").read_text()


def test_without_env_steps_for_it_policies_are_not_looked_at(tmp_path) -> None:
    """A bank of 20,000 and some, 2 x 1,024 steps of training with their evaluations: nothing is left for episodes."""
    whole = rewardsmith.design_reward(tiny_config(), runs=tmp_path)
    assert all(c.episodes for c in whole.candidates if c.training)
    horizon = resolve_env(whole.config.env.name).horizon
    tight = BudgetLimits(env_steps=whole.spent.env_steps - EPISODES * horizon * 2 + 1)
    short = rewardsmith.design_reward(tiny_config(budget=tight), runs=tmp_path)
    assert short.finished and short.best == whole.best
    assert not any(c.episodes or (c.analysis and c.analysis.seen) for c in short.candidates)
