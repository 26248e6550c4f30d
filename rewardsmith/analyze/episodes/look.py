"""From recorded episodes to facts, one function for each question."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rewardsmith.analyze.course import Course
from rewardsmith.analyze.episodes.alarms import alarms
from rewardsmith.analyze.episodes.facts import (
    OUTCOMES,
    ComponentFacts,
    Ending,
    EpisodeFacts,
    EventFacts,
    LastSteps,
    Outcome,
    ReachFacts,
)
from rewardsmith.analyze.episodes.log import last_steps_log
from rewardsmith.analyze.episodes.motion import manners
from rewardsmith.analyze.episodes.watched import Watched
from rewardsmith.bank import Bank

NOTHING = 1e-9
SELDOM = 0.2  # of the steps: a component that fires more often is no event
MAX_EVENTS, MAX_REACH, MAX_LAST = 8, 6, 4
LAST_STEPS = 10
FEW = 3  # failed episodes, steps, or points of a curve: below it there is nothing to compare
UNUSUAL = 0.1  # of the usual range, beyond it


def look(watched: Watched, course: Course | None = None) -> EpisodeFacts:
    """All facts. `course` is how training went; without it nothing is said about it."""
    components = component_facts(watched, course)
    return EpisodeFacts(
        candidate=watched.candidate,
        episodes=watched.bank.episodes,
        steps=len(watched.bank),
        policies=watched.policies,
        endings=endings(watched),
        components=components,
        events=events(watched),
        reach=reach(watched),
        last_steps=last_steps(watched),
        alarms=alarms(watched, components, course),
        log=last_steps_log(watched),
    )


def endings(watched: Watched) -> tuple[Ending, ...]:
    """How the episodes ended, the most frequent first."""
    by_outcome: dict[Outcome, list[int]] = {outcome: [] for outcome in OUTCOMES}
    for episode, manner in enumerate(manners(watched)):
        length = int(watched.lengths[episode])
        if watched.succeeded[episode]:
            by_outcome["success"].append(length)
        elif watched.failed[episode]:
            by_outcome["failure"].append(length)
        else:
            by_outcome[manner].append(length)
    found = [
        Ending(outcome=outcome, share=len(lengths) / watched.bank.episodes, length=sum(lengths) / len(lengths))
        for outcome, lengths in by_outcome.items()
        if lengths
    ]
    return tuple(sorted(found, key=lambda ending: -ending.share))


def component_facts(watched: Watched, course: Course | None = None) -> tuple[ComponentFacts, ...]:
    """Every component, the one that pays most first."""
    means = {name: float(value.double().mean()) for name, value in watched.components.items()}
    paid = sum(map(abs, means.values()))
    won = watched.succeeded[watched.bank.episode]
    split = bool(won.any()) and not bool(won.all())
    found = []
    for name, value in watched.components.items():
        fires = value.abs() > NOTHING
        found.append(
            ComponentFacts(
                name=name,
                mean=means[name],
                fires=float(fires.double().mean()),
                episodes=float((watched.sums(fires) > 0).double().mean()),
                pay_share=abs(means[name]) / paid if paid > NOTHING else 0.0,
                by_episode=rank_correlation(watched.sums(value), watched.bank.fitness),
                by_training=_over_training(name, course),
                in_success=float(value[won].double().mean()) if split else None,
                in_failure=float(value[~won].double().mean()) if split else None,
                restless=restlessness(watched, value),
            )
        )
    return tuple(sorted(found, key=lambda fact: -fact.pay_share))


def rank_correlation(a: Tensor, b: Tensor) -> float | None:
    """Spearman's rank correlation of two (E,) series; None below three pairs or where one does not vary."""
    from scipy.stats import rankdata  # here: it takes half a second to import, and a resumed run may need none of it

    known = a.isfinite() & b.isfinite()
    a, b = a[known].double(), b[known].double()
    if len(a) < FEW or float(a.max() - a.min()) <= NOTHING or float(b.max() - b.min()) <= NOTHING:
        return None
    return float(np.corrcoef(rankdata(a.numpy()), rankdata(b.numpy()))[0, 1])


def _over_training(name: str, course: Course | None) -> float | None:
    if course is None or name not in course.components:
        return None
    return rank_correlation(torch.tensor(course.components[name]), torch.tensor(course.fitness))


def restlessness(watched: Watched, value: Tensor) -> float | None:
    """Median over episodes of sum |v[t+1] - v[t]| over |v[last] - v[first]|, of those in which it changes at all."""
    ratios = []
    for episode in range(watched.bank.episodes):
        series = value[watched.bank.rows(episode)].double()
        path = float(series.diff().abs().sum())
        if len(series) > 1 and path > NOTHING:
            ratios.append(path / max(abs(float(series[-1] - series[0])), NOTHING * max(path, 1.0)))
    return float(torch.tensor(ratios, dtype=torch.float64).median().clamp(max=1e9)) if ratios else None


