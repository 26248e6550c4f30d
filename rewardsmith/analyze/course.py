"""How a candidate's training went, as plain series: one number per evaluation, averaged over seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rewardsmith.types import CurvePoint, MemberResult, TrainingResult

TRACEBACK = ("Traceback (most recent call last)", "Fatal Python error")
FATAL = "Fatal Python error"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Course:
    """Series over the evaluations at `env_steps` (ascending). NaN where nothing was measured, or nothing finite."""

    env_steps: tuple[int, ...]
    success: tuple[float, ...]
    fitness: tuple[float, ...]
    episode_length: tuple[float, ...]
    reward: tuple[float, ...]  # the candidate's own, mean per step
    components: dict[str, tuple[float, ...]]  # mean per step
    seeds: int
    episodes: tuple[int, ...] = ()  # behind each evaluation, of all seeds together

    def __len__(self) -> int:
        return len(self.env_steps)


def course_of(result: TrainingResult) -> Course:
    """The mean over the seeds that got furthest, so that a seed that stopped early makes no step in the curves."""
    furthest = [member for member in with_curves(result) if _end(member) == max(map(_end, with_curves(result)))]
    steps = sorted({point.env_steps for member in furthest for point in member.curve})
    at = [[point for member in furthest for point in member.curve if point.env_steps == step] for step in steps]
    names = sorted({name for points in at for point in points for name in point.components})

    def series(read: Iterable[list[float]]) -> tuple[float, ...]:
        return tuple(mean(values) for values in read)

    return Course(
        env_steps=tuple(steps),
        success=series([point.success for point in points] for points in at),
        fitness=series([point.fitness for point in points] for points in at),
        episode_length=series([point.episode_length for point in points] for points in at),
        reward=series([point.reward for point in points] for points in at),
        components={name: series(_component(points, name) for points in at) for name in names},
        seeds=len(furthest),
        episodes=tuple(sum(point.episodes for point in points) for points in at),
    )


def kept_score(result: TrainingResult) -> tuple[float, float]:
    """Mean (success, fitness) of what the members kept, which is what candidates are ranked by; NaN without any."""
    scores = [m.kept.score for m in result.members if m.kept]
    return mean(success for success, _ in scores), mean(fitness for _, fitness in scores)


def with_curves(result: TrainingResult) -> list[MemberResult]:
    return [member for member in result.members if member.curve]


def finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def mean(values: Iterable[float]) -> float:
    """Mean of the finite values; NaN when there are none."""
    known = finite(values)
    return math.fsum(known) / len(known) if known else math.nan


def ten_indices(count: int) -> list[int]:
    """At most ten evenly spaced positions among `count`, the first and the last among them."""
    if count <= 10:
        return list(range(count))
    return [round(i * (count - 1) / 9) for i in range(10)]


def numbers(values: Sequence[float]) -> list[str]:
    """Values as text: two decimals, more when all of them are tiny, three digits when some are huge."""
    known = [abs(value) for value in finite(values)]
    largest = max(known, default=0.0)
    if largest >= 1e5 or 0 < largest < 1e-6:
        return [_plain(f"{value:.2e}") if math.isfinite(value) else str(value) for value in values]
    decimals = 2 if largest == 0 or largest >= 0.1 else 1 - math.floor(math.log10(largest))
    return [_plain(f"{value:.{decimals}f}") for value in values]


def number(value: float) -> str:
    return numbers([value])[0]


def shown_name(name: str) -> str:
    """A name from candidate code, fit for a prompt: anything but a plain name is made one."""
    return name if NAME.fullmatch(name) else re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:40] or "_"


def shown_line(text: str, limit: int = 300) -> str:
    """Text that candidate code may have written, as one printable line."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[:limit].rstrip() + " [...]"


def telling(error: str, limit: int = 300) -> str:
    """What an error says, as one printable line: of a process's last words its reason and the end of the traceback.

    A longer one is cut in its middle, for the point is at its end.
    """
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith(TRACEBACK)), None)
    if start is not None:
        fatal = next((line for line in lines if line.startswith(FATAL)), lines[-1])
        error = ": ".join(dict.fromkeys([*lines[: min(start, 1)], fatal]))
    line = shown_line(error, len(error))
    if len(line) <= limit:
        return line
    return f"{line[: limit // 3].rstrip()} [...] {line[len(line) - 2 * limit // 3 :].lstrip()}"


def _component(points: list[CurvePoint], name: str) -> list[float]:
    return [point.components[name] for point in points if name in point.components]


def _end(member: MemberResult) -> int:
    return member.curve[-1].env_steps


def _plain(text: str) -> str:
    """No minus in front of a zero."""
    return text.lstrip("-") if not text.strip("-0.") else text
