"""What a few preferences lead to: questions about segments, learning in training, what is counted, and verdicts."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rewardsmith.config import DesignConfig
from rewardsmith.envs import PackMetric
from rewardsmith.prefer.learned import LearnedReward
from rewardsmith.stats import Interval
from rewardsmith.train import PpoConfig
from rewardsmith.train.evaluate import evaluate
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.types import Judgement, Member
from tests.helpers.tiny_world import GoNear, Output, PointEnvironment, Raising

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import preferences
import prefppo
from parity import Results
from preferences import ARMS, LEAST, LEAST_PACKS, SEARCHES, Answer, Setting, Table, Task
from prefppo import Rollout, Watched, answered, timetable

TINY = Setting(candidates=2, rounds=2, steps=1024, fresh=2, episodes=2, sessions=2)
PPO = PpoConfig(env_steps=2048, num_envs=4, rollout_steps=32, minibatch_size=64, epochs=4, learning_rate=3e-3)


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.fixture
def short_segments(monkeypatch) -> None:
    monkeypatch.setattr(prefppo, "SEGMENT", 4)


def rollout(
    *, terminated: Sequence[int] = (), cut: Sequence[int] = (), worth: Sequence[float] | None = None
) -> Rollout:
    """Ten steps of one environment; the only input is the step's number."""
    ended = lambda steps: torch.tensor([[t in steps] for t in range(10)])
    value = torch.tensor(worth if worth is not None else np.arange(10.0), dtype=torch.float32)[:, None]
    return Rollout(torch.arange(10.0)[:, None, None], value, ended(terminated), ended(cut))


def seen_segments(rolled: Rollout) -> set[tuple[int, ...]]:
    drawn = answered([rolled], 400, np.random.default_rng(0))
    sides = [(*drawn.first,), (*drawn.second,)]
    return {tuple(int(t) for t in x[c, 0]) for inputs, counted in sides for x, c in zip(inputs, counted, strict=True)}


