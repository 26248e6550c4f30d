"""What a person would notice in the curves, found by rule and said in plain words.

Every rule is one function from what is known to a sentence or None; `OBSERVATIONS` lists them in order of weight.
A rule would rather stay silent than guess: thresholds are wide, and it needs enough points to see a trend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rewardsmith.analyze.course import Course, finite, mean, number, shown_name, telling, with_curves
from rewardsmith.stats import same_share
from rewardsmith.types import MemberResult, TrainingResult

NEVER = 1e-9
NEARLY = 0.9  # of the horizon
SOLVED = 0.99
FLAT = 0.05  # of a component's own size
SAME = 1e-5  # of that size: less is rounding
DOMINANT = 0.9  # of all components' sizes
SHORT = 0.5  # of the length at the start, or of the horizon
TREND = 0.25  # of the range a curve covers
SEEDS_APART = 0.5
LOST = 0.5  # of the best success
MANY = 10_000  # episodes
CHANCE = 0.05  # probability below which a change is not put down to chance


@dataclass(frozen=True)
class Seen:
    """What the rules look at. `horizon` is the longest an episode can be, where known.

    `has_success` is False where the goal defines none (an environment's plain return): 0 says nothing there.
    `goal_ends` says whether reaching the goal ends the episode; None: not known. `watched`: recorded episodes are
    described beside, which say better what pays and whether it is worth anything.
    """

    result: TrainingResult
    course: Course
    horizon: int | None = None
    has_success: bool = True
    goal_ends: bool | None = None
    watched: bool = False


def observe(
    result: TrainingResult,
    course: Course,
    *,
    horizon: int | None = None,
    has_success: bool = True,
    goal_ends: bool | None = None,
    watched: bool = False,
) -> tuple[str, ...]:
    """Sentences about one trained candidate, the weightiest first; empty when nothing stands out."""
    seen = Seen(result, course, horizon, has_success, goal_ends, watched)
    return tuple(sentence for rule in OBSERVATIONS if (sentence := rule(seen)) is not None)


# --- rules -----------------------------------------------------------------------------------------------------------


def seeds_failed(seen: Seen) -> str | None:
    failed = [m for m in seen.result.members if m.state not in ("trained", "dropped")]
    if not failed:
        return None
    states = ", ".join(f"seed {m.seed} {m.state.replace('_', ' ')}" for m in failed)
    error = next((telling(m.error) for m in failed if m.error), "")
    return f"{len(failed)} of {len(seen.result.members)} seeds were not trained to the end ({states})" + (
        f": {error}" if error else "."
    )


def broke_down(seen: Seen) -> str | None:
    return broken_episodes(seen.result.members)


def broken_episodes(members: Sequence[MemberResult]) -> str | None:
    """That episodes were ended by a fault of the environment, and what this may mean; None where none was."""
    broken, whole = sum(m.broken_episodes for m in members), sum(m.episodes for m in members)
    if broken <= 0:
        return None
    return (
        f"In {broken:,} of {whole:,} episodes ({broken / max(whole, broken):.1%}) the simulation broke down (an "
        "observation was not finite, or the physics blew up): they were ended there, so fitness may look better or "
        "worse than it is."
    )


def suspected_hack(seen: Seen) -> str | None:
    """The reward rose while what is wanted fell."""
    if seen.watched:
        return None
    reward, fitness = trend(seen.course.reward), trend(seen.course.fitness)
    success = trend(seen.course.success)
    if reward is None or fitness is None or reward < TREND or fitness > -TREND or (success or 0.0) > 0:
        return None
    rises = {name: _rise(values) for name, values in seen.course.components.items()}
    name = max(rises, key=lambda name: rises[name], default="")
    most = f" '{shown_name(name)}' rose most." if rises.get(name, 0.0) > 0 else ""
    return (
        "Suspected reward hacking: the reward went up during training while fitness went down, so the policy may "
        f"collect it without doing the task.{most}"
    )


def no_success(seen: Seen) -> str | None:
    """Nobody ever succeeded: say what leads nowhere."""
    if not seen.has_success or not len(seen.course):
        return None
    if any(point.success > 0 for member in seen.result.members for point in member.curve):
        return None
    if (trend(seen.course.fitness) or 0.0) >= TREND:
        return (
            "No episode succeeded yet, but fitness rose during training: the direction is right, the strength is not."
        )
    never = _never_fires(seen.course)
    rose = [
        name
        for name, values in seen.course.components.items()
        if (trend(values) or 0.0) >= TREND and max(finite(values)) > 0  # a penalty that fades says less
    ]
    text = "No episode of any seed ever succeeded: no term of this reward has led to the goal so far."
    if never:
        text += f" {_names(never)} never fired, so nothing guides the policy to where it would."
    if rose:
        text += f" {_names(rose)} rose all the same: more of it was not enough."
    return text


class Loss(NamedTuple):
    """Success that was higher once than in the end."""

    env_steps: int  # where it was highest
    best: float
    last: float
    episodes: tuple[int, int]  # evaluated then and in the end

    def __str__(self) -> str:
        then, now = (
            f"{round(share * of)} of {of} episodes"
            for share, of in zip((self.best, self.last), self.episodes, strict=True)
        )
        return (
            f"success fell from {number(self.best)} at {self.env_steps:,} env steps ({then}) to {number(self.last)} in "
            f"the end ({now})"
        )


def loss_of(course: Course) -> Loss | None:
    """Most of the success is gone, and chance does not explain it: not even that of picking the best evaluation."""
    if len(course) < 2 or len(finite(course.success)) < len(course) or not course.episodes:
        return None
    top = max(range(len(course)), key=lambda i: course.success[i])
    best, last = course.success[top], course.success[-1]
    of = course.episodes[top], course.episodes[-1]
    if last > LOST * best:
        return None
    by_chance = len(course) * same_share(_won(best, of[0]), _won(last, of[1]))
    return Loss(course.env_steps[top], best, last, of) if by_chance <= CHANCE else None


def _won(success: float, episodes: int) -> tuple[int, int]:
    """How many episodes succeeded, of how many; of very many, as if there had been fewer."""
    of = min(max(episodes, 0), MANY)
    return round(min(max(success, 0.0), 1.0) * of), of


def lost_success(seen: Seen) -> str | None:
    """It was done, and then no more."""
    loss = loss_of(seen.course)
    text = str(loss)
    return f"{text[0].upper()}{text[1:]}." if loss and seen.has_success else None


def episodes_end_early(seen: Seen) -> str | None:
    """Where only failure ends an episode early."""
    lengths, success = finite(seen.course.episode_length), finite(seen.course.success)
    if not seen.has_success or seen.goal_ends is not False or not lengths or not success or success[-1] >= 0.5:
        return None
    if lengths[-1] < lengths[0] and (trend(seen.course.fitness) or 0.0) > 0:
        return None  # ending sooner did not make it worse
    if seen.horizon and lengths[-1] < SHORT * seen.horizon:
        return f"Episodes end early, after {lengths[-1]:.0f} of {seen.horizon} steps, and mostly without success."
    if len(lengths) >= 2 and lengths[-1] < SHORT * lengths[0] and success[-1] <= success[0]:
        change = f"{lengths[0]:.0f} to {lengths[-1]:.0f} steps"
        return f"Episodes became shorter ({change}) without more success: they end in failure."
    return None


def waits(seen: Seen) -> str | None:
    """Episodes that used to end now run into the time limit, short of the goal."""
    lengths, success = finite(seen.course.episode_length), finite(seen.course.success)
    if not seen.has_success or not seen.horizon or not lengths or not success or success[-1] >= 0.5:
        return None
    if lengths[-1] < NEARLY * seen.horizon or min(lengths) >= NEARLY * seen.horizon:
        return None
    return (
        f"Episodes ended after {min(lengths):.0f} steps at first and now run into the limit of {seen.horizon} without "
        "success: the policy survives and waits. Perhaps nothing pays for the last part of the way, or waiting is free."
    )


def solved(seen: Seen) -> str | None:
    """There is nothing left to gain in success."""
    success = seen.course.success
    if not seen.has_success or not success or success[-1] < SOLVED:
        return None
    first = next(i for i in range(len(success)) if all(value >= SOLVED for value in success[i:]))
    return (
        f"Success is complete from {seen.course.env_steps[first]:,} env steps on. What can still improve: fitness, "
        "and how early and how reliably success comes."
    )


def never_fires(seen: Seen) -> str | None:
    never = _never_fires(seen.course)
    if seen.watched or not never or _names(never) in (no_success(seen) or ""):
        return None  # said there
    return f"{_names(never)} never fired: zero at every evaluation."


def flat_component(seen: Seen) -> str | None:
    flat = []
    for name, values in seen.course.components.items():
        known = finite(values)
        size = max(map(abs, known), default=0.0)
        change = max(known, default=0.0) - min(known, default=0.0)
        if len(known) >= 3 and size > NEVER and SAME * size < change <= FLAT * size:  # a constant cannot change
            flat.append(name)
    return f"{_names(flat)} hardly changed during training (by at most {FLAT:.0%})." if flat else None


def dominant_component(seen: Seen) -> str | None:
    sizes = {name: mean(map(abs, finite(values))) for name, values in seen.course.components.items()}
    sizes = {name: size for name, size in sizes.items() if size > NEVER}
    if seen.watched or len(sizes) < 2:
        return None
    name = max(sizes, key=lambda name: sizes[name])
    share = sizes[name] / sum(sizes.values())
    if share < DOMINANT:
        return None
    return f"'{shown_name(name)}' makes up {share:.0%} of what the components pay; the others hardly count."


def seeds_disagree(seen: Seen) -> str | None:
    ends = [(m.seed, m.curve[-1]) for m in _comparable(seen.result)]
    if len(ends) < 2:
        return None
    success = {seed: point.success for seed, point in ends}
    if max(success.values()) - min(success.values()) >= SEEDS_APART:
        listed = ", ".join(f"seed {seed}: {number(value)}" for seed, value in success.items())
        return f"Seeds disagree about success ({listed}), so this result depends on luck."
    fitness = finite(point.fitness for _, point in ends)
    everything = finite(point.fitness for member in _comparable(seen.result) for point in member.curve)
    if len(fitness) < 2 or len(everything) <= len(fitness):
        return None
    spread, covered = max(fitness) - min(fitness), max(everything) - min(everything)
    if spread < SEEDS_APART * covered or spread <= 0.1 * max(map(abs, fitness)):
        return None
    return f"Seeds disagree: fitness ended between {number(min(fitness))} and {number(max(fitness))}."


OBSERVATIONS: tuple[Callable[[Seen], str | None], ...] = (
    seeds_failed,
    broke_down,
    suspected_hack,
    no_success,
    lost_success,
    episodes_end_early,
    waits,
    solved,
    never_fires,
    flat_component,
    dominant_component,
    seeds_disagree,
)


# --- inside ----------------------------------------------------------------------------------------------------------


def _never_fires(course: Course) -> list[str]:
    known = {name: finite(values) for name, values in course.components.items()}
    return [name for name, values in known.items() if values and max(map(abs, values)) <= NEVER]


def trend(values: Sequence[float]) -> float | None:
    """Change from the first to the last third, as a part of the range; None below four points or without any change."""
    known = finite(values)
    if len(known) < 4:
        return None
    third = max(1, len(known) // 3)
    span = max(known) - min(known)
    if span <= 1e-6 * max(map(abs, known)) or span == 0:
        return None
    return (mean(known[-third:]) - mean(known[:third])) / span


def _rise(values: Sequence[float]) -> float:
    known = finite(values)
    return known[-1] - known[0] if len(known) >= 2 else -math.inf


def _comparable(result: TrainingResult) -> list[MemberResult]:
    """Members that were trained equally long."""
    members = with_curves(result)
    end = max((m.curve[-1].env_steps for m in members), default=0)
    return [m for m in members if m.curve[-1].env_steps == end]


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"'{shown_name(name)}'" for name in names[:6]) + (" and others" if len(names) > 6 else "")
