"""What all votes of a run say together, for whoever runs it: candidates are named here."""

from __future__ import annotations

from collections.abc import Sequence

from rewardsmith.prefer.asking import standings
from rewardsmith.prefer.ballots import agreement, verdicts
from rewardsmith.prefer.votes import VoteBook
from rewardsmith.types import Record


class Place(Record):
    """A candidate, best first. `utility`, `low` and `high`: log odds above the average one, with 95 %."""

    candidate: str
    utility: float
    low: float
    high: float
    better_than_next: float | None  # how sure that is, 0 to 1


class Standing(Record):
    """`agreement`: share of pairs that two raters judge alike; `consistency`: that one rater judges alike again."""

    votes: int
    raters: dict[str, int]
    ranking: tuple[Place, ...]
    agreement: float | None
    consistency: float | None

    @classmethod
    def of(cls, book: VoteBook, candidates: Sequence[str]) -> Standing:
        """Raises: RunError: the votes are damaged."""
        votes = book.votes()
        known = standings(candidates, votes) if len(candidates) > 1 else None
        ranked = known.ranked if known else ()
        places = []
        for item, after in zip(ranked, [*ranked[1:], None], strict=True):
            assert known is not None
            low, high = known.interval(item)
            sure = None if after is None else known.better(item, after)
            places.append(Place(candidate=item, utility=(low + high) / 2, low=low, high=high, better_than_next=sure))
        raters = sorted({vote.rater for vote in votes})
        among = [verdicts(v.ballot) for v in votes if not v.again]
        repeated = [
            agreement([verdicts(first.ballot), verdicts(again.ballot)])
            for again in votes
            if again.again
            for first in votes
            if (first.rater, first.question, first.again) == (again.rater, again.question, False)
        ]
        pairs = sum(found.pairs for found in repeated)
        alike = sum(found.pairs * found.share for found in repeated if found.share is not None)
        return cls(
            votes=len(votes),
            raters={rater: sum(vote.rater == rater for vote in votes) for rater in raters},
            ranking=tuple(places),
            agreement=agreement(among).share if len(raters) > 1 else None,
            consistency=alike / pairs if pairs else None,
        )

    @property
    def notes(self) -> list[str]:
        """Agreement and consistency, in words."""
        said = []
        if self.agreement is not None:
            said.append(f"Of the pairs that two raters judged, they agree on {self.agreement:.0%}.")
        if self.consistency is not None:
            said.append(f"Asked a second time, raters say the same of {self.consistency:.0%} of the pairs.")
        return said