def test_segments_end_with_their_episode_or_are_whole(short_segments) -> None:
    whole = {(t, t + 1, t + 2, t + 3) for t in range(7)}
    assert seen_segments(rollout()) == whole
    fallen = seen_segments(rollout(terminated=[5]))
    assert fallen == {(0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5), (4, 5), (5,), (6, 7, 8, 9)}
    stopped = seen_segments(rollout(cut=[5]))
    assert stopped == {(0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (6, 7, 8, 9)}, "a time limit is no bad end"
    with pytest.raises(RuntimeError, match="no episode has a segment"):
        answered([rollout(cut=[1, 3, 5, 7, 9])], 3, np.random.default_rng(0))


def test_the_oracle_prefers_what_pays_more_and_ties_what_pays_the_same(short_segments) -> None:
    drawn = answered([rollout()], 300, np.random.default_rng(0))
    starts = [side.inputs[:, 0, 0] for side in (drawn.first, drawn.second)]
    assert torch.equal(drawn.preferred, (torch.sign(starts[0] - starts[1]) + 1) / 2)
    assert set(drawn.preferred.tolist()) == {0.0, 0.5, 1.0}
    alive = answered([rollout(worth=[1.0] * 10, terminated=[5])], 300, np.random.default_rng(0))
    lengths = [side.counted.sum(1) for side in (alive.first, alive.second)]
    assert torch.equal(alive.preferred == 1.0, lengths[0] > lengths[1]), "steps after the end pay nothing"


@pytest.mark.parametrize(
    ("queries", "iterations", "sessions"), [(49, 30, 10), (1500, 480, 10), (3, 30, 10), (49, 4, 10)]
)
def test_all_questions_are_asked_evenly_and_none_too_late(queries, iterations, sessions) -> None:
    plan = timetable(queries, iterations, sessions)
    assert sum(plan.values()) == queries and len(plan) == min(queries, iterations, sessions)
    assert min(plan) == 1 and max(plan) <= iterations and max(plan.values()) - min(plan.values()) <= 1


# --- learning in training ---------------------------------------------------------------------------------------------


def test_a_watched_reward_sees_what_the_trainer_lived_through(short_segments) -> None:
    environment, oracle = PointEnvironment(), GoNear()
    watched = Watched(LearnedReward(environment.interface), oracle, PPO)
    population = PopulationPPO(environment.make_world(4), PPO, [Member("a", 0)], {"a": watched}, root=0)
    population.restart_episodes()
    population.iterate()
    (rolled,) = watched.rollouts
    assert rolled.inputs.shape == (32, 4, 3) and rolled.worth.shape == rolled.terminated.shape == (32, 4)
    ends = torch.nonzero(rolled.cut | rolled.terminated)[:, 0]
    assert rolled.cut.any() and int(ends.min()) <= 19, "episodes last 20 steps at most"
    position, velocity = rolled.inputs[..., 0], rolled.inputs[..., 1]
    goes_on = ~(rolled.cut | rolled.terminated)[:-1]
    assert torch.allclose(position[1:][goes_on], (position[:-1] + velocity[1:])[goes_on], atol=1e-5)
    near = torch.exp(-position[1:].abs()) + torch.sigmoid(velocity[1:])
    assert torch.allclose(rolled.worth[:-1][goes_on], near[goes_on]), "the oracle's reward is of the same steps"


class Right(GoNear):
    """Pays for being on the right."""

    def __call__(self, obs: Any, action: torch.Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        return Output(next_obs["position"], {}, None)


def learn(queries: Sequence[int] = (5, 60), env_steps: int = 4096, sessions: int = 3) -> list[prefppo.Learned]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefppo, "SEGMENT", 5)
        config = PPO.model_copy(update={"env_steps": env_steps})
        return prefppo.learn_while_training(PointEnvironment(), config, Right(), queries, seed=1, sessions=sessions)


def test_a_policy_learns_what_the_oracle_likes() -> None:
    learned = learn()
    assert [each.queries for each in learned] == [5, 60]
    assert (learned[1].accuracy or 0) > 0.7 and 0 <= learned[1].ties < 0.2
    (start,) = learn([5], env_steps=128, sessions=1)
    assert start.accuracy is None, "with one session no pair was new to what had been learned"
    metric = PackMetric(
        lambda features, previous: {"x": features["position"]}, lambda sums, last: (last["x"], last["x"]), ""
    )
    policies = [learned[1].policy, start.policy]
    far, near = evaluate(PointEnvironment(), metric, policies, episodes=20, seed=0)
    assert far.fitness.mean() > near.fitness.mean() + 0.5


def test_learning_is_the_same_again() -> None:
    (one,), (other,) = (learn([8], env_steps=512, sessions=2) for _ in range(2))
    weights = [torch.cat([part.flatten() for pair in each.policy.weights for part in pair]) for each in (one, other)]
    assert torch.equal(*weights)
    assert one.accuracy == other.accuracy


def test_a_failure_is_no_result() -> None:
    with pytest.raises(RuntimeError, match="this reward is broken"):
        prefppo.learn_while_training(PointEnvironment(), PPO, Raising(), [5], seed=1, sessions=1)


# --- what is counted --------------------------------------------------------------------------------------------------


def judgements(fresh: Sequence[int], best: Sequence[int]) -> list[Judgement]:
    """Rounds of so many new policies; `best`: 0 the best so far stays, else one of this round."""
    found, before = [], None
    for round, (count, stays) in enumerate(zip(fresh, best, strict=True), 1):
        new = [f"r{round}s{i}" for i in range(count)]
        picked = new[0] if stays and new else before
        found.append(Judgement(shown=(*new, *([before] if before else [])), best=picked))
        before = picked
    return found


@pytest.mark.parametrize(
    ("fresh", "best", "count"),
    [
        ([6] * 5, [1] * 5, 49),  # the paper's number
        ([6] * 5, [1, 0, 0, 1, 0], 49),
        ([6], [1], 9),
        ([2, 1, 0], [1, 1, 0], 2),
        ([], [], 0),
    ],
)
def test_picks_stand_for_so_many_comparisons(fresh, best, count) -> None:
    assert preferences.comparisons(judgements(fresh, best)) == count


@pytest.mark.parametrize("arm", SEARCHES)
def test_searches_differ_in_nothing_but_what_they_are_about(arm) -> None:
    config = preferences.design_config(
        Task("hopper", arm, 3), Setting(), preferences.designer(Task("hopper", arm, 3), None)
    )
    other = preferences.design_config(Task("hopper", "icpl", 3), Setting(), config.model)
    assert isinstance(config, DesignConfig) and config.model.llm == "builtin" and config.seed == 3
    changed = {name for name in DesignConfig.model_fields if getattr(config, name) != getattr(other, name)}
    assert changed == {"icpl": set(), "icpl_mistakes": {"proxy_mistakes"}, "eureka": {"method", "feedback"}}[arm]
    assert config.candidates * config.rounds * config.seeds == Setting().trainings == 30


def test_a_learned_reward_gets_the_env_steps_of_a_whole_search() -> None:
    one = preferences.settings("cartpole", Setting())
    assert preferences.settings("cartpole", Setting(), trainings=30).trained_steps == 30 * one.trained_steps
    assert one.trained_steps <= preferences.STEPS["cartpole"]


def test_cassettes_are_named_and_must_be_there(tmp_path) -> None:
    task = Task("hopper", "icpl", 0)
    with pytest.raises(RuntimeError, match="no cassette"):
        preferences.designer(task, tmp_path)
    (tmp_path / "hopper").mkdir()
    (tmp_path / "hopper" / "icpl.jsonl").touch()
    assert preferences.designer(task, tmp_path).llm == f"replay:{tmp_path / 'hopper' / 'icpl.jsonl'}"
    assert preferences.designer(task._replace(arm="human"), tmp_path).llm == "builtin"
    named = [preferences.identity("hopper", "icpl", Setting(), where)["designer"] for where in (None, tmp_path)]
    assert named == ["builtin", f"replay:{tmp_path.name}"]


def test_a_repetition_that_is_known_is_not_done_again(tmp_path) -> None:
    file = tmp_path / "results.jsonl"
    line = lambda arm, setting=TINY: {
        **preferences.identity("cartpole", arm, setting, None), "repetition": 0, "fitness": 1.0,
    }  # fmt: skip
    for arm in ("human", "icpl", "prefppo_49", "prefppo_150"):
        Results(file).add(line(arm))
    Results(file).add(line("eureka", Setting()))
    Results(file).add({**line("eureka"), "versions": {}})
    left = preferences.missing(["cartpole"], 2, preferences.known(["cartpole"], TINY, Results(file), None))
    assert {t.arm for t in left if t.repetition == 0} == {"short", "prefppo", "icpl_mistakes", "eureka"}
    assert len([t for t in left if t.repetition == 1]) == 6
    assert len(file.read_text().splitlines()) == 6 and json.loads(file.read_text().splitlines()[0])["arm"] == "human"


# --- verdicts ---------------------------------------------------------------------------------------------------------


def table(**scores: Sequence[float]) -> Table:
    """The same scores of each arm on four packs."""
    return Table(
        {
            (pack, arm): [
                {"repetition": i, "fitness": score, "after_rounds": [0.0, score]} for i, score in enumerate(values)
            ]
            for pack in "abcd"
            for arm, values in scores.items()
        }
    )


LOW, HIGH = list(np.arange(6.0)), list(np.arange(6.0) + 10)
MIXED = [10.0, 0.0, 1.0, 11.0, 2.0, 12.0]


@pytest.mark.parametrize(
    ("ours", "theirs", "above", "at_least"),
    [
        (HIGH, LOW, "yes", "yes"),
        (LOW, HIGH, "no", "no"),
        (LOW, LOW, "cannot tell yet", "cannot tell yet"),
        ([1.0] * 6, [1.0] * 6, "cannot tell yet", "yes"),
        (HIGH[:4], LOW, "cannot tell yet", "cannot tell yet"),
    ],
)
def test_verdicts_between_arms(ours, theirs, above, at_least) -> None:
    known = table(icpl=ours, eureka=theirs)
    assert preferences.against(known, "icpl", "eureka", bar=0.5).verdict == above
    assert preferences.against(known, "icpl", "eureka", bar=0.5 - preferences.MARGIN).verdict == at_least


def test_few_packs_and_few_repetitions_decide_nothing() -> None:
    sure = Interval(0.9, 0.8, 1.0, 24, "seeds")
    enough = [LEAST] * LEAST_PACKS
    assert preferences.answer(sure, 0.5, repetitions=enough) == Answer(sure, "yes")
    for counts in (enough[1:], [*enough, LEAST - 1], []):
        assert preferences.answer(sure, 0.5, repetitions=counts).verdict == "cannot tell yet"
    assert preferences.against(table(icpl=HIGH[:2], eureka=LOW[:2]), "icpl", "eureka", bar=0.5).estimate is None
    assert preferences.against(Table({}), "icpl", "eureka", bar=0.5) == Answer(None, "cannot tell yet")


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [([1.0] * 6, "yes"), ([-1.0] * 6, "no"), ([1.0, -1.0] * 3, "cannot tell yet"), ([0.0] * 6, "cannot tell yet")],
)
def test_improvement_is_of_the_last_pick_on_the_first(gains, verdict) -> None:
    found = preferences.improvement(table(icpl_mistakes=gains))
    assert found.verdict == verdict and found.estimate is not None
    assert found.estimate.point == pytest.approx(np.mean(gains))


