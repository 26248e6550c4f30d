"""ICPL: people, or the metric in their place, say which policies they like, and nothing measured reaches a prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import rewardsmith
from rewardsmith.analyze.preference import Preferred, preferred_before, trace_of
from rewardsmith.clips import load_clip, save_clip
from rewardsmith.config import DesignConfig
from rewardsmith.errors import Interrupted, UsageError
from rewardsmith.loop import steps, voting
from rewardsmith.loop.events import Event, VotesWanted, silent
from rewardsmith.loop.methods import load_method, settings_of
from rewardsmith.loop.outcome import Outcome
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.plan import plan_run
from rewardsmith.loop.refining import carried_from, refined_config
from rewardsmith.loop.tuning import fitted_to_votes, tune
from rewardsmith.loop.voting import judge, verdict
from rewardsmith.prefer.ballots import Ballot
from rewardsmith.prefer.votes import Question, Vote, VoteBook
from rewardsmith.store import RunFolder
from rewardsmith.types import CurvePoint, Kept, MemberResult, Order, Proposal, TrainingResult
from tests.helpers.model_server import ModelServer
from tests.loop.runs import FORBIDDEN, HEIGHT, SPEED, asking, reply, tiny_config

Answer = Callable[[Question], Ballot]

TERMS = [f'torch.exp(-((next_obs["position"] - {0.08 * n - 1.1:.2f}) / 0.05) ** 2)' for n in range(20)]
REWARDS = [reply(term, f"term_{n}") for n, term in enumerate(TERMS)]
ICPL = {"method": "icpl", "candidates": 3, "rounds": 3, "guarantee": True, "repairs": 0}


def rewards_in_order(replies: Sequence[str]) -> Callable[[dict], str]:
    """One model that writes the replies one after the other, and tells differences when it is asked for them."""
    left = iter(replies)

    def answer(request: dict) -> str:
        if "Describe what differs" in request["messages"][-1]["content"]:
            return "- `a` pays for speed, `b` for \u202eheight"
        return next(left)

    return answer


def conversations(server: ModelServer) -> list[str]:
    return sorted(json.dumps(r["messages"]) for r in server.requests)


class People:
    """An observer that votes as soon as votes are wanted."""

    def __init__(self, answer: Answer, raters: Sequence[str] = ("ann",)) -> None:
        self.answer, self.raters = answer, raters
        self.asked: list[Question] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, VotesWanted):
            with VoteBook(event.root / "votes.sqlite") as book:
                question = book.question(event.question)
                self.asked.append(question)
                for rater in self.raters:
                    ballot = self.answer(question).model_copy(update={"rater": rater})
                    book.cast(Vote(question=question.id, ballot=ballot))


def best_worst(question: Question, best: str, worst: str, comment: str = "") -> Ballot:
    return Ballot(rater="ann", form="best_worst", shown=question.items, order=((best,), (worst,)), comment=comment)


def first_and_last(question: Question) -> Ballot:
    return best_worst(question, question.items[0], question.items[-1])


@pytest.fixture(autouse=True)
def quick(monkeypatch, one_jail, training_here) -> None:
    monkeypatch.setattr(voting, "SETTLE_S", 0.0)
    monkeypatch.setattr(voting, "POLL_S", 0.01)


@pytest.fixture
def without_clips(monkeypatch) -> None:
    monkeypatch.setattr(voting, "record_clips", lambda parts, round, results: None)


def test_people_and_the_metric_in_their_place_make_the_same_prompts(tmp_path, without_clips) -> None:
    """So no prompt knows anything of the metric: with people there is none."""
    with ModelServer([rewards_in_order(REWARDS)]) as server:
        config = asking(server.url, **ICPL, feedback="proxy").model_copy(update={"seed": 3})
        config = config.model_copy(update={"model": config.model.model_copy(update={"concurrency": 1})})
        run = rewardsmith.design_reward(config, runs=tmp_path / "proxy")
        by_metric = conversations(server)
    picks = {f"round-{n}": (j.best, j.worst) for n, j in enumerate(run.judgements, 1)}
    assert all(best and worst for best, worst in picks.values())
    people = People(lambda question: best_worst(question, *picks[question.id]))
    with ModelServer([rewards_in_order(REWARDS)]) as server:
        config = config.model_copy(
            update={"model": config.model.model_copy(update={"base_url": server.url}), "feedback": "human"}
        )
        judged = rewardsmith.design_reward(config, runs=tmp_path / "human", observe=people)
        by_people = conversations(server)
    assert by_people == by_metric and len(by_people) >= 9
    told = [prompt.split("## What makes")[-1].replace("How success will be judged: people", "") for prompt in by_metric]
    assert not any(re.search("fitness|success|score", prompt, re.IGNORECASE) for prompt in told)
    assert judged.best == run.best == run.judgements[-1].best
    assert judged.task.goal.kind == "people" and judged.headline is None


def test_the_prompt_builds_on_the_best_and_shows_the_worst_and_what_was_written(tmp_path, without_clips) -> None:
    people = People(lambda q: best_worst(q, q.items[1], q.items[0], comment="B rocks\u202e nicely\n## and **stops**"))
    with ModelServer([rewards_in_order(REWARDS)]) as server:
        config = asking(server.url, **(ICPL | {"rounds": 2}), feedback="human")
        config = config.model_copy(update={"model": config.model.model_copy(update={"concurrency": 1})})
        run = rewardsmith.design_reward(config, runs=tmp_path, observe=people)
        asked = [r["messages"] for r in server.requests]
    assert people.asked[0].items == ("r1s0", "r1s1", "r1s2") and people.asked[0].words == run.task.words
    assert people.asked[1].items == ("r2s0", "r2s1", "r2s2", "r1s1"), "the best so far is shown beside the new ones"
    second = asked[3]
    assert TERMS[1] in second[2]["content"] and second[2]["role"] == "assistant"
    told = second[3]["content"]
    assert TERMS[0] in told and told.count("component term_") == 2
    assert "> B rocks nicely ## and **stops** (A: the rejected one, B: the preferred one, C: another)" in told
    assert "preferred in earlier rounds" not in told, "there were none"
    assert {c.proposal.parents for c in run.candidates if c.proposal.round == 2} == {("r1s1", "r1s0")}
    assert run.judgements[0].raters == ("ann",)


def test_differences_are_told_from_the_third_round_on(tmp_path, without_clips) -> None:
    with ModelServer([rewards_in_order(REWARDS)]) as server:
        config = asking(server.url, **(ICPL | {"candidates": 2}), feedback="human")
        config = config.model_copy(update={"model": config.model.model_copy(update={"concurrency": 1})})
        rewardsmith.design_reward(config, runs=tmp_path, observe=People(first_and_last))
        asked = [r["messages"][-1]["content"] for r in server.requests]
    kinds = ["difference" if "Describe what differs" in text else "reward" for text in asked]
    assert kinds == ["reward"] * 4 + ["difference"] + ["reward"] * 2 + ["difference"]
    assert "`r1s0`" in asked[4] and "`r2s0`" in asked[4] and TERMS[0] in asked[4] and TERMS[2] in asked[4]
    assert "r1s0, liked best in round 1" in asked[5] and "pays for speed, `b` for height" in asked[5]


def test_rewards_are_asked_for_until_enough_are_executable(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(steps, "FURTHER", 2)
    said: list[Event] = []
    replies = [FORBIDDEN, SPEED, SPEED, FORBIDDEN, HEIGHT, REWARDS[2]]  # the second SPEED is a duplicate
    with ModelServer([rewards_in_order(replies)]) as server:
        config = asking(server.url, method="icpl", feedback="proxy", guarantee=True, candidates=3, repairs=0)
        config = config.model_copy(update={"model": config.model.model_copy(update={"concurrency": 1})})
        run = rewardsmith.design_reward(config, runs=tmp_path, observe=said.append)
    accepted = [c.id for c in run.candidates if c.verdict.accepted]
    assert accepted == ["r1s1", "r1s4", "r1s5"] and [c.id for c in run.candidates] == [f"r1s{n}" for n in range(6)]
    assert run.judgements[0].shown == ("r1s1", "r1s4", "r1s5")
    assert not any("on with these" in str(event) for event in said)


def test_who_never_writes_anything_executable_is_not_asked_for_ever(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(steps, "FURTHER", 2)
    said: list[Event] = []
    with ModelServer([SPEED, FORBIDDEN]) as server:
        config = asking(server.url, method="icpl", feedback="proxy", guarantee=True, repairs=0)
        config = config.model_copy(update={"model": config.model.model_copy(update={"concurrency": 1})})
        run = rewardsmith.design_reward(config, runs=tmp_path, observe=said.append)
    assert len(server.requests) == 4 and run.best == "r1s0"
    assert any("1 of 2 rewards pass the critic" in str(event) for event in said)


def test_a_kill_while_votes_are_awaited_loses_nothing(tmp_path, without_clips) -> None:
    def killed(event: Event) -> None:
        if isinstance(event, VotesWanted):
            raise KeyboardInterrupt

    with ModelServer([rewards_in_order(REWARDS)]) as server:
        config = asking(server.url, method="icpl", feedback="human", candidates=2, repairs=0)
        with pytest.raises(Interrupted):
            rewardsmith.design_reward(config, runs=tmp_path, observe=killed)
        (root,) = tmp_path.iterdir()
        with VoteBook(root / "votes.sqlite") as book:
            (question,) = book.questions()
            book.cast(Vote(question=question.id, ballot=first_and_last(question)))
        wanted = People(first_and_last)
        run = rewardsmith.resume_run(root, observe=wanted)
        assert len(server.requests) == 2
    assert run.finished and run.best == "r1s0" and not wanted.asked, "the vote was there already"


def test_a_round_waits_for_as_many_raters_as_are_wanted(tmp_path, without_clips) -> None:
    people = People(first_and_last, raters=("ann", "bob", "cem"))
    run = rewardsmith.design_reward(
        tiny_config(method="icpl", feedback="human", raters=3), runs=tmp_path, observe=people
    )
    assert run.judgements[0].raters == ("ann", "bob", "cem")
    assert len(people.asked) == 1


def test_where_nobody_can_tell_the_best_so_far_stays(tmp_path, without_clips) -> None:
    def answer(question: Question) -> Ballot:
        if question.id == "round-1":
            return first_and_last(question)
        return Ballot(rater="ann", form="unsure", shown=question.items)

    run = rewardsmith.design_reward(
        tiny_config(method="icpl", feedback="human", rounds=2), runs=tmp_path, observe=People(answer)
    )
    assert [j.decided for j in run.judgements] == [True, False]
    assert run.best == run.judgements[0].best == "r1s0"


def test_what_nobody_could_tell_is_not_told_as_a_preference(tmp_path, without_clips) -> None:
    unsure = People(lambda question: Ballot(rater="ann", form="unsure", shown=question.items))
    run = rewardsmith.design_reward(
        tiny_config(method="icpl", feedback="human", rounds=2), runs=tmp_path, observe=unsure
    )
    assert {c.proposal.edit for c in run.candidates} == {"new"} and run.best == "r1s0"


def test_the_verdict_is_of_all_raters_together() -> None:
    question = Question(id="round-2", items=("a", "b", "c", "old"))
    ballots = {
        rater: Ballot(rater=rater, form="best_worst", shown=question.items, order=((best,), (worst,)))
        for rater, best, worst in (("ann", "a", "old"), ("bob", "a", "c"), ("cem", "b", "old"))
    }
    found = verdict(question, ballots, fresh=("a", "b", "c"), before="old")
    assert (found.best, found.worst, found.decided) == ("a", "c", True), "the worst is one of this round"


def test_one_mistake_does_not_undo_what_was_said_often() -> None:
    won = [Ballot(rater="ann", form="ranking", shown=("old", f"x{n}"), order=(("old",), (f"x{n}",))) for n in range(6)]
    lost = Ballot(rater="ann", form="ranking", shown=("a", "x0"), order=(("x0",), ("a",)))
    question = Question(id="round-9", items=("a", "b", "old"))
    vote = {"ann": Ballot(rater="ann", form="best_worst", shown=question.items, order=(("a",), ("b",)))}
    assert verdict(question, vote, fresh=("a", "b"), before="old", earlier=won).best == "a", "it won, and never lost"
    assert verdict(question, vote, fresh=("a", "b"), before="old", earlier=[*won, lost]).best == "old"


@pytest.mark.parametrize("wins", [1, 3, 8])
def test_without_mistakes_the_last_to_be_picked_is_the_best(wins) -> None:
    earlier = [
        Ballot(
            rater="ann", form="best_worst", shown=(*(f"{n}{c}" for c in "abcdef"), "old"), order=(("old",), (f"{n}a",))
        )
        for n in range(wins)
    ]
    question = Question(id="round-9", items=(*"abcdef", "old"))
    vote = {"ann": Ballot(rater="ann", form="best_worst", shown=question.items, order=(("a",), ("b",)))}
    assert verdict(question, vote, fresh=tuple("abcdef"), before="old", earlier=earlier).best == "a"


def _trained(id: str, state: str, fitness: float = 0.0) -> TrainingResult:
    point = CurvePoint(
        env_steps=100, fitness=fitness, success=0.0, episode_length=10.0, episodes=1, components={"c": 1.5}
    )
    kept = Kept(env_steps=100, episodes=((0.0, fitness),)) if state == "trained" else None
    member = MemberResult(candidate=id, seed=0, state=state, env_steps=100, wall_s=1.0, curve=(point,), kept=kept)
    return TrainingResult(candidate=id, members=(member,))


class OnlyOne:
    """Parts for a round in which there is nothing to compare."""


def test_failed_trainings_are_neither_best_nor_worst() -> None:
    results = {"a": _trained("a", "diverged"), "b": _trained("b", "trained")}
    found = judge(OnlyOne(), 1, results, before=None, scores={})  # type: ignore[arg-type]
    assert (found.shown, found.best, found.worst) == (("b",), "b", None)
    nothing = judge(OnlyOne(), 1, {"a": results["a"]}, before=None, scores={})  # type: ignore[arg-type]
    assert nothing.best is None


def test_traces_have_components_and_no_scores() -> None:
    text = trace_of(_trained("a", "trained", fitness=123.25))
    assert "component c (mean per step): [1.50]" in text and "episode length" in text
    assert "123" not in text and "fitness" not in text and "success" not in text


def test_what_was_preferred_before_grows_by_one_part_a_round() -> None:
    liked = [Preferred(f"round {n}", "trace", "difference") for n in range(8)]
    lengths = [len(preferred_before(liked[:n])) for n in range(1, 9)]
    assert len({b - a for a, b in pairwise(lengths)}) == 1
    assert preferred_before([Preferred("r1s0", "")]) == ""


def outcome(id: str, pick: str | None, round: int = 1) -> Outcome:
    return Outcome(Proposal(id=id, round=round, sample=0, code="x", origin="model"), (0.0, 0.0), pick=pick)  # type: ignore[arg-type]


def test_the_method_builds_on_what_is_liked_best_and_moves_away_from_the_worst() -> None:
    config = DesignConfig.model_validate(settings_of("icpl", {"env": {"name": "hopper"}}))
    assert (config.candidates, config.rounds, config.seeds, config.feedback, config.guarantee) == (
        6,
        5,
        1,
        "human",
        True,
    )
    icpl = load_method("icpl")(config)
    assert [(o.edit, o.parents) for o in icpl.ask(1)] == [("new", ())] * 6
    icpl.tell([outcome("a", "best"), outcome("b", None), outcome("c", "worst")])
    assert {o.parents for o in icpl.ask(2)} == {("a", "c")}
    icpl.tell([outcome("d", None, 2), outcome("e", "worst", 2)])
    assert {o.parents for o in icpl.ask(3)} == {("a", "e")}, "the best of an earlier round stays"


@pytest.mark.parametrize("changes", [{"method": "icpl", "feedback": "full"}, {"method": "eureka", "feedback": "human"}])
def test_only_icpl_is_judged_and_icpl_only_so(changes, tmp_path) -> None:
    with pytest.raises(UsageError, match=f"{changes['method']} does not work with --feedback {changes['feedback']}"):
        rewardsmith.design_reward(tiny_config(**changes), runs=tmp_path)


def test_a_proxy_may_be_mistaken(tmp_path) -> None:
    runs = [
        rewardsmith.design_reward(
            tiny_config(method="icpl", feedback="proxy", candidates=4, proxy_mistakes=mistakes),
            runs=tmp_path / str(mistakes),
        )
        for mistakes in (0.0, 1.0)
    ]
    right, wrong = (run.judgements[0] for run in runs)
    scores = {c.id: c.score for c in runs[0].candidates if c.score}
    assert right.best == max(scores, key=lambda id: scores[id]) and wrong.best != right.best


def test_clips_of_the_same_episodes_are_there_before_anybody_is_asked(tmp_path) -> None:
    seen: list[dict[str, list[int]]] = []

    def look_then_vote(event: Event) -> None:
        if isinstance(event, VotesWanted):
            folder = RunFolder.open(event.root)
            with VoteBook(folder.votes_path) as book:
                items = book.question(event.question).items
            seen.append({id: folder.candidate(id).clip_seeds() for id in items})
        People(first_and_last)(event)

    run = rewardsmith.design_reward(
        tiny_config(method="icpl", feedback="human", rounds=2), runs=tmp_path, observe=look_then_vote
    )
    assert [len(clips) for clips in seen] == [2, 3]
    assert all(seeds == [0, 1, 2] for clips in seen for seeds in clips.values())
    with RunFolder.open(run.root).journal(read_only=True) as journal:
        paid = journal.get("cost/clips.round-2")["env_steps"]
    assert paid == 2 * 3 * 200


MIXED = """```python
def compute_reward(obs, action, next_obs, *, far=1.0, fast=1.0):
    far_term = far * next_obs["position"]
    fast_term = fast * next_obs["velocity"].abs() * 10
    return far_term + fast_term, {"far_term": far_term, "fast_term": fast_term}
```"""


def test_numbers_are_fitted_to_the_votes_before_a_model_is_asked_again(tmp_path) -> None:
    """Raters go by speed alone; the reward pays more for where the car is."""
    ways = [(0.05, -1.0), (0.04, -0.5), (0.03, -0.9), (0.02, 0.3)]  # velocity and position in each candidate's clips

    def vote(event: Event) -> None:
        if isinstance(event, VotesWanted):
            folder = RunFolder.open(event.root)
            for id, (velocity, position) in zip(("r1s0", "r1s1", "r1s2", "r1s3"), ways, strict=True):
                for seed in (0, 1, 2):
                    clip = load_clip(folder.candidate(id).clip_path(seed), root=event.root)
                    features = {"velocity": velocity, "position": position}
                    steady = {k: np.full_like(v, features.get(k, 0.0)) for k, v in clip.features.items()}
                    save_clip(folder.candidate(id), replace(clip, features=steady))
        fastest = lambda q: Ballot(
            rater="", form="ranking", shown=q.items, order=tuple((id,) for id in sorted(q.items))
        )
        People(fastest, raters=("ann", "bob", "cem"))(event)

    with ModelServer([rewards_in_order([MIXED, REWARDS[3], REWARDS[9], REWARDS[5]])]) as server:
        config = asking(server.url, method="icpl", feedback="human", raters=3, candidates=4, repairs=0)
        config = config.model_copy(update={"model": config.model.model_copy(update={"concurrency": 1})})
        run = rewardsmith.design_reward(config, runs=tmp_path, observe=vote)
    parts = Parts(RunFolder.open(run.root), config, silent)
    try:
        found = fitted_to_votes(parts, "r1s0")
        assert found is not None
        far, fast = (np.array([v[i] for v in ways]) for i in (1, 0))
        pay = found.get("far", 1.0) * far + found.get("fast", 1.0) * 10 * fast
        assert list(np.argsort(-pay)) == [0, 1, 2, 3] != list(np.argsort(-(far + 10 * fast)))
        (tuned,) = tune(parts, 2, [(0, Order(edit="tune", parents=("r1s0",)))], {"r1s0": run.candidates[0].proposal})
    finally:
        parts.close()
    assert all(f"{name}={value!r}" in tuned.code for name, value in found.items())
    assert (tuned.edit, tuned.origin, tuned.parents) == ("tune", "tuned", ("r1s0",))


def test_where_there_is_nothing_to_fit_a_designer_is_asked(tmp_path) -> None:
    run = rewardsmith.design_reward(
        tiny_config(method="icpl", feedback="proxy", rounds=2, candidates=3, guarantee=True, fit_votes=True),
        runs=tmp_path,
    )
    second = [c for c in run.candidates if c.proposal.round == 2 and c.verdict and c.verdict.accepted]
    assert len(second) == 3 and len({c.proposal.sample for c in second}) == 3


def test_a_run_that_people_judge_tells_them_so(tmp_path: Path, without_clips) -> None:
    run = rewardsmith.design_reward(
        tiny_config(method="icpl", feedback="human", rounds=2), runs=tmp_path, observe=People(first_and_last)
    )
    report = (run.root / "report.html").read_text()
    assert "Liked best of all that was shown." in report and "What people said" in report
    assert "Learning during the search" not in report and "Nothing was measured" in report
    assert run.best is not None and "best of round 1" in run.liked("r1s0")


def test_what_people_judged_can_be_refined_by_a_check(tmp_path, without_clips) -> None:
    before = rewardsmith.design_reward(
        tiny_config(method="icpl", feedback="human", guarantee=True, fit_votes=True),
        runs=tmp_path,
        observe=People(first_and_last),
    )
    slow = tmp_path / "slow.py"
    slow.write_text(
        '"""Never faster than 0.04."""\n\n'
        'def step(features, previous):\n    return {"speed": features["velocity"].abs()}\n\n'
        'def episode(sums, last, high):\n    return -high["speed"], high["speed"] < 0.04\n'
    )
    config = refined_config(before, "never rush", check=slow)
    assert (config.feedback, config.guarantee, config.fit_votes, config.unmeasured) == ("full", False, False, False)
    assert "fitness" not in carried_from(before).told and "component" in carried_from(before).told
    run = rewardsmith.refine_run(before.root, "never rush", check=slow, candidates=1, runs=tmp_path)
    assert run.finished and run.wishes and run.candidate(run.best).score is not None


def test_a_dry_run_shows_what_would_be_asked(tmp_path) -> None:
    with ModelServer([rewards_in_order(REWARDS)]) as server:
        config = asking(server.url, method="icpl", feedback="proxy", repairs=0)
        rewardsmith.design_reward(config, runs=tmp_path)
        (system, user) = (m["content"] for m in server.requests[0]["messages"])
    ((name, shown),) = plan_run(config).prompts
    assert name == "round 1" and system in shown and user in shown and "people watch films" in user
