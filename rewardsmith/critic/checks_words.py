"""What words and declared units say about a reward, beside its numbers."""

from __future__ import annotations

import re

from rewardsmith.critic.evidence import Evidence
from rewardsmith.critic.findings import check
from rewardsmith.critic.forms import Forms

MAX_SUMS_SHOWN = 3
_NUMBER = r"(?:two|three|four|five|six|seven|eight|nine|ten|several|\d+)"
ORDER_OR_COUNT = re.compile(
    rf"""
      \bfirst\b.{{1,80}}?\b(?:then|afterwards|second(?:ly)?)\b       # first A, then B
    | (?:,|;|\.|\band)\s*then\b                                      # A, then B; A and then B
    | \b(?:thrice|twice)\b(?!\s+(?:as|the)\b)                        # twice, but not twice as fast
    | \b{_NUMBER}\s+(?:times|laps|rounds)\b(?!\s+(?:as|the|faster|slower|more|less|higher|lower|larger|smaller)\b)
    | \bafter\s+(?:that|which|this|\w+ing)\b                         # after touching the wall
    | \b(?:and|go|come|walk|run|move|return|drive|swing)\s+back\s+(?:again\b|to\b)
    | \bagain\b | \bin\s+(?:this\s+|that\s+|the\s+(?:given\s+|right\s+)?)?(?:order|sequence|turn)\b
    | \bone\s+after\s+(?:the\s+other|another)\b | \bvisit\s+(?:all|each|every)\b
    | \b(?:afterwards|alternat(?:e|ely|ing)|repeatedly)\b
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_NO_ORDER = re.compile(r"\bagain\s+and\s+again\b|\bif\b[^.;]*?\bthen\b|\bonce\s+again\b", re.IGNORECASE)


def order_or_count(words: str) -> str:
    """The part of a task's words that orders or counts, or ""."""
    found = ORDER_OR_COUNT.search(_NO_ORDER.sub(" ", words))
    return " ".join(found.group().split()).strip(",;. ") if found else ""


@check(
    "words.needs_memory",
    "warn",
    title="The task has an order or a count, the reward has no memory",
    why="A reward without memory sees one step: unless a feature says what has been done already, it cannot pay for B "
    "only after A, or for the third time.",
    fix="Add memory: initial_memory(n) with a stage, and `sequence`, `once` or `at_most` of the toolkit. The policy "
    "sees the memory too.",
)
def needs_memory(evidence: Evidence) -> str | None:
    phrase = order_or_count(evidence.words)
    if not phrase or evidence.program.remembers:
        return None
    return f"the task says {phrase[:60]!r}, and what the reward pays depends on no memory"


@check(
    "signal.units",
    "info",
    title="Quantities of different units are added as they are",
    why="Metres and radians do not weigh the same; without a weight it is chance how much each counts.",
    fix="Give each term a weight or a scale as a parameter: speed_weight * speed, height / height_scale.",
)
def units(evidence: Evidence) -> str | None:
    sums = Forms(evidence.program.graph.reward, evidence.interface).unlike
    shown = dict.fromkeys(
        f"{s.first.feature!r} ({s.first.unit}) and {s.second.feature!r} ({s.second.unit})" for s in sums
    )
    if not shown:
        return None
    return "added or subtracted without a scale: " + "; ".join(list(shown)[:MAX_SUMS_SHOWN])
