"""Every rule on a course that shows it and on a near miss."""

from __future__ import annotations

import pytest

from rewardsmith.analyze import observations as rules
from rewardsmith.analyze.course import course_of
from rewardsmith.analyze.observations import OBSERVATIONS, Seen, observe
from rewardsmith.types import TrainingResult
from tests.analyze.test_reflection import member, point, result


def run(*, n=6, **series):
    """One seed whose series are functions of the evaluation's number 0..n-1."""
    curve = [point(1000 * (i + 1), **{name: float(f(i)) for name, f in series.items()}) for i in range(n)]
    return result(member(*curve))


def say(rule, trained: TrainingResult, **options) -> str | None:
    return rule(Seen(trained, course_of(trained), **options))


def up(i):
    return i


def down(i):
    return -i


def one(i):
    return 1


CASES = [
    (rules.suspected_hack, run(reward=up, fitness=down, bonus=up), run(reward=up, fitness=up, bonus=up), "'bonus'"),
    (rules.suspected_hack, run(reward=up, fitness=down), run(reward=up, fitness=down, success=lambda i: i / 6), "hack"),
    (rules.suspected_hack, run(reward=up, fitness=down), run(reward=lambda i: 1 + (i % 2) * 0.1, fitness=down), "hack"),
    (rules.suspected_hack, run(reward=up, fitness=down), run(n=3, reward=up, fitness=down), "hack"),
    (rules.no_success, run(key=lambda i: 0), run(key=lambda i: 0, success=lambda i: i == 3), "'key' never fired"),
    (rules.no_success, run(near=up), run(success=one), "'near' rose all the same"),
    (rules.lost_success, run(success=lambda i: 0.9 if i == 2 else 0.1), run(success=lambda i: 0.9 if i == 2 else 0.6),
     "reached 0.90 at 3,000 env steps and ended at 0.10"),
    (rules.lost_success, run(success=lambda i: 0.9 - 0.15 * i), run(success=lambda i: 0.1 * (i == 1)), "unlearned"),
    (rules.episodes_end_early, run(length=lambda i: 100 - 19 * i), run(length=lambda i: 100 - 5 * i), "100 to 5 steps"),
    (rules.episodes_end_early, run(length=lambda i: 100 - 19 * i),
     run(length=lambda i: 100 - 19 * i, success=lambda i: i / 5), "end in failure"),
    (rules.solved, run(success=lambda i: i >= 2), run(success=lambda i: i != 5), "complete from 3,000 env steps"),
    (rules.never_fires, run(key=lambda i: 0, success=one), run(key=lambda i: i == 2, success=one), "'key' never fired"),
    (rules.flat_component, run(c=lambda i: 5 + 0.01 * i), run(c=lambda i: 5 + 0.1 * i), "'c' hardly changed"),
    (rules.flat_component, run(c=one), run(n=2, c=one), "'c' hardly"),
    (rules.dominant_component, run(a=lambda i: 20, b=one), run(a=lambda i: 5, b=one), "'a' makes up 95%"),
    (rules.dominant_component, run(a=lambda i: -20, b=one), run(a=lambda i: 20), "'a' makes up"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "shown", "near", "words"), CASES)
def test_rule(rule, shown, near, words):
    assert words in (say(rule, shown) or "")
    assert say(rule, near) is None


def test_success_zero_names_what_leads_nowhere():
    text = say(rules.no_success, run(key=lambda i: 0, door=lambda i: 0, near=up))
    assert "no term of this reward leads to the goal" in text
    assert "'door', 'key' never fired" in text
    assert "'near' rose all the same" in text


def test_rising_fitness_without_success_is_progress():
    text = say(rules.no_success, run(fitness=up, key=lambda i: 0))
    assert "the direction is right" in text
    assert say(rules.never_fires, run(fitness=up, key=lambda i: 0)) is not None


def test_dead_components_are_named_once():
    trained = run(key=lambda i: 0)
    assert sum("'key'" in line for line in observe(trained, course_of(trained))) == 1


def test_a_goal_without_success_is_not_called_a_failure():
    trained = run(length=lambda i: 10)
    assert observe(trained, course_of(trained), has_success=False, horizon=1000) == ()


def test_horizon():
    trained = run(length=lambda i: 40)
    assert "after 40 of 100 steps" in say(rules.episodes_end_early, trained, horizon=100)
    assert say(rules.episodes_end_early, trained, horizon=60) is None
    assert say(rules.episodes_end_early, run(length=lambda i: 40, success=one), horizon=100) is None


# --- seeds


def seeds(*ends, start=0.0, key="fitness"):
    return result(
        *(member(point(1, **{key: start}), point(2, **{key: float(end)}), seed=i) for i, end in enumerate(ends))
    )


def test_seeds_disagree_about_success():
    assert "seed 0: 0.00, seed 1: 1.00" in say(rules.seeds_disagree, seeds(0, 1, key="success"))
    assert say(rules.seeds_disagree, seeds(0.7, 1, key="success")) is None
    assert say(rules.seeds_disagree, seeds(1, key="success")) is None


def test_seeds_disagree_about_fitness():
    assert "between 10.00 and 100.00" in say(rules.seeds_disagree, seeds(10, 100))
    assert say(rules.seeds_disagree, seeds(90, 100)) is None
    assert say(rules.seeds_disagree, seeds(100, 101, start=100.0)) is None


def test_a_seed_that_stopped_early_is_not_compared():
    trained = result(member(point(1), point(2, success=1.0)), member(point(1, success=0.0), seed=1, state="dropped"))
    assert say(rules.seeds_disagree, trained) is None


def test_failed_seeds_are_reported_with_their_error():
    trained = result(member(point(1)), member(seed=3, state="diverged", error="NaN in\nthe loss"))
    assert say(rules.seeds_failed, trained) == (
        "1 of 2 seeds were not trained to the end (seed 3 diverged): NaN in the loss"
    )
    assert say(rules.seeds_failed, result(member(point(1), state="dropped"))) is None


@pytest.mark.parametrize("rule", OBSERVATIONS)
@pytest.mark.parametrize(
    "trained", [result(), result(member()), run(n=1), run(n=2, c=float), run(fitness=lambda i: float("nan"))]
)
def test_no_rule_breaks_on_little_data(rule, trained):
    rule(Seen(trained, course_of(trained), horizon=100))


def test_waiting_is_told_apart_from_long_episodes_that_never_end():
    hovers = run(length=lambda i: 100 if i == 0 else 1000)
    assert "waits" in (say(rules.waits, hovers, horizon=1000) or "")
    assert say(rules.waits, hovers, horizon=None) is None
    assert say(rules.waits, run(length=lambda i: 1000), horizon=1000) is None, "nothing ends episodes there"
    assert say(rules.waits, run(length=lambda i: 100 if i == 0 else 1000, success=one), horizon=1000) is None
