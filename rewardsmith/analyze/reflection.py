"""Reward reflection (Eureka, arXiv 2310.12931): what training showed, as text that a designer can act on.

Ten evenly spaced values of every component, of fitness, success and episode length, with maximum, mean and minimum.
"""

from __future__ import annotations

from collections.abc import Sequence

from rewardsmith.analyze.course import (
    Course,
    course_of,
    finite,
    kept_score,
    mean,
    number,
    numbers,
    shown_line,
    shown_name,
    telling,
    ten_indices,
    with_curves,
)
from rewardsmith.analyze.observations import observe
from rewardsmith.types import Analysis, TrainingResult, Verdict

MAX_COMPONENTS = 30
MAX_WARNINGS = 6


def reflect(
    result: TrainingResult,
    verdict: Verdict | None = None,
    *,
    horizon: int | None = None,
    has_success: bool = True,
    goal_ends: bool | None = None,
    seen: str = "",
) -> Analysis:
    """The reflection and the observations about one trained candidate.

    Args:
        verdict: the critic's; its warnings are repeated, because training may have confirmed them.
        horizon: the most steps an episode can have, where known.
        has_success: False where the goal defines no success, so that its 0 is not read as failure.
        goal_ends: whether reaching the goal ends the episode; None: not known.
        seen: what recorded episodes of its policies showed, from `episodes.describe`.
    """
    course = course_of(result)
    observations = observe(
        result, course, horizon=horizon, has_success=has_success, goal_ends=goal_ends, watched=bool(seen)
    )
    parts = [headline(result, course), curves(course), warnings(verdict)]
    return Analysis(
        candidate=result.candidate,
        reflection="\n".join(part for part in parts if part),
        observations=observations,
        seen=seen,
        has_success=has_success,
    )


def headline(result: TrainingResult, course: Course) -> str:
    """One line: how far training got and where it ended."""
    if not len(course):
        states = ", ".join(f"seed {m.seed} {m.state.replace('_', ' ')}" for m in result.members) or "no seeds"
        error = next((telling(m.error) for m in result.members if m.error), "")
        return f"Training gave no evaluation ({states})." + (f" Error: {error}" if error else "")
    ends = finite(m.curve[-1].success for m in result.members if m.curve)
    each = f" (by seed: {', '.join(numbers(ends))})" if len(ends) > 1 else ""
    return (
        f"Trained with {_count(len(result.members), 'seed')}, up to {course.env_steps[-1]:,} env steps. "
        f"At the end: success {number(course.success[-1])}{each}, fitness {number(course.fitness[-1])}, "
        f"episode length {number(course.episode_length[-1])}.{_kept(result)}"
    )


def _kept(result: TrainingResult) -> str:
    """What the scores are of, where training did not end with its best policies."""
    kept = [m.kept for m in result.members if m.curve and m.kept]
    if all(k.env_steps == m.curve[-1].env_steps for k, m in zip(kept, with_curves(result), strict=False)):
        return ""
    steps = ", ".join(f"{k.env_steps:,}" for k in kept)
    success, fitness = kept_score(result)
    return (
        f" What counts is the best policy of {'each' if len(kept) > 1 else 'the'} seed, here of {steps} env steps: "
        f"success {number(success)}, fitness {number(fitness)}."
    )


def curves(course: Course) -> str:
    """The table of series; empty without evaluations."""
    if not len(course):
        return ""
    picked = ten_indices(len(course))
    steps = ", ".join(f"{course.env_steps[i]:,}" for i in picked)
    lines = [f"Evaluations at env steps [{steps}], mean of {_count(course.seeds, 'seed')}:"]
    shown = list(course.components)[:MAX_COMPONENTS]
    for name in shown:
        lines.append(series(f"component {shown_name(name)} (mean per step)", course.components[name], picked))
    if len(shown) < len(course.components):
        lines.append(f"({len(course.components) - len(shown)} more components are not listed)")
    lines.append(series("total reward (mean per step)", course.reward, picked))
    lines.append(series("fitness", course.fitness, picked))
    lines.append(series("success", course.success, picked))
    lines.append(series("episode length", course.episode_length, picked))
    return "\n".join(lines)


def series(title: str, values: Sequence[float], picked: Sequence[int]) -> str:
    """One line of the table: the picked values, then maximum, mean and minimum over all of them."""
    known = finite(values)
    if not known:
        return f"{title}: not measured"
    *points, high, middle, low = numbers([*(values[i] for i in picked), max(known), mean(known), min(known)])
    shown = ", ".join(points).replace("nan", "-")
    return f"{title}: [{shown}], max {high}, mean {middle}, min {low}"


def warnings(verdict: Verdict | None) -> str:
    """What the critic had warned of before training; empty when nothing."""
    found = [f for f in verdict.findings if f.severity == "warn"] if verdict else []
    if not found:
        return ""
    lines = [f"- {shown_line(f.message)} ({shown_line(f.id, 60)})" for f in found[:MAX_WARNINGS]]
    return "\n".join(["Before training, the check of the code had warned:", *lines])


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
