"""The steps methods are built from. Each asks the budget, does its work, and commits its record before returning.

A step that already has a record returns it, so a resumed run walks the same path without repeating a model call or a
finished training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rewardsmith.analyze.episodes import EpisodeFacts
from rewardsmith.analyze.feedback import build_feedback
from rewardsmith.analyze.race import ending
from rewardsmith.critic import NOVELTY, Critic, fatal
from rewardsmith.design.designer import DesignContext, ScoredCandidate
from rewardsmith.loop.analyzing import analysis_of, facts_of
from rewardsmith.loop.events import CandidateChanged, RoundStarted
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.played import Played
from rewardsmith.loop.summary import candidate_state, component_means, pick_best, score_of
from rewardsmith.store import deaths_during
from rewardsmith.types import Analysis, CandidateState, Feedback, Proposal, TrainingResult, Verdict

MAX_DEATHS = 3  # of processes that were checking a reward, before it is refused unchecked


class Steps:
    """One run's steps over its parts, and the memory of what they returned so far."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._config = parts.config
        self.proposals: dict[str, Proposal] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.results: dict[str, TrainingResult] = {}
        self.analyses: dict[str, Analysis] = {}
        self._known_to_critic: set[str] = set()

    def rounds(self) -> Iterator[int]:
        """Round numbers from 1."""
        for round in range(1, self._config.rounds + 1):
            self._parts.observe(RoundStarted(f"round {round} of {self._config.rounds}"))
            yield round

    # --- propose ---------------------------------------------------------------------------------------------------

    def propose(self, round: int, feedback: Feedback | None) -> list[Proposal]:
        """This round's candidates. With `--from FILE` the first candidate of the first round is that file."""

        def make() -> list[dict]:
            self._parts.jail  # noqa: B018  starts while the designer thinks, where nothing started it before
            given = self._config.from_reward if round == 1 else None
            proposals = self._parts.designer.propose(
                self._context(feedback, given), round=round, count=self._config.candidates
            )
            if given is not None:
                start = Proposal(id=proposals[0].id, round=1, sample=0, code=given, origin="file")
                proposals = [start, *proposals[1:]]
            return [p.model_dump(mode="json") for p in proposals]

        records = self._parts.journal.once(f"round-{round}/proposals", make)
        return [self._remember(Proposal.model_validate(r)) for r in records]

    def given(self) -> list[Proposal]:
        """The rewards the person handed in, under their own names."""

        def make() -> list[dict]:
            return [
                Proposal(id=name, round=1, sample=i, code=code, origin="file").model_dump(mode="json")
                for i, (name, code) in enumerate(self._config.rewards.items())
            ]

        return [self._remember(Proposal.model_validate(r)) for r in self._parts.journal.once("round-1/proposals", make)]

    def _remember(self, proposal: Proposal) -> Proposal:
        self.proposals[proposal.id] = proposal
        if proposal.code:
            self._parts.folder.candidate(proposal.id).write_reward(proposal.code)
        self._changed(proposal.id, detail=proposal.failure)
        return proposal

    def _context(self, feedback: Feedback | None, given: str | None = None) -> DesignContext:
        best = self.best_so_far()
        return DesignContext(
            environment=self._parts.card,
            task=self._parts.task,
            feedback=feedback,
            best_code=given or (self.proposals[best].code if best else None),
            archive=tuple(
                ScoredCandidate(
                    id=id,
                    code=self.proposals[id].code,
                    success=score[0],
                    fitness=score[1],
                    components=component_means(result),
                )
                for id, result in self.results.items()
                if (score := score_of(result)) is not None
            ),
            seed=self._config.seed,
        )

    # --- check -----------------------------------------------------------------------------------------------------

    def check_and_repair(self, proposals: Sequence[Proposal]) -> list[str]:
        """Ids that the critic accepts, after at most `repairs` trips back to the designer each, and after review."""
        accepted = []
        for proposal in proposals:
            current: Proposal | None = proposal
            for attempt in range(self._config.repairs + 1):
                verdict = self._check(current)
                if verdict.accepted:
                    accepted.append(self._reviewed(current))
                    break
                if attempt == self._config.repairs or (current := self._repair(current, verdict)) is None:
                    break
        return accepted

    def _check(self, proposal: Proposal) -> Verdict:
        folder = self._parts.folder.candidate(proposal.id)

        def make() -> dict:
            critic = self._critic()
            critic.jail.warm()
            with deaths_during(folder.root / "being_checked") as deaths:
                if proposal.failure:
                    verdict, program = Verdict(candidate=proposal.id, accepted=False), None
                elif deaths >= MAX_DEATHS:
                    verdict, program = fatal(proposal.id, deaths), None
                else:
                    verdict, program = critic.check(proposal)
            if program is not None and verdict.accepted:
                folder.write_graph(program.to_json())
            folder.write_verdict(verdict)
            return verdict.model_dump(mode="json")

        verdict = Verdict.model_validate(self._parts.journal.once(f"candidate/{proposal.id}/verdict", make))
        self.verdicts[proposal.id] = verdict
        told = [f.message for f in verdict.findings if f.severity == "refuse" or f.id == NOVELTY]
        self._changed(proposal.id, detail=proposal.failure or (told[0] if told else ""))
        return verdict

    def _critic(self) -> Critic:
        """The critic, knowing every accepted reward. Only a session with something to check builds it."""
        critic = self._parts.critic
        for id, verdict in self.verdicts.items():
            if verdict.accepted and id not in self._known_to_critic:
                critic.remember(id, self._parts.load_program(id))
                self._known_to_critic.add(id)
        return critic

    def _repair(self, proposal: Proposal, verdict: Verdict) -> Proposal | None:
        def make() -> dict | None:
            repaired = self._parts.designer.repair(self._context(None), proposal, verdict)
            return repaired.model_dump(mode="json") if repaired else None

        record = self._parts.journal.once(f"candidate/{proposal.id}/repair", make)
        return self._remember(Proposal.model_validate(record)) if record else None

    def _reviewed(self, proposal: Proposal) -> str:
        """The id to train: the candidate, or what its designer made of a reviewer's objections, if the critic accepts
        that too. A reviewer can object to what the critic accepts, and never accept what it refuses."""
        for _ in range(self._config.review_rounds):
            review = self._review(proposal)
            if review.accepted or (revised := self._repair(proposal, review)) is None:
                break
            if not self._check(revised).accepted:
                break
            detail = f"reviewed: {review.findings[0].message}"
            self._parts.observe(CandidateChanged(proposal.id, CandidateState.REFUSED, detail))
            proposal = revised
        return proposal.id

    def _review(self, proposal: Proposal) -> Verdict:
        def make() -> dict:
            return self._parts.reviewer.review(self._parts.card, self._parts.task, proposal).model_dump(mode="json")

        return Verdict.model_validate(self._parts.journal.once(f"candidate/{proposal.id}/review", make))

    # --- train and analyze -----------------------------------------------------------------------------------------

    def train(self, round: int, ids: Sequence[str]) -> dict[str, TrainingResult]:
        """Train every accepted candidate on all search seeds, together."""
        for id in ids:
            self._parts.observe(CandidateChanged(id, CandidateState.TRAINING))
        results = self._parts.train(
            f"round-{round}", {id: self._parts.graph_path(id) for id in ids}, seeds=range(self._config.seeds)
        )
        self.results.update(results)
        for id, result in results.items():
            self._changed(id, detail=ending(result))
        return results

    def analyze(self, round: int, results: Mapping[str, TrainingResult]) -> None:
        """What each policy really did, in words and numbers. The next round's critic looks at the episodes, too."""
        played = Played(self._parts, f"round-{round}", results)
        for id, result in results.items():
            facts = self._facts(result, played)
            record = self._parts.journal.once(
                f"candidate/{id}/analysis",
                lambda id=id, result=result, facts=facts: analysis_of(
                    self._parts, result, self.verdicts[id], facts
                ).model_dump(mode="json"),
            )
            self.analyses[id] = Analysis.model_validate(record)
        if round < self._config.rounds:
            self._parts.show_critic(f"round-{round}", played.best)
            self._known_to_critic.clear()  # that critic is a new one

    def _facts(self, result: TrainingResult, played: Played) -> EpisodeFacts | None:
        def make() -> dict | None:
            bank = played.of(result.candidate)
            facts = facts_of(self._parts, result, bank) if bank else None
            return facts.model_dump(mode="json") if facts else None

        record = self._parts.journal.once(f"candidate/{result.candidate}/episodes", make)
        return EpisodeFacts.model_validate(record) if record else None

    def feedback(self, round: int) -> Feedback | None:
        """What the next round is told: about the best candidate of all rounds (`--feedback none` tells nothing)."""

        def make() -> dict | None:
            if self._config.feedback == "none":
                return None
            return build_feedback(
                best=self.best_so_far(),
                results=self.results,
                analyses=self.analyses,
                verdicts={id: v for id, v in self.verdicts.items() if self.proposals[id].round == round},
                detail=self._config.feedback,
            ).model_dump(mode="json")

        record = self._parts.journal.once(f"round-{round}/feedback", make)
        return Feedback.model_validate(record) if record else None

    def best_so_far(self) -> str | None:
        """Ranked by (success, fitness) of the clean evaluator, never by anything reward code wrote."""
        return pick_best(self.results)

    def _changed(self, id: str, detail: str = "") -> None:
        state = candidate_state(
            self.proposals[id], self.verdicts.get(id), self.results.get(id), best=self.best_so_far(), finished=False
        )
        self._parts.observe(CandidateChanged(id, state, detail))
