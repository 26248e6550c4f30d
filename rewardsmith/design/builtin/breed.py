"""Making genomes: a first population from evidence, and variation of what scored well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rewardsmith.design.builtin.screen import Evidence, SignalStats, default_stats, sized, verbs_for
from rewardsmith.design.builtin.signals import Signal, signal_from_key, signals
from rewardsmith.design.builtin.source import Genome, component_names
from rewardsmith.design.builtin.terms import OPPOSITE, Term, Verb, term_from_key
from rewardsmith.types import RewardInterface

MOST_TERMS = 6
FEW_FEATURES = 3
ALIVE = Term("alive", weight=0.5)
ENDING = Term("ending", weight=10.0)
EFFORT = Term("effort", weight=0.05)
BOLDNESS = 6.0  # how strongly random draws follow the evidence


@dataclass(frozen=True)
class Parent:
    """A scored genome; `components` are mean values per step during training, by name."""

    id: str
    genome: Genome
    components: Mapping[str, float]


class Breeder:
    """Draws and varies genomes for one interface. Holds no state: randomness comes in from outside."""

    def __init__(self, interface: RewardInterface, evidence: Evidence | None = None) -> None:
        self.interface = interface
        self.evidence = evidence or Evidence()
        useful = [s for s in signals(interface) if self._says_something_new(s)]
        self.menu: list[tuple[Verb, Signal]] = [(v, s) for s in useful for v in verbs_for(s, interface)]

    # --- parts -------------------------------------------------------------------------------------------------------

    def _says_something_new(self, signal: Signal) -> bool:
        """What never changed says nothing; the size or square of what never changes its sign is the value again."""
        stats = self.stats(signal)
        if stats.high - stats.low < 1e-4 * max(abs(stats.low), abs(stats.high)) and stats.change < 1e-6:
            return False
        if signal.form not in ("size", "square"):
            return True
        plain = self.stats(replace(signal, form="entry"))
        return plain.low < 0 < plain.high

    def stats(self, signal: Signal) -> SignalStats:
        return self.evidence.stats.get(signal.key) or default_stats(signal, self.interface)

    def term(self, verb: Verb, signal: Signal) -> Term:
        return sized(verb, signal, self.stats(signal), at_best=bool(self.evidence.scores))

    def score(self, term: Term) -> float:
        return self.evidence.scores.get(replace(term, gate=None).key, 0.0)

    def ranked(self, *verbs: Verb) -> list[Term]:
        """Terms with favourable evidence, best first, at most one for each feature (of few features: each entry)."""
        few = len(self.interface.features) < FEW_FEATURES
        terms = [self.term(v, s) for v, s in self.menu if not verbs or v in verbs]
        terms = sorted((t for t in terms if self.score(t) > 0), key=lambda t: (-self.score(t), t.key))
        seen: set[object] = set()
        best: list[Term] = []
        for term in terms:
            about = _about(term) if few or term.signal is None else term.signal.feature
            if about not in seen:
                seen.add(about)
                best.append(term)
        return best

    def draw(self, rng: np.random.Generator, *, not_about: Sequence[Term] = ()) -> Term:
        """A random term, likelier with favourable evidence; about something new as long as there is such a thing."""
        taken, keys = {_about(t) for t in not_about}, {t.key for t in not_about}
        menu = [self.term(v, s) for v, s in self.menu]
        terms = [t for t in menu if _about(t) not in taken] or [t for t in menu if t.key not in keys] or menu
        odds = np.exp(BOLDNESS * np.array([self.score(t) for t in terms]))
        return terms[rng.choice(len(terms), p=odds / odds.sum())]

    # --- the first population ----------------------------------------------------------------------------------------

    def first(self, sample: int, rng: np.random.Generator) -> tuple[Genome, str]:
        """Genome and idea of sample `sample` of a first round: recipes that use the evidence, then random draws."""
        recipes: list[tuple[str, Callable[[], Genome]]] = [
            ("the terms that explain success together", lambda: self._picked("all")),
            ("progress in what goes along with success", lambda: self._picked("progress")),
            ("the single best term, and staying alive", lambda: (*self.ranked()[:1], *self._staying())),
            ("the best term while the posture holds", self._upright),
            ("bounded terms only", lambda: self._picked("bounded")),
        ]
        if self.evidence.scores and sample < len(recipes):
            idea, recipe = recipes[sample]
            genome = recipe()
            if genome:
                return self._finished(genome, rng), idea
        return self._finished(self._random(rng), rng), "a random draw"

    def _picked(self, group: str) -> Genome:
        terms = [term_from_key(key) for key in self.evidence.picks.get(group, ())]
        return tuple(self.term(t.verb, t.signal) for t in terms if t is not None and t.signal is not None)

    def _upright(self) -> Genome:
        best = self.ranked("high", "low", "more", "less")[:1]
        postures = self.postures(best[0]) if best else []
        return (self._gate(best[0], postures[0]), replace(postures[0], weight=0.3)) if postures else ()

    def postures(self, term: Term) -> list[Term]:
        """What may be kept near a value while `term` is sought: what is lost where episodes end, then what did well."""
        kept: list[Term] = []
        for key, away in self.evidence.postures.items():
            if signal := signal_from_key(key):
                kept.append(replace(self.term("near", signal), target=self.stats(signal).start, scale=away))
        return [t for t in (*kept, *self.ranked("near")) if _about(t) != _about(term)]

    def _random(self, rng: np.random.Generator) -> Genome:
        terms: list[Term] = []
        for _ in range(int(rng.integers(2, 5))):
            terms.append(self.draw(rng, not_about=terms))
        if rng.random() < 0.5:
            terms += self._staying()
        elif self.evidence.ended == 0 and rng.random() < 0.25:
            terms.append(ENDING)  # what a random policy never reaches may be the goal
        return tuple(terms)

    def _staying(self) -> Genome:
        """A bonus for staying alive where episodes end early, unless longer ones were clearly worse."""
        return (ALIVE,) if self.evidence.ended > 0 and self.score(ALIVE) > -0.3 else ()

    def _finished(self, genome: Genome, rng: np.random.Generator) -> Genome:
        """Sometimes with a small price on effort."""
        return self._worth_living((*genome, EFFORT) if rng.random() < 0.5 else genome)

    def _worth_living(self, genome: Genome) -> Genome:
        """Where episodes end early and every term only costs, ending at once would pay best: a bonus prevents that."""
        if self.evidence.ended > 0 and all(_only_costs(t) for t in genome):
            genome = (*genome[: MOST_TERMS - 1], replace(ALIVE, weight=float(len(genome))))
        return _unique(genome)

    def _gate(self, term: Term, posture: Term) -> Term:
        return replace(term, gate=posture.signal, gate_scale=2 * posture.scale, gate_target=posture.target)

    # --- variation ---------------------------------------------------------------------------------------------------

    def vary(self, parent: Parent, rng: np.random.Generator) -> tuple[Genome, str]:
        """A child, and what was done."""
        moves: list[tuple[str, Callable[[], Genome]]] = [
            ("new weights", lambda: self.reweight(parent.genome, rng)),
            ("new scales", lambda: self.rescale(parent.genome, rng)),
            ("a term more", lambda: self.grow(parent.genome, rng)),
            ("a term exchanged", lambda: self.exchange(parent.genome, rng)),
            ("another form", lambda: self.reform(parent.genome, rng)),
        ]
        if len(parent.genome) > 1:
            moves.append(("a term less", lambda: self.shrink(parent.genome, rng)))
            moves.append(("the largest component scaled down", lambda: balance(parent)))
        what, move = moves[rng.integers(len(moves))]
        return self._fit_for_life(move(), parent), what

    def crossed(self, parent: Parent, other: Parent, rng: np.random.Generator) -> Genome:
        """A child with terms of both."""
        return self._fit_for_life(cross(parent.genome, other.genome, rng), parent)

    def _fit_for_life(self, genome: Genome, parent: Parent) -> Genome:
        return self._worth_living(self._with_signal(_unique(genome), parent))

    def _with_signal(self, genome: Genome, parent: Parent) -> Genome:
        """`genome`, never made of bonuses and prices alone."""
        if any(t.signal is not None for t in genome):
            return genome
        return next(((t, *genome) for t in parent.genome if t.signal is not None), genome)

    def reweight(self, genome: Genome, rng: np.random.Generator) -> Genome:
        factors = 2.0 ** rng.normal(0, 1, len(genome))
        return tuple(replace(t, weight=t.weight * float(f)) for t, f in zip(genome, factors, strict=True))

    def rescale(self, genome: Genome, rng: np.random.Generator) -> Genome:
        factors = 2.0 ** rng.normal(0, 1, len(genome))
        return tuple(replace(t, scale=t.scale * float(f)) for t, f in zip(genome, factors, strict=True))

    def grow(self, genome: Genome, rng: np.random.Generator) -> Genome:
        missing = [t for t in (ALIVE, ENDING, EFFORT) if all(t.verb != g.verb for g in genome)]
        if missing and rng.random() < 0.3:
            return (*genome, missing[rng.integers(len(missing))])
        return (*genome, self.draw(rng, not_about=genome))

    def shrink(self, genome: Genome, rng: np.random.Generator) -> Genome:
        gone = rng.integers(len(genome))
        return genome[:gone] + genome[gone + 1 :]

    def exchange(self, genome: Genome, rng: np.random.Generator) -> Genome:
        at = rng.integers(len(genome))
        rest = genome[:at] + genome[at + 1 :]
        return (*rest, replace(self.draw(rng, not_about=genome), weight=max(genome[at].weight, 0.1)))

    def reform(self, genome: Genome, rng: np.random.Generator) -> Genome:
        """One term with the same subject takes another form: the opposite, linear for bounded, or gated."""
        about = [i for i, t in enumerate(genome) if t.signal is not None]
        if not about:
            return self.grow(genome, rng)
        at = about[rng.integers(len(about))]
        old = genome[at]
        assert old.signal is not None
        kind = rng.integers(4)
        if kind == 0 and old.verb in OPPOSITE:
            new = replace(old, verb=OPPOSITE[old.verb])
        elif kind == 1 and old.gate is None and (postures := self.postures(old)):
            new = self._gate(old, postures[rng.integers(min(3, len(postures)))])
        else:
            verbs: list[Verb] = [
                v for v in verbs_for(old.signal, self.interface) if v != old.verb and self._same_way(v, old.verb)
            ]
            if not verbs:
                return self.reweight(genome, rng)
            new = replace(self.term(verbs[int(rng.integers(len(verbs)))], old.signal), weight=old.weight)
        return (*genome[:at], new, *genome[at + 1 :])

    def _same_way(self, a: Verb, b: Verb) -> bool:
        up: set[Verb] = {"more", "high", "gain", "near"}
        down: set[Verb] = {"less", "low", "shed", "near"}
        return {a, b} <= up or {a, b} <= down


def cross(a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
    """Each term of both parents with even odds, at least one, no subject twice."""
    pool = {t.key: t for t in (*b, *a)}
    chosen = [t for t in pool.values() if rng.random() < 0.5] or [a[0]]
    unique: dict[object, Term] = {}
    for term in chosen:
        unique.setdefault(_about(term), term)
    return tuple(unique.values())


def balance(parent: Parent) -> Genome:
    """The parent with its largest component scaled down to three times the typical size of the others."""
    names = component_names(parent.genome)
    sizes = [abs(parent.components.get(name, 0.0)) for name in names]
    if max(sizes) == 0:
        return (replace(parent.genome[0], weight=parent.genome[0].weight / 2), *parent.genome[1:])
    at = int(np.argmax(sizes))
    typical = float(np.median([s for i, s in enumerate(sizes) if i != at]))
    factor = min(0.5, max(0.05, 3 * typical / sizes[at]))
    return tuple(replace(t, weight=t.weight * factor) if i == at else t for i, t in enumerate(parent.genome))


def _about(term: Term) -> object:
    """What a term is about: two terms about the same thing rarely help each other."""
    if term.signal is None:
        return term.verb
    return (term.signal.feature, term.signal.index, term.signal.other)


def _only_costs(term: Term) -> bool:
    """Whether the term is never positive, whatever happens."""
    if term.signal is None:
        return term.verb == "effort"
    return term.verb in ("less", "low") and term.signal.never_negative and term.target <= 0


def _unique(genome: Genome) -> Genome:
    return tuple({t.key: t for t in genome}.values())[:MOST_TERMS]
