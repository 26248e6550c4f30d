"""Learning curves of several seeds as one line and a band, ready to be drawn."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rewardsmith.types import CurvePoint, MemberResult

LARGEST = 1e30  # beyond it an axis in floating point is meaningless


def drawable(value: float) -> bool:
    """Whether a number has a place on an axis: finite, and not absurdly large."""
    return math.isfinite(value) and abs(value) < LARGEST


class Band(NamedTuple):
    """Seeds at one number of env steps: their mean, lowest and highest finite value."""

    x: float
    mean: float
    low: float
    high: float
    n: int


def bands(members: Iterable[MemberResult], value: Callable[[CurvePoint], float | None]) -> list[Band]:
    """One `Band` for each env step count at which at least one seed has a drawable value, ascending."""
    found: dict[int, list[float]] = defaultdict(list)
    for member in members:
        for point in member.curve:
            number = value(point)
            if number is not None and drawable(number):
                found[point.env_steps].append(number)
    return [Band(x, sum(v) / len(v), min(v), max(v), len(v)) for x, v in sorted(found.items())]


def component_names(members: Iterable[MemberResult]) -> list[str]:
    """Names of all components that any point of any seed has, in the order they are first met."""
    return list(dict.fromkeys(name for m in members for point in m.curve for name in point.components))


def success(point: CurvePoint) -> float:
    return point.success


def fitness(point: CurvePoint) -> float:
    return point.fitness


def episode_length(point: CurvePoint) -> float:
    return point.episode_length


def component(name: str) -> Callable[[CurvePoint], float | None]:
    """The value function of one component; None at points that lack it."""
    return lambda point: point.components.get(name)


def kept_scores(members: Sequence[MemberResult]) -> tuple[float, float] | None:
    """Mean (success, fitness) of what the seeds that were trained to the end kept; None if there is none."""
    scores = [m.kept.score for m in members if m.state == "trained" and m.kept]
    if not scores:
        return None
    return sum(s for s, _ in scores) / len(scores), sum(f for _, f in scores) / len(scores)
