"""`BuiltinDesigner`: the evolutionary designer behind the `Designer` protocol."""

from __future__ import annotations

import numpy as np

from rewardsmith.design.builtin.breed import Breeder, Parent
from rewardsmith.design.builtin.screen import Evidence
from rewardsmith.design.builtin.source import Genome, component_names, read_genome, write_source
from rewardsmith.design.designer import DesignContext, proposal_id, repair_id, repairs_so_far
from rewardsmith.errors import EnvironmentFault
from rewardsmith.types import Proposal, Verdict

NOT_A_MODEL = "Made by the built-in designer: not a language model, the words of the task were not read."
FRESH = 0.25  # share of later rounds that does not descend from anything
TRIES = 20  # to find something not tried yet


class BuiltinDesigner:
    """Composes rewards from the interface's features; later rounds vary the archive's best by (success, fitness).

    Proposals are a function of (seed, round, sample, archive, evidence) alone, so a resumed run proposes the same.

    Args:
        seed: mixed with the seed of the context.
        evidence: from `screen_terms` on recorded episodes; without it, first rounds are blind.
        repairs: how often one proposal is varied after a refusal.
    """

    name = "builtin"
    about = "an evolutionary designer, not a language model: it composes reward terms and lets the metric decide"

    def __init__(self, seed: int = 0, *, evidence: Evidence | None = None, repairs: int = 2) -> None:
        self.seed, self.evidence, self.repairs = seed, evidence, repairs

    def propose(self, context: DesignContext, *, round: int, count: int) -> list[Proposal]:
        """`count` proposals, all different. Raises: EnvironmentFault: there is no feature to build a reward from."""
        breeder = self._breeder(context)
        parents = _parents(context)
        seen = {c.code for c in context.archive}
        proposals: list[Proposal] = []
        for sample in range(count):
            rng = self._rng(context, round, sample)
            genome, idea, ids = self._draw(breeder, parents, rng, round=round, sample=sample)
            code = write_source(genome, context.environment.interface)
            for _ in range(TRIES):
                if code not in seen:
                    break
                code = write_source(breeder.reweight(breeder.grow(genome, rng), rng), context.environment.interface)
            seen.add(code)
            proposals.append(
                Proposal(
                    id=proposal_id(round, sample),
                    round=round,
                    sample=sample,
                    code=code,
                    origin="builtin",
                    parents=ids,
                    thoughts=f"{NOT_A_MODEL} Idea: {idea}.",
                )
            )
        return proposals

    def repair(self, context: DesignContext, proposal: Proposal, verdict: Verdict) -> Proposal | None:
        """Drops the components that the findings name, else varies the proposal; None once `repairs` are used up."""
        interface = context.environment.interface
        genome = read_genome(proposal.code, interface)
        number = repairs_so_far(proposal.id) + 1
        if genome is None or number > self.repairs:
            return None
        breeder = self._breeder(context)
        rng = self._rng(context, proposal.round, proposal.sample, number)
        said = " ".join(f.message for f in verdict.findings if f.severity == "refuse")
        blamed = [name for name in component_names(genome) if f"`{name}`" in said or f"'{name}'" in said]
        kept = tuple(t for t, name in zip(genome, component_names(genome), strict=True) if name not in blamed)
        if not blamed:
            child, idea, _ = breeder.vary([Parent(proposal.id, genome, {})], rng)
        elif kept:
            child, idea = kept, f"without {', '.join(blamed)}"
        else:
            child, idea = breeder.first(proposal.sample + 1000, rng)
        return Proposal(
            id=repair_id(proposal.id),
            round=proposal.round,
            sample=proposal.sample,
            code=write_source(child, interface),
            origin="builtin",
            parents=proposal.parents,
            repair_of=proposal.id,
            thoughts=f"{NOT_A_MODEL} Repaired: {idea}.",
        )

    def _draw(
        self, breeder: Breeder, parents: list[Parent], rng: np.random.Generator, *, round: int, sample: int
    ) -> tuple[Genome, str, tuple[str, ...]]:
        if not parents:
            genome, idea = breeder.first(sample if round == 1 else sample + 1000, rng)
            return genome, idea, ()
        if sample == 0:
            best = parents[0]
            return breeder.reweight(best.genome, rng), f"new weights for {best.id}, the best so far", (best.id,)
        if rng.random() < FRESH:
            genome, idea = breeder.first(sample + 1000, rng)
            return genome, idea, ()
        genome, what, ids = breeder.vary(parents, rng)
        return genome, f"{what}, from {' and '.join(ids)}", ids

    def _breeder(self, context: DesignContext) -> Breeder:
        breeder = Breeder(context.environment.interface, self.evidence)
        if not breeder.menu:
            raise EnvironmentFault(
                f"{context.environment.name} has no numeric feature, so the built-in designer has nothing to work with",
                hint="use a language model with --llm, or add features to the environment's pack",
            )
        return breeder

    def _rng(self, context: DesignContext, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.seed, context.seed, *key]))


def _parents(context: DesignContext) -> list[Parent]:
    """The better half of the archive, best first: what the built-in designer wrote itself and can read back."""
    ranked = sorted(context.archive, key=lambda c: (-c.success, -c.fitness, c.id))
    ranked = [c for c in ranked if np.isfinite(c.success) and np.isfinite(c.fitness)]
    readable = [(c, read_genome(c.code, context.environment.interface)) for c in ranked]
    parents = [Parent(c.id, genome, c.components) for c, genome in readable if genome]
    return parents[: max(2, (len(parents) + 1) // 2)]
