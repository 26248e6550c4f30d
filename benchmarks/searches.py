"""Searches that were tried against the default method: islands (REvolve) and a tree (RF-Agent).

`PYTHONPATH=. rewardsmith batch benchmarks/searches.toml` compares them at equal budget; what came out is in
docs/results.md. Both take ranks for values, since fitness has no common scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np

from rewardsmith.config import DesignConfig
from rewardsmith.loop.outcome import Outcome
from rewardsmith.loop.search import Search
from rewardsmith.types import Order


class Islands(Search):
    """After REvolve (Hazra et al., ICLR 2025, arXiv 2406.01309).

    round 1: new ideas, dealt out to the islands
    later: for each order draw an island and a parent, the better the likelier; half are crossed with a second one of
        the island, the others changed a little; what is worse than the island's middle is forgotten
    at times: the worse half of the islands keep their best alone and take in a lesser one from a better island
    """

    defaults: ClassVar = {"candidates": 8, "rounds": 4}
    islands = 3
    crossed = 0.5
    migration = 0.3

    def __init__(self, config: DesignConfig) -> None:
        super().__init__(config)
        self._members: list[list[Outcome]] = [[] for _ in range(self.islands)]  # of each island, best first
        self._homes: list[int] = []  # the island of each order of this round

    def ask(self, round: int) -> Sequence[Order]:
        rng, count = self.rng(round), self.config.candidates
        settled = [i for i, island in enumerate(self._members) if island]
        if not settled:
            self._homes = [i % self.islands for i in range(count)]
            return [Order(edit="new", idea=i) for i in range(count)]
        if rng.random() < self.migration:
            self._migrate(rng)
        by_best = sorted(settled, key=lambda i: self._members[i][0].score or (0.0, 0.0), reverse=True)
        self._homes = [by_best[_drawn(len(by_best), rng)] for _ in range(count)]
        return [self._bred(self._members[home], rng) for home in self._homes]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        super().tell(outcomes)
        for outcome in outcomes:
            if outcome in self.scored and outcome.proposal.sample < len(self._homes):
                island = self._members[self._homes[outcome.proposal.sample]]
                middle = island[(len(island) - 1) // 2].score if island else None
                if middle is None or (outcome.score or (0.0, 0.0)) >= middle:
                    island.append(outcome)
                    island.sort(key=lambda o: o.score or (0.0, 0.0), reverse=True)

    def _bred(self, island: Sequence[Outcome], rng: np.random.Generator) -> Order:
        parent = island[_drawn(len(island), rng)]
        others = [o for o in island if o.id != parent.id]
        if others and rng.random() < self.crossed:
            return Order(edit="crossover", parents=(parent.id, others[_drawn(len(others), rng)].id))
        return Order(edit="tweak", parents=(parent.id,))

    def _migrate(self, rng: np.random.Generator) -> None:
        settled = sorted(filter(None, self._members), key=lambda island: island[0].score or (0.0, 0.0), reverse=True)
        half = (len(settled) + 1) // 2
        for weak in settled[half:]:
            lesser = settled[int(rng.integers(half))][1:]
            weak[1:] = [lesser[int(rng.integers(len(lesser)))]] if lesser else []


def _drawn(count: int, rng: np.random.Generator) -> int:
    """One of `count`, best first: each half as likely as the one before it."""
    odds = 0.5 ** np.arange(count)
    return int(rng.choice(count, p=odds / odds.sum()))


class Tree(Search):
    """After RF-Agent (NeurIPS 2025, arXiv 2602.23876): Monte Carlo tree search, a node for each reward.

    each order descends from the root by UCT to a node that has fewer children than the square root of its visits; the
    root's children are new ideas, the others changes. A node's value: the best rank, 0 to 1, of what grew from it
    """

    defaults: ClassVar = {"candidates": 8, "rounds": 4}
    curiosity = 0.7

    def __init__(self, config: DesignConfig) -> None:
        super().__init__(config)
        self._nodes: dict[str, Outcome] = {}
        self._visits: dict[str, int] = {}

    def ask(self, round: int) -> Sequence[Order]:
        self._visits = {"": sum(self._size(id) for id in self._children(""))}
        self._visits |= {id: self._size(id) for id in self._nodes}
        return [self._grown(idea) for idea in range(self.config.candidates)]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        super().tell(outcomes)
        self._nodes |= {o.id: o for o in outcomes if o in self.scored}

    def _grown(self, idea: int) -> Order:
        ranks = {o.id: 1 - place / len(self.scored) for place, o in enumerate(self.scored)}
        node, path = "", [""]
        while children := self._children(node):
            grown = self._visits[node] - sum(self._visits[c] for c in children) - (node != "")
            if len(children) + grown < math.sqrt(self._visits[node] + 1):
                break
            node = max(children, key=partial(self._worth, ranks=ranks, visits=self._visits[node]))
            path.append(node)
        for visited in path:
            self._visits[visited] += 1
        if not node:
            return Order(edit="new", idea=len(self._nodes) + idea)
        return Order(edit="tweak" if self._nodes[node].nearly else "restructure", parents=(node,))

    def _worth(self, id: str, *, ranks: dict[str, float], visits: int) -> float:
        """UCT: what grew from it, and how seldom it was looked at."""
        unsure = math.sqrt(math.log(visits + 1) / self._visits[id])
        return self._value(id, ranks) + self.curiosity * unsure

    def _children(self, id: str) -> list[str]:
        return [o.id for o in self._nodes.values() if (o.proposal.parents or ("",))[0] == id]

    def _size(self, id: str) -> int:
        return 1 + sum(self._size(child) for child in self._children(id))

    def _value(self, id: str, ranks: dict[str, float]) -> float:
        return max([ranks[id], *(self._value(child, ranks) for child in self._children(id))])
