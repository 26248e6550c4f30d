"""Every rule on a course that shows it and on a near miss."""

from __future__ import annotations

import pytest

from rewardsmith.analyze import observations as rules
from rewardsmith.analyze.course import course_of, telling
from rewardsmith.analyze.observations import OBSERVATIONS, Seen, observe
from rewardsmith.types import TrainingResult
from tests.analyze.test_reflection import member, point, result


def run(*, n=6, **series):
    """One seed whose series are functions of the evaluation's number 0..n-1."""
    curve = [point(1000 * (i + 1), **{name: float(f(i)) for name, f in series.items()}) for i in range(n)]
    return result(member(*(each.model_copy(update={"episodes": 16}) for each in curve)))


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
     "fell from 0.90 at 3,000 env steps (14 of 16 episodes) to 0.10 in the end (2 of 16 episodes)"),
    (rules.lost_success, run(success=lambda i: 0.9 - 0.15 * i), run(success=lambda i: 0.1 * (i == 1)), "Success fell"),
    (rules.lost_success, run(success=lambda i: i == 0), run(success=lambda i: 0.3 * (i == 0)), "Success fell"),
    (rules.solved, run(success=lambda i: i >= 2), run(success=lambda i: i != 5), "complete from 3,000 env steps"),
    (rules.never_fires, run(key=lambda i: 0, success=one), run(key=lambda i: i == 2, success=one), "'key' never fired"),
    (rules.flat_component, run(c=lambda i: 5 + 0.01 * i), run(c=lambda i: 5 + 0.1 * i), "'c' hardly changed"),
    (rules.flat_component, run(c=lambda i: 5 + 0.01 * i), run(c=one), "at most 5%"),
    (rules.flat_component, run(c=lambda i: 5 + 0.01 * i), run(n=2, c=lambda i: 5 + 0.01 * i), "'c' hardly"),
    (rules.dominant_component, run(a=lambda i: 20, b=one), run(a=lambda i: 5, b=one), "'a' makes up 95%"),
    (rules.dominant_component, run(a=lambda i: -20, b=one), run(a=lambda i: 20), "'a' makes up"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "shown", "near", "words"), CASES)
def test_rule(rule, shown, near, words):
    assert words in (say(rule, shown) or "")
    assert say(rule, near) is None


def test_success_zero_names_what_leads_nowhere():
    text = say(rules.no_success, run(key=lambda i: 0, door=lambda i: 0, near=up))
    assert "no term of this reward has led to the goal" in text
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


SHORTER = run(length=lambda i: 100 - 19 * i)


@pytest.mark.parametrize(
    ("trained", "horizon", "words"),
    [
        (SHORTER, None, "100 to 5 steps"),
        (SHORTER, None, "end in failure"),
        (run(length=lambda i: 100 - 5 * i), None, None),
        (run(length=lambda i: 100 - 19 * i, success=lambda i: i / 5), None, None),
        (run(length=lambda i: 100 - 19 * i, fitness=up), None, None),
        (run(length=lambda i: 100 - 19 * i, fitness=up), 1000, None),
        (run(length=lambda i: 40), 100, "after 40 of 100 steps"),
        (run(length=lambda i: 40), 60, None),
        (run(length=lambda i: 40, success=one), 100, None),
    ],
)
def test_episodes_that_end_early_are_told_where_only_failure_ends_them(trained, horizon, words):
    said = say(rules.episodes_end_early, trained, horizon=horizon, goal_ends=False)
    assert said is None if words is None else words in (said or "")
    for goal_ends in (None, True):  # ending early may be the goal
        assert say(rules.episodes_end_early, trained, horizon=horizon, goal_ends=goal_ends) is None


def test_a_loss_that_may_be_chance_is_not_told():
    """2 of 16 episodes succeeded once, and none in the end."""
    few = [point(1000 * (i + 1), success=0.125 * (i == 3)).model_copy(update={"episodes": 16}) for i in range(10)]
    assert say(rules.lost_success, result(member(*few))) is None
    many = [each.model_copy(update={"episodes": 1600}) for each in few]
    assert "(200 of 1600 episodes) to 0.00 in the end (0 of 1600" in (
        say(rules.lost_success, result(member(*many))) or ""
    )
    assert say(rules.lost_success, result(member(*many)), has_success=False) is None


def test_the_episodes_of_all_seeds_count_together():
    curve = [point(1000 * (i + 1), success=0.4 * (i == 0)).model_copy(update={"episodes": 10}) for i in range(4)]
    assert say(rules.lost_success, result(member(*curve))) is None
    assert "(12 of 30 episodes)" in (say(rules.lost_success, result(*(member(*curve, seed=s) for s in range(3)))) or "")


@pytest.mark.parametrize("episodes", [-5, 0, 10**12])
@pytest.mark.parametrize("high", [-1.0, 0.0, 1.0, 7.0, float("inf")])
def test_no_numbers_of_episodes_break_or_hang_the_test_for_chance(episodes, high):
    curve = [point(i + 1, success=high * (i == 0)).model_copy(update={"episodes": episodes}) for i in range(4)]
    say(rules.lost_success, result(member(*curve)))


def test_episodes_in_which_the_simulation_broke_down_are_told():
    counts = [(1000, 12), (2012, 24)]
    members = [
        member(point(1), seed=seed).model_copy(update={"episodes": whole, "broken_episodes": broken})
        for seed, (whole, broken) in enumerate(counts)
    ]
    said = say(rules.broke_down, result(*members))
    assert said and said.startswith("In 36 of 3,012 episodes (1.2%) the simulation broke down")
    assert say(rules.broke_down, result(member(point(1)).model_copy(update={"episodes": 100}))) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("the reward was not finite", "the reward was not finite"),
        (f"exit code 1\nTraceback (most recent call last):\n{'  File x, line 1, in y' * 40}\nKeyError: 'z'\n",
         "exit code 1: KeyError: 'z'"),
        ("Traceback (most recent call last):\n  File x\nKeyError: 'z'", "KeyError: 'z'"),
        ("exit code -11\nFatal Python error: Segmentation fault\n\nCurrent thread:\n  File x\n\nExtension modules: a",
         "exit code -11: Fatal Python error: Segmentation fault"),
        ("it failed in a step: ValueError: no\n  Fix: try it alone",
         "it failed in a step: ValueError: no Fix: try it alone"),
        ("", ""),
    ],
)  # fmt: skip
def test_an_error_in_one_line_is_its_telling_end(error, said):
    assert telling(error) == said


def test_a_long_error_keeps_its_end():
    said = telling(f"it failed in a step (action [{'0.1, ' * 200}]): KeyError: 'fuel'")
    assert said.startswith("it failed in a step (action [0.1") and said.endswith("0.1, ]): KeyError: 'fuel'")
    assert "[...]" in said and len(said) < 320


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
