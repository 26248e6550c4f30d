"""What edits did: each child against the reward it came from, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rewardsmith.analyze.course import number, shown_name
from rewardsmith.types import Edit

MAX_LINES = 10
MAX_NAMES = 4
WORDS: dict[Edit, str] = {
    "new": "a new idea",
    "tweak": "small changes of",
    "restructure": "a change of",
    "crossover": "a crossing of",
    "tune": "other numbers for",
}


@dataclass(frozen=True)
class Bred:
    """A trained candidate with what it is made of. `score` is (success, fitness)."""

    id: str
    edit: Edit
    parents: tuple[str, ...]
    score: tuple[float, float]
    components: frozenset[str] = frozenset()
    parameters: Mapping[str, float] = field(default_factory=dict)


def learned(child: Bred, parent: Bred) -> str:
    """One line: what was done to `parent`, and what it did to the scores."""
    what = WORDS[child.edit] + " " + " and ".join(child.parents)
    changes = "; ".join(_changes(child, parent)) or "the same terms and numbers"
    (was, fitness_was), (success, fitness) = parent.score, child.score
    return (
        f"{child.id}, {what} ({changes}): success {number(was)} -> {number(success)}, "
        f"fitness {number(fitness_was)} -> {number(fitness)}"
    )


def history(candidates: Sequence[Bred]) -> str:
    """What the edits that mattered most did, those that helped first; empty where nothing descends from anything."""
    known = {c.id: c for c in candidates}
    edits = [(c, known[c.parents[0]]) for c in candidates if c.parents and c.parents[0] in known]
    ranked = sorted(edits, key=_gain, reverse=True)
    if len(ranked) > MAX_LINES:  # what helped most and what harmed most
        ranked = ranked[: MAX_LINES // 2] + ranked[-(MAX_LINES // 2) :]
    return "\n".join(f"- {learned(child, parent)}" for child, parent in ranked)


def _gain(edit: tuple[Bred, Bred]) -> tuple[float, float]:
    child, parent = edit
    return child.score[0] - parent.score[0], child.score[1] - parent.score[1]


def _changes(child: Bred, parent: Bred) -> list[str]:
    said = []
    for title, names in (
        ("with", sorted(child.components - parent.components)),
        ("without", sorted(parent.components - child.components)),
    ):
        if names:
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            said.append(f"{title} {', '.join(shown_name(name) for name in names[:MAX_NAMES])}{more}")
    moved = [
        f"{shown_name(name)} {parent.parameters[name]:.3g} -> {value:.3g}"
        for name, value in child.parameters.items()
        if name in parent.parameters and value != parent.parameters[name]
    ]
    return [*said, *moved[:MAX_NAMES]]
