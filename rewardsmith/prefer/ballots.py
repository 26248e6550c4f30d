"""What a rater said about a set of items, whatever the form of the question, and what it says of two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from pydantic import model_validator

from rewardsmith.types import Record

Form = Literal["best_worst", "ranking", "unsure"]
"""`best_worst`: the best and the worst of them; `ranking`: all in order, ties allowed; `unsure`: cannot tell."""


class Ballot(Record):
    """One answer of one rater.

    Attributes:
        shown: the items, in the order in which they were shown.
        order: groups of items, best first, those of a group tied. `best_worst`: the best and the worst alone, which
            says nothing about the order of the others. `unsure`: empty.
        comment: what the rater wrote beside it.
    """

    rater: str
    form: Form
    shown: tuple[str, ...]
    order: tuple[tuple[str, ...], ...] = ()
    comment: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Ballot:
        named = [item for group in self.order for item in group]
        if len(set(self.shown)) != len(self.shown) or len(self.shown) < 2:
            raise ValueError("a ballot is about two different items at least")
        if len(set(named)) != len(named) or not set(named) <= set(self.shown) or not all(self.order):
            raise ValueError("a ballot orders each item that was shown once at most, and no others")
        if self.form == "unsure" and self.order:
            raise ValueError("who cannot tell gives no order")
        if self.form == "best_worst" and [len(group) for group in self.order] != [1, 1]:
            raise ValueError("there is one best and one worst item, and they are not the same")
        if self.form == "ranking" and len(named) != len(self.shown):
            raise ValueError("a ranking orders all items that were shown")
        return self


class Choice(NamedTuple):
    """`picked`, tied, are the best (or the worst) `among` items, which they belong to."""

    picked: tuple[str, ...]
    among: tuple[str, ...]
    worst: bool = False


def choices(ballot: Ballot) -> list[Choice]:
    """The picks one after the other that the ballot consists of, as in Luce's model: best first.

    A best and a worst are a pick of the best among all, then of the worst among the others.
    """
    if ballot.form == "unsure":
        return []
    if ballot.form == "best_worst":
        (best,), (worst,) = ballot.order
        others = tuple(item for item in ballot.shown if item != best)
        found = [Choice((best,), ballot.shown)]
        return found if len(others) == 1 else [*found, Choice((worst,), others, worst=True)]
    left, found = list(ballot.shown), []
    for group in ballot.order:
        if len(left) > 1:
            found.append(Choice(group, tuple(left)))
        left = [item for item in left if item not in group]
    return found


def verdicts(ballot: Ballot) -> dict[tuple[str, str], int]:
    """What it says of pairs (a, b), a before b in the alphabet: 1 a is better, -1 b is, 0 tied. Others are left out."""
    place = {item: rank for rank, group in enumerate(ballot.order) for item in group}
    if ballot.form == "best_worst":
        place = {item: 2 * place.get(item, 0.5) for item in ballot.shown}
    said = {}
    for a, b in combinations(sorted(place), 2):
        if ballot.form == "ranking" or place[a] != place[b]:
            said[a, b] = (place[a] < place[b]) - (place[a] > place[b])
    return said


class Agreement(NamedTuple):
    """How far judgements of the same pairs agree: the `share` that does, and Krippendorff's `alpha`.

    Alpha is 1 where all agree and about 0 where they agree as often as by chance. Both are None without such pairs.
    """

    share: float | None
    alpha: float | None
    pairs: int  # judgements of the same pair of items, compared two by two


def agreement(judged: Iterable[Mapping[tuple[str, str], int]]) -> Agreement:
    """Of several judges, or of one judge at several times: each gives verdicts by pair of items."""
    by_pair: dict[tuple[str, str], list[int]] = {}
    for judge in judged:
        for pair, verdict in judge.items():
            by_pair.setdefault(pair, []).append(verdict)
    several = [found for found in by_pair.values() if len(found) > 1]
    couples = [a == b for found in several for a, b in combinations(found, 2)]
    if not couples:
        return Agreement(None, None, 0)
    turned = [[-verdict for verdict in found] for found in several]  # which of a pair comes first must not matter
    return Agreement(sum(couples) / len(couples), nominal_alpha([*several, *turned]), len(couples))


def nominal_alpha(units: Sequence[Sequence[int]]) -> float | None:
    """Krippendorff's alpha (2011) of nominal values: two or more of each unit; None where all values are the same."""
    values = [value for unit in units for value in unit]
    differing = sum(2 * sum(a != b for a, b in combinations(unit, 2)) / (len(unit) - 1) for unit in units)
    observed = differing / len(values)
    counts = Counter(values)
    expected = sum(n * (len(values) - n) for n in counts.values()) / (len(values) * (len(values) - 1))
    return 1.0 - observed / expected if expected else None
