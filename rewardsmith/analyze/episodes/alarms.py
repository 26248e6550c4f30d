"""Reward-hack alarms: each names the suspicion, the component where there is one, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from rewardsmith.analyze.course import Course, finite, mean, number, shown_name
from rewardsmith.analyze.episodes.facts import Alarm, ComponentFacts
from rewardsmith.analyze.episodes.watched import Watched
from rewardsmith.analyze.observations import TREND, trend

RESTLESS = 5.0  # Auto MC-Reward's oscillation detector
MOST = 0.5  # of what is paid, or of the episodes
KEPT = 0.1  # of all that a component pays, either way
UNRELATED = 0.2  # rank correlation with fitness
FADED = 0.2  # of a penalty's size early in training
LAST_STEPS = 10
SEES_FAILURE = 0.1  # share of the last steps in which a penalty fires
FEW = 3


def alarms(watched: Watched, components: Sequence[ComponentFacts], course: Course | None = None) -> tuple[Alarm, ...]:
    """All alarms of one candidate; none for one that mostly succeeds."""
    if watched.has_success and float(watched.succeeded.double().mean()) > MOST:
        return ()
    specific = (*farming(watched, components), *end_pays(watched), *penalty_avoided(watched, course))
    return specific or tuple(reward_without_metric(course))


def reward_without_metric(course: Course | None) -> Iterator[Alarm]:
    """The reward was learned, and what is wanted did not come with it. Fitness that never changed does not tell."""
    if course is None or (trend(course.reward) or 0.0) < TREND:
        return
    if (trend(course.fitness) or 0.0) > 0 or (trend(course.success) or 0.0) > 0:
        return
    reward, fitness = finite(course.reward), finite(course.fitness)
    if not reward or not fitness or min(fitness) == max(fitness):
        return
    yield Alarm(
        id="reward_without_metric",
        evidence=f"The reward rose from {number(reward[0])} to {number(reward[-1])} a step during training, while "
        f"fitness went from {number(fitness[0])} to {number(fitness[-1])}.",
    )


def farming(watched: Watched, components: Sequence[ComponentFacts]) -> Iterator[Alarm]:
    """A component that pays most, goes up and down without getting anywhere, and has nothing to do with fitness.

    One that takes back what it paid, such as the change of a distance, cannot be collected twice.
    """
    positive = sum(fact.mean for fact in components if fact.mean > 0)
    for fact in components:
        if fact.mean <= 0 or fact.mean < MOST * positive or (fact.restless or 0.0) <= RESTLESS:
            continue
        if fact.by_episode is not None and fact.by_episode > UNRELATED:
            continue
        if fact.mean < KEPT * float(watched.components[fact.name].double().abs().mean()):
            continue
        yield Alarm(
            id="farming",
            component=fact.name,
            evidence=f"'{shown_name(fact.name)}' pays {number(fact.mean)} a step, most of what is paid, and keeps "
            f"going up and down (its changes add up to {_times(fact.restless or 0.0)} of its net change), without "
            "success: the policy seems to collect it over and over.",
        )


def end_pays(watched: Watched) -> Iterator[Alarm]:
    """The last step of failed episodes pays more than nearly all others."""
    ends = (torch.cumsum(watched.lengths, 0) - 1)[watched.failed]
    others = torch.ones(len(watched.bank), dtype=torch.bool)
    others[ends] = False
    if len(ends) < FEW or not others.any():
        return
    at_end, usual = float(watched.total[ends].double().mean()), float(watched.total[others].double().quantile(0.95))
    if at_end <= usual + 1e-6 * abs(usual):
        return
    gains = {name: float(v[ends].mean()) - float(v[others].mean()) for name, v in watched.components.items()}
    name = max(gains, key=lambda name: gains[name], default="")
    most = f"; '{shown_name(name)}' pays most of it" if gains.get(name, 0.0) > 0 else ""
    yield Alarm(
        id="end_pays",
        component=name,
        evidence=f"The last step of failed episodes pays {number(at_end)} on average, more than 95 % of all other "
        f"steps ({number(usual)}){most}.",
    )


def penalty_avoided(watched: Watched, course: Course | None) -> Iterator[Alarm]:
    """A penalty faded during training, does not fire before failure, and failures did not fade: looked away from.

    Auto MC-Reward's agent stared at the sky, where no lava is in sight.
    """
    failed = float(watched.failed.double().mean())
    if course is None or failed < MOST:
        return
    left = (watched.lengths - 1)[watched.bank.episode] - watched.bank.t
    last = watched.failed[watched.bank.episode] & (left < LAST_STEPS)
    for name, value in watched.components.items():
        curve = finite(course.components.get(name, ()))
        third = len(curve) // 3
        if not third or max(curve) > 0 or min(curve) == 0:
            continue
        early, late = mean(curve[:third]), mean(curve[-third:])
        if late < FADED * early or float((value[last].abs() > 1e-9).double().mean()) > SEES_FAILURE:
            continue
        yield Alarm(
            id="penalty_avoided",
            component=name,
            evidence=f"The penalty '{shown_name(name)}' faded from {number(early)} to {number(late)} a step, yet "
            f"{100 * failed:.0f} % of the episodes end in failure and it hardly fires before they do: the policy "
            "avoids what triggers it, not the failure.",
        )


def _times(value: float) -> str:
    return f"{value:.0f} times the size" if value < 1000 else "many times the size"