def events(watched: Watched) -> tuple[EventFacts, ...]:
    """What happens in some episodes and not in others: flags, and components that seldom fire."""
    happened: list[tuple[str, str, Tensor]] = []
    for i in torch.nonzero(watched.columns.flags)[:, 0].tolist():
        happened.append((watched.columns.names[i], "flag", watched.states[:, i] > 0.5))
    for name, value in watched.components.items():
        fires = value.abs() > NOTHING
        if float(fires.double().mean()) < SELDOM:
            happened.append((name, "component", fires))
    found = [_event(watched, name, kind, when) for name, kind, when in happened]
    telling = sorted((e for e in found if 0 < e.episodes < 1 or e.kind == "component"), key=_how_telling, reverse=True)
    return tuple(telling[:MAX_EVENTS])


def _event(watched: Watched, name: str, kind: str, when: Tensor) -> EventFacts:
    inside = watched.sums(when) > 0
    first = torch.full((watched.bank.episodes,), torch.inf, dtype=torch.float64)
    first = first.scatter_reduce(0, watched.bank.episode[when], watched.bank.t[when].double(), "amin")
    known = watched.has_success
    return EventFacts(
        name=name,
        kind="flag" if kind == "flag" else "component",
        episodes=float(inside.double().mean()),
        first=float(first[inside].median()) if inside.any() else 0.0,
        success_with=float(watched.succeeded[inside].double().mean()) if known and inside.any() else None,
        success_without=float(watched.succeeded[~inside].double().mean()) if known and not inside.all() else None,
    )


def _how_telling(event: EventFacts) -> float:
    """Events that decide about success first, then those that part the episodes evenly."""
    if event.success_with is not None and event.success_without is not None:
        return 1 + abs(event.success_with - event.success_without)
    return 0.5 - abs(event.episodes - 0.5)


def reach(watched: Watched) -> tuple[ReachFacts, ...]:
    """The features that got furthest away from where random actions take them (or from where they started)."""
    columns, states = watched.columns, watched.states
    low, high, end = _extremes(states, watched.bank.episode, watched.bank.episodes)
    random = None
    if watched.random is not None and watched.random_states is not None:
        random = _extremes(watched.random_states, watched.random.episode, watched.random.episodes)
        far = torch.maximum((high - random[1]).abs(), (low - random[0]).abs())
    else:
        start = columns.of(watched.bank.obs)[watched.bank.t == 0].median(0).values
        far = torch.maximum((high - start).abs(), (low - start).abs())
    far = torch.where(columns.flags, 0.0, far / watched.scale)
    chosen = [i for i in torch.argsort(far, descending=True, stable=True).tolist() if far[i] > NOTHING][:MAX_REACH]
    return tuple(
        ReachFacts(
            feature=columns.names[i],
            unit=columns.units[i],
            low=float(low[i]),
            high=float(high[i]),
            end=float(end[i]),
            random_low=None if random is None else float(random[0][i]),
            random_high=None if random is None else float(random[1][i]),
        )
        for i in chosen
    )


def _extremes(states: Tensor, episode: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Medians over episodes of each column's lowest, highest and last value, each (C,)."""
    index = episode[:, None].expand_as(states)
    start = torch.zeros(count, states.shape[1], dtype=states.dtype)
    low = start.scatter_reduce(0, index, states, "amin", include_self=False)
    high = start.scatter_reduce(0, index, states, "amax", include_self=False)
    ends = torch.cumsum(torch.bincount(episode, minlength=count), 0) - 1
    return low.median(0).values, high.median(0).values, states[ends].median(0).values


def last_steps(watched: Watched) -> tuple[LastSteps, ...]:
    """Features whose last value before failure is usual neither earlier in these episodes nor under random actions."""
    ends = (torch.cumsum(watched.lengths, 0) - 1)[watched.failed]
    usual = [_usual(watched.bank, watched.states)]
    if watched.random is not None and watched.random_states is not None:
        usual.append(_usual(watched.random, watched.random_states))
    known = [found for found in usual if found is not None]
    if len(ends) < FEW or not known:
        return ()
    at_end = watched.states[ends].mean(0)
    low, high = torch.stack([low for low, _ in known]).amin(0), torch.stack([high for _, high in known]).amax(0)
    width = (high - low).clamp(min=NOTHING)
    beyond = torch.maximum(at_end - high, low - at_end) / width
    chosen = [i for i in torch.argsort(beyond, descending=True, stable=True).tolist() if beyond[i] > UNUSUAL][:MAX_LAST]
    return tuple(
        LastSteps(
            feature=watched.columns.names[i],
            unit=watched.columns.units[i],
            at_end=float(at_end[i]),
            usual_low=float(low[i]),
            usual_high=float(high[i]),
        )
        for i in chosen
    )


def _usual(bank: Bank, states: Tensor) -> tuple[Tensor, Tensor] | None:
    """5 % and 95 % of each column, (C,), but for the last ten steps of episodes, or the last half of short ones.

    None where there are too few other steps, or no columns.
    """
    lengths = torch.bincount(bank.episode, minlength=bank.episodes)
    left = (lengths - 1)[bank.episode] - bank.t  # steps until the end
    earlier = states[left >= (lengths // 2).clamp(1, LAST_STEPS)[bank.episode]]
    if len(earlier) < FEW or not earlier.shape[1]:
        return None
    low, high = earlier.quantile(torch.tensor([0.05, 0.95], dtype=earlier.dtype), dim=0)
    return low, high
