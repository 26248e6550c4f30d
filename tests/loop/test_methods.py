"""Search methods: what each asks for, given what it was told, and that runs with them record where things come from."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import rewardsmith
from rewardsmith.analyze.feedback import SUMMARY
from rewardsmith.config import DesignConfig
from rewardsmith.errors import UsageError
from rewardsmith.loop.events import Said
from rewardsmith.loop.failing import reason
from rewardsmith.loop.methods import METHODS, load_method, settings_of, templates_of
from rewardsmith.loop.methods.refine import START
from rewardsmith.loop.outcome import Outcome
from rewardsmith.resources import resource_root
from rewardsmith.types import CandidateState, EnvSpec, Proposal
from tests.helpers.model_server import ModelServer
from tests.loop.runs import HEIGHT, SPEED, asking, reply, tiny_config

ENV = EnvSpec(name="hopper")
DOCS = Path(__file__).parents[2] / "docs"


def config(**changes: object) -> DesignConfig:
    return DesignConfig.model_validate({"env": ENV, "candidates": 8, **changes})


def outcome(id: str, success: float, fitness: float = 0.0, round: int = 1) -> Outcome:
    proposal = Proposal(id=id, round=round, sample=0, code="x", origin="model")
    return Outcome(proposal, (success, fitness))


def refused(id: str) -> Outcome:
    return Outcome(Proposal(id=id, round=1, sample=0, code="x", origin="model"))


def search(name: str, **changes: object):
    return load_method(name)(config(**changes))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_prompts_and_asks_in_the_first_round(name) -> None:
    method = search(name, rewards={"a": "x"}, from_reward="x")
    assert method.ask(1)
    folder = resource_root("prompts") / templates_of(method)
    assert {p.name for p in folder.iterdir()} >= {"system.md.j2", "user.md.j2"}


def test_what_a_person_sets_wins_over_what_the_method_has() -> None:
    assert (settings_of("eureka", {})["candidates"], settings_of("eureka", {})["rounds"]) == (16, 5)
    assert settings_of("eureka", {"candidates": 3, "rounds": None}) == {
        "method": "eureka",
        "candidates": 3,
        "rounds": 5,
    }
    asked = settings_of("auto_mc", {"model": {"llm": "gpt"}})
    assert asked["review_rounds"] == 3 and asked["summaries"]
    assert "review_rounds" not in settings_of("auto_mc", {}), "the built-in designer reviews nothing"


def test_unknown_methods_and_broken_ones_are_named() -> None:
    with pytest.raises(UsageError, match="did you mean eureka"):
        load_method("eurika")
    with pytest.raises(UsageError, match=r"no_such_module:Own cannot be imported.*no_such_module"):
        load_method("no_such_module:Own")
    with pytest.raises(UsageError, match="did you mean Search"):
        load_method("rewardsmith.loop.search:Serch")


@pytest.mark.parametrize(("name", "command"), [("refine", "rewardsmith refine"), ("given", "rewardsmith train")])
def test_methods_of_other_commands_are_refused_before_a_run_is_made(name, command, tmp_path) -> None:
    with pytest.raises(UsageError, match=f"the method {name}") as caught:
        rewardsmith.design_reward(tiny_config(method=name), runs=tmp_path)
    assert command in caught.value.hint and not list(tmp_path.iterdir())


def test_eureka_changes_the_best_of_all_rounds() -> None:
    eureka = search("eureka", candidates=16)
    assert [(o.edit, o.parents) for o in eureka.ask(1)] == [("new", ())] * 16
    eureka.tell([outcome("a", 0.5), outcome("b", 0.2)])
    eureka.tell([outcome("c", 0.1, round=2), refused("d")])
    assert [(o.edit, o.parents) for o in eureka.ask(3)] == [("restructure", ("a",))] * 16


def test_nothing_trained_means_another_first_round() -> None:
    for name in ("eureka", "auto_mc", "rewardsmith"):
        method = search(name)
        method.tell([refused("a")])
        assert {o.edit for o in method.ask(2)} == {"new"}


def test_one_shot_looks_back_at_nothing() -> None:
    method = search("oneshot")
    method.tell([outcome("a", 0.5)])
    assert method.ask(2) == []


def test_auto_mc_revises_the_best_until_success_is_complete() -> None:
    assert settings_of("auto_mc", {})["stop_when_solved"] is True
    method = search("auto_mc", candidates=1)
    method.tell([outcome("a", 0.5)])
    assert [o.parents for o in method.ask(2)] == [("a",)]
    method.tell([outcome("b", 1.0)])
    assert [o.parents for o in method.ask(3)] == [("b",)], "it was complete in few episodes, and not in more"


def test_the_first_round_of_ours_starts_from_as_many_ideas_as_there_are_candidates() -> None:
    assert [o.idea for o in search("rewardsmith").ask(1)] == list(range(8))


def test_ours_lets_the_better_half_compete() -> None:
    method = search("rewardsmith", candidates=200)
    method.tell([outcome(f"r1s{i}", 0.0, fitness=i) for i in range(8)])
    orders = method.ask(2)
    assert orders[0].edit == "tweak" and orders[0].parents == ("r1s7",)
    share = {edit: sum(o.edit == edit for o in orders) / 200 for edit in ("new", "tune", "crossover", "restructure")}
    assert 0.1 < share["new"] < 0.35 and share["tune"] == 0.125 and share["crossover"] > 0.03
    assert share["restructure"] > 0.3
    parents = [o.parents[0] for o in orders if o.parents]
    assert set(parents) <= {"r1s4", "r1s5", "r1s6", "r1s7"}
    assert parents.count("r1s7") > parents.count("r1s6") > parents.count("r1s4") > 0
    assert all(len(set(o.parents)) == 2 for o in orders if o.edit == "crossover")


def test_after_a_near_success_ours_takes_small_steps_for_one_round() -> None:
    method = search("rewardsmith")
    method.tell([outcome("a", 0.7), outcome("b", 0.1)])
    assert {o.edit for o in method.ask(2)} == {"tweak", "tune"}
    method.tell([outcome("c", 0.6, round=2)])
    assert {o.edit for o in method.ask(3)} - {"tweak", "tune"}
    assert {o.edit for o in method.ask(4)} == {"tweak", "tune"}


@pytest.mark.parametrize("score", [(0.0, 5.0), (1.0, 5.0)])
def test_without_success_or_with_all_of_it_there_is_no_such_round(score) -> None:
    method = search("rewardsmith", candidates=40)
    method.tell([outcome("a", *score), outcome("b", 0.0)])
    assert "new" in {o.edit for o in method.ask(2)}


def test_a_resumed_search_asks_the_same() -> None:
    first, second = search("rewardsmith"), search("rewardsmith")
    for method in (first, second):
        method.ask(1)
        method.tell([outcome("a", 0.1), outcome("b", 0.2)])
    assert first.ask(2) == second.ask(2)
    assert search("rewardsmith", seed=1).ask(1) == search("rewardsmith").ask(1)


def test_refining_starts_from_the_reward_that_is_there() -> None:
    method = search("refine", from_reward="code", candidates=3)
    start, *others = method.ask(1)
    assert (start.id, start.code) == (START, "code")
    assert [(o.edit, o.parents) for o in others] == [("tweak", (START,))] * 3
    method.tell([outcome(START, 0.9), outcome("a", 0.5)])
    assert {(o.edit, o.parents) for o in method.ask(2)} == {("restructure", (START,))}
    method.tell([outcome("b", 0.95)])
    assert {(o.edit, o.parents) for o in method.ask(3)} == {("tweak", ("b",))}


def test_refining_goes_on_from_no_change_that_meets_no_wish() -> None:
    method = search("refine", from_reward="code", candidates=3)
    method.tell([outcome(START, 0.0, fitness=1.0), outcome("a", 0.0, fitness=9.0)])
    assert {(o.edit, o.parents) for o in method.ask(2)} == {("restructure", (START,))}


# --- in runs -------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _here(one_jail, training_here) -> None:
    pass


def test_lineage_is_recorded_and_the_next_round_is_told_what_edits_did(tmp_path) -> None:
    answers: list[str | Callable] = [SPEED, HEIGHT, reply('next_obs["velocity"].abs() * 0.5', "speed"), HEIGHT]
    with ModelServer([*answers, reply('next_obs["position"]', "far")]) as server:
        run = rewardsmith.design_reward(asking(server.url, method="eureka", rounds=3), runs=tmp_path)
        prompts = [json.dumps(r["messages"]) for r in server.requests]
    best = max((c for c in run.candidates if c.proposal.round == 1), key=lambda c: c.score)
    children = [c for c in run.candidates if c.proposal.round == 2]
    assert {(c.proposal.edit, c.proposal.parents) for c in children} == {("restructure", (best.id,))}
    trained = [c for c in children if c.score]
    assert trained and all(f"{c.id}, a change of {best.id}" in prompts[-1] for c in trained)
    assert "What earlier changes did" not in prompts[2], "there was nothing to learn from yet"


def test_a_run_may_end_when_its_task_is_solved(tmp_path, monkeypatch) -> None:
    told: list[object] = []
    settings = settings_of("auto_mc", {"rounds": 2})  # which stops by itself
    monkeypatch.setattr("rewardsmith.loop.outcome.SOLVED", 0.0)
    monkeypatch.setattr("rewardsmith.loop.solving.SOLVED", 0.0)
    run = rewardsmith.design_reward(tiny_config(**settings), runs=tmp_path, observe=told.append)
    assert run.finished and {c.proposal.round for c in run.candidates} == {1}
    (said,) = (event.text for event in told if isinstance(event, Said) and "solved" in event.text)
    assert said == "solved: r1s0 succeeds in 0 of 100 more episodes (1 training seed); no further round"
    spent = run.spent.env_steps
    again = rewardsmith.resume_run(run.root)
    assert again.spent.env_steps == spent, "what confirms it is a record, too"
    monkeypatch.setattr("rewardsmith.loop.solving.SOLVED", 0.5)
    run = rewardsmith.design_reward(tiny_config(**settings), runs=tmp_path, observe=told.append)
    assert {c.proposal.round for c in run.candidates} == {1, 2}
    (said,) = (event.text for event in told if isinstance(event, Said) and "seemed" in event.text)
    assert said.startswith("r1s0 seemed to solve the task, but succeeds only in 0 of 100 more episodes")


def test_a_search_that_a_method_ends_says_so(tmp_path) -> None:
    told: list[object] = []
    run = rewardsmith.design_reward(
        tiny_config(method="oneshot", candidates=1, rounds=3), runs=tmp_path, observe=told.append
    )
    said = [event.text for event in told if isinstance(event, Said)]
    assert said[-1] == "the method oneshot asks for nothing in round 2: the search ends with r1s0 (success 0.00)"
    assert run.finished


def test_numbers_are_tuned_without_asking_anybody(tmp_path) -> None:
    run = rewardsmith.design_reward(tiny_config(candidates=8, rounds=2, seeds=1), runs=tmp_path)
    (tuned,) = (c for c in run.candidates if c.proposal.edit == "tune")
    (parent,) = tuned.proposal.parents
    assert tuned.proposal.origin == "tuned" and tuned.score is not None
    before, after = run.candidate(parent).proposal.code, tuned.proposal.code
    assert before != after and before.count("=") == after.count("=")


def test_many_are_proposed_and_few_are_trained(tmp_path) -> None:
    run = rewardsmith.design_reward(tiny_config(candidates=6, train=2), runs=tmp_path)
    states = [c.state for c in run.candidates]
    assert sum(c.training is not None for c in run.candidates) == 2
    assert states.count(CandidateState.SCREENED) >= 2
    page = (run.root / "report.html").read_text()
    assert "screened" in page
    for screened in (c for c in run.candidates if c.state == CandidateState.SCREENED):
        assert reason(screened).startswith("not trained: ") and screened.screened in page
    again = rewardsmith.resume_run(run.root)
    assert again.candidates == run.candidates


SIGNS = (
    "```python\ndef compute_reward(obs, action, next_obs):\n"
    '    dense = next_obs["velocity"].abs() - obs["velocity"].abs()\n'
    '    sparse = (next_obs["position"] > 0.3).float()\n'
    '    return sign_only(dense, sparse), {"dense": dense, "sparse": sparse}\n```\n'
)


def test_auto_mc_reviews_trains_looks_and_revises(tmp_path) -> None:
    def answer(request) -> str:
        asked = request["messages"][-1]["content"]
        if "You review reward functions" in asked:
            return '{"verdict": "pass", "problems": []}'
        if "You analyze why" in asked:
            return "It rocks back and forth \u202eand never gets up the hill."
        return SIGNS

    with ModelServer([answer]) as server:
        settings = settings_of("auto_mc", {"model": asking(server.url).model, "rounds": 2, "sign_only": True})
        config = tiny_config(**settings)
        run = rewardsmith.design_reward(config, runs=tmp_path)
        asked = [r["messages"] for r in server.requests]
    first = run.candidates[0]
    assert first.verdict.accepted and first.analysis.summary == "It rocks back and forth and never gets up the hill."
    summing_up = next(m[-1]["content"] for m in asked if "You analyze why" in m[-1]["content"])
    assert "pay of dense" in summing_up and "Seen in 4 episodes" in summing_up
    revision = next(m[-1]["content"] for m in asked if "Find the most frequent cause" in m[-1]["content"])
    assert f"{SUMMARY}\n{first.analysis.summary}" in revision
    assert "What a language model made of it" in (run.root / "report.html").read_text()


def test_in_a_run_of_signs_a_reward_with_sizes_is_sent_back(tmp_path) -> None:
    with ModelServer([SPEED, SIGNS]) as server:
        run = rewardsmith.design_reward(asking(server.url, candidates=1, sign_only=True), runs=tmp_path)
        system, repair = (server.requests[i]["messages"][j]["content"] for i, j in ((0, 0), (1, -1)))
    assert "## Signs only" in system and "sign_only(dense, sparse)" in repair
    assert [c.verdict.accepted for c in run.candidates] == [False, True]


def test_summaries_need_a_language_model(tmp_path) -> None:
    with pytest.raises(UsageError, match="summaries need a language model"):
        rewardsmith.design_reward(tiny_config(summaries=True), runs=tmp_path)


def test_a_method_of_ones_own_runs_by_its_name(tmp_path) -> None:
    run = rewardsmith.design_reward(
        tiny_config(method="tests.loop.own_method:Halving", candidates=4, rounds=2), runs=tmp_path
    )
    assert [c.proposal.round for c in run.candidates if not c.proposal.repair_of] == [1, 1, 1, 1, 2, 2]
    assert all(c.proposal.parents for c in run.candidates if c.proposal.round == 2)


def test_the_guide_shows_the_example_that_is_tested() -> None:
    (shown,) = re.findall(r"```python\n(class Halving.+?)```", (DOCS / "methods.md").read_text(), re.DOTALL)
    (described,) = (n for n in ast.parse(shown).body if isinstance(n, ast.ClassDef))
    source = (DOCS / "examples" / "halving_method.py").read_text()
    (example,) = (n for n in ast.parse(source).body if isinstance(n, ast.ClassDef))
    ask = next(n for n in example.body if isinstance(n, ast.FunctionDef))
    ask.body = ask.body[1:]  # its docstring
    assert ast.dump(described) == ast.dump(example)
    assert len(source.splitlines()) < 60