def test_raters_who_err_tell_less() -> None:
    exact, erring, random = (preferences.poll(m, t, repetitions=12) for m, t in ((0.0, 0.0), (0.2, 0.0), (0.0, 3.0)))
    assert exact.agreement.low > erring.agreement.high > random.agreement.high
    assert exact.regret.point < random.regret.point


# --- the whole --------------------------------------------------------------------------------------------------------


def test_the_report_names_the_designer_and_says_what_was_not_measured(capsys) -> None:
    identity = lambda arm: {**preferences.identity("cartpole", arm, TINY, None), "success": 1.0, "comparisons": 9}
    lines = {
        ("cartpole", arm): [{**identity(arm), "repetition": r, "fitness": float(r), "accuracy": None} for r in range(3)]
        for arm in ARMS[:3]
    }
    for line, curve in zip(lines["cartpole", "icpl_mistakes"], ([0.5, 0.75], [None, 9.0], [0.25, 0.5]), strict=True):
        line["after_rounds"] = curve
    known = Table(lines)
    text = preferences.shown(known)
    assert "icpl " in text and "builtin" in text and "eureka" not in text
    assert "0.375 0.625" in text, "the median of the repetitions that have a pick after every round"
    figures = preferences.Figures()
    preferences.report(figures, known)
    assert (
        figures.values["preferences.cartpole.icpl.point"] == 1.0 and figures.values["preferences.icpl.comparisons"] == 9
    )
    assert figures.values["preferences.icpl_reaches_eureka"] is None
    assert figures.values["preferences.cartpole.eureka.point"] is None
    assert "cannot tell yet" in capsys.readouterr().out


@pytest.fixture(scope="module")
def published() -> str:
    return preferences.published_reward("cartpole")


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["short", "icpl_mistakes", "eureka"])
def test_a_repetition_of_an_arm(arm, published) -> None:
    task = Task("cartpole", arm, 0)
    lines = preferences.perform(task, TINY, published, None)
    assert tuple(line["arm"] for line in lines) == task.arms
    assert all(0 < line["fitness"] <= 1 and line["repetition"] == 0 for line in lines)
    if arm == "short":
        assert [line["comparisons"] for line in lines] == list(preferences.QUERIES)
    if arm in SEARCHES:
        assert lines[0]["trainings"] == 4 and lines[0]["designer"] == "builtin"
        assert len(lines[0]["search_fitness"]) == 2 and lines[0]["after_rounds"][-1] == lines[0]["fitness"]
    if arm == "icpl_mistakes":
        assert lines[0]["comparisons"] == 1 + 2 and None not in lines[0]["after_rounds"]
    json.dumps(lines)
