"""What a designer is told where people judge (ICPL, arXiv 2410.17233): traces, preferences, and never a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rewardsmith.analyze.course import course_of, shown_line, shown_name, ten_indices
from rewardsmith.analyze.reflection import MAX_COMPONENTS, series
from rewardsmith.types import TrainingResult

MAX_COMMENTS = 8
LONGEST_COMMENT = 600


class Preferred(NamedTuple):
    """A reward that people liked best, for a time.

    Attributes:
        trace: how it went in training; empty where that is told elsewhere.
        difference: from the one preferred before, in words (untrusted); empty for the first, and where it stayed.
    """

    name: str
    trace: str
    difference: str = ""


def trace_of(result: TrainingResult) -> str:
    """How a reward's components went in training, and how long episodes were. Fitness and success are left out."""
    course = course_of(result)
    if not len(course):
        return "Training gave no evaluation."
    picked = ten_indices(len(course))
    lines = [f"At env steps [{', '.join(f'{course.env_steps[i]:,}' for i in picked)}]:"]
    for name in list(course.components)[:MAX_COMPONENTS]:
        lines.append(series(f"component {shown_name(name)} (mean per step)", course.components[name], picked))
    if len(course.components) > MAX_COMPONENTS:
        lines.append(f"({len(course.components) - MAX_COMPONENTS} more components are not listed)")
    lines.append(series("total reward (mean per step)", course.reward, picked))
    lines.append(series("episode length", course.episode_length, picked))
    return "\n".join(lines)


def remarks(comments: Sequence[str]) -> str:
    """What raters wrote beside their votes; empty where nobody wrote anything."""
    said = [line for comment in comments if (line := shown_line(comment, LONGEST_COMMENT))]
    if not said:
        return ""
    lines = ["What they wrote beside it, in their own words:", *(f"> {line}" for line in said[:MAX_COMMENTS])]
    if len(said) > MAX_COMMENTS:
        lines.append(f"({len(said) - MAX_COMMENTS} more remarks)")
    return "\n".join(lines)


def preferred_before(earlier: Sequence[Preferred]) -> str:
    """The rewards preferred in earlier rounds, oldest first: what changed from one to the next, and their traces."""
    parts = []
    for one in earlier:
        head = f"{one.name}:"
        changed = f"What changed from the one before:\n{one.difference}" if one.difference else ""
        if changed or one.trace:
            parts.append("\n".join(part for part in (head, changed, one.trace) if part))
    return "\n\n".join(parts)
