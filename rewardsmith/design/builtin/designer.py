"""`BuiltinDesigner`: the evolutionary designer behind the `Designer` protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rewardsmith.design.builtin.breed import Breeder
from rewardsmith.design.builtin.breed import Parent as Breed
from rewardsmith.design.builtin.screen import Evidence
from rewardsmith.design.builtin.source import Genome, component_names, read_genome, write_source
from rewardsmith.design.designer import Assignment, DesignContext, Parent, proposal_id, repair_id, repairs_so_far
from rewardsmith.errors import EnvironmentFault
from rewardsmith.types import Proposal, Verdict

NOT_A_MODEL = "Made by the built-in designer: not a language model, the words of the task were not read."
TRIES = 20  # to find something not tried yet


class BuiltinDesigner:
    """Composes rewards from the interface's features, and varies the parents it is given.

    Proposals are a function of (seed, round, assignments, evidence) alone, so a resumed run proposes the same.

    Args:
        seed: mixed with the seed of the context.
        evidence: from `screen_terms` on recorded episodes; without it, first rounds are blind.
        repairs: how often one proposal is varied after a refusal.
    """

    name = "builtin"
    about = "an evolutionary designer, not a language model: it composes reward terms and lets the metric decide"

    def __init__(self, seed: int = 0, *, evidence: Evidence | None = None, repairs: int = 2) -> None:
        self.seed, self.evidence, self.repairs = seed, evidence, repairs

    def propose(self, context: DesignContext, work: Sequence[Assignment], *, round: int) -> list[Proposal]:
        """Proposals that differ from each other. Raises: EnvironmentFault: no feature to build a reward from."""
        breeder = self._breeder(context)
        seen = {c.code for c in context.archive}
        proposals: list[Proposal] = []
        for assignment in work:
            rng = self._rng(context, round, assignment.sample)
            parents = _readable(assignment.parents, context)
            genome, idea, ids = self._draw(breeder, parents, assignment, rng, first_round=round == 1)
            code = write_source(genome, context.environment.interface)
            for _ in range(TRIES):
                if code not in seen:
                    break
                code = write_source(breeder.reweight(breeder.grow(genome, rng), rng), context.environment.interface)
            seen.add(code)
            proposals.append(
                Proposal(
                    id=proposal_id(round, assignment.sample),
                    round=round,
                    sample=assignment.sample,
                    code=code,
                    origin="builtin",
                    edit=assignment.edit if ids else "new",
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
            child, idea = breeder.vary(Breed(proposal.id, genome, {}), rng)
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
            edit=proposal.edit,
            parents=proposal.parents,
            repair_of=proposal.id,
            thoughts=f"{NOT_A_MODEL} Repaired: {idea}.",
        )

    def _draw(
        self,
        breeder: Breeder,
        parents: list[Breed],
        assignment: Assignment,
        rng: np.random.Generator,
        *,
        first_round: bool,
    ) -> tuple[Genome, str, tuple[str, ...]]:
        if not parents:
            genome, idea = breeder.first(assignment.sample if first_round else assignment.sample + 1000, rng)
            return genome, idea, ()
        best = parents[0]
        if assignment.edit == "tweak":
            change, what = (breeder.reweight, "weights") if rng.random() < 0.5 else (breeder.rescale, "scales")
            return change(best.genome, rng), f"new {what} for {best.id}", (best.id,)
        if assignment.edit == "crossover" and len(parents) > 1:
            other = parents[1]
            return breeder.crossed(best, other, rng), f"terms of {best.id} and {other.id}", (best.id, other.id)
        genome, what = breeder.vary(best, rng)
        return genome, f"{what}, from {best.id}", (best.id,)

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


def _readable(parents: Sequence[Parent], context: DesignContext) -> list[Breed]:
    """The parents that the built-in designer wrote itself and can read back, with their components' sizes."""
    sizes = {c.id: c.components for c in context.archive}
    genomes = [(p.id, read_genome(p.code, context.environment.interface)) for p in parents]
    return [Breed(id, genome, sizes.get(id, {})) for id, genome in genomes if genome]
