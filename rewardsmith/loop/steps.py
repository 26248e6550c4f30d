"""The steps methods are built from. Each asks the budget, does its work, and commits its record before returning.

A step that already has a record returns it, so a resumed run walks the same path without repeating a model call or a
finished training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from rewardsmith.analyze.episodes import EpisodeFacts
from rewardsmith.analyze.feedback import build_feedback
from rewardsmith.analyze.lineage import Bred, history
from rewardsmith.analyze.race import ending
from rewardsmith.critic import NOVELTY, Critic, fatal
from rewardsmith.design.designer import Assignment, DesignContext, Parent, ScoredCandidate, proposal_id
from rewardsmith.loop.analyzing import analysis_of, facts_of
from rewardsmith.loop.events import CandidateChanged, RoundStarted
from rewardsmith.loop.outcome import Outcome
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.played import Played
from rewardsmith.loop.solving import solves
from rewardsmith.loop.summary import START, Screened, WishesMet, candidate_state, component_means, pick_best, score_of
from rewardsmith.loop.tuning import tune
from rewardsmith.loop.voting import difference, judge, liked_before, told_of_preferences
from rewardsmith.loop.wishes import wishes_met
from rewardsmith.store import deaths_during
from rewardsmith.tune import choose
from rewardsmith.types import Analysis, CandidateState, Feedback, Judgement, Order, Proposal, TrainingResult, Verdict

FURTHER = 8  # times that refused rewards are replaced by others, before fewer are trained
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
        self.feedbacks: list[Feedback] = []  # of this round
        self.judgements: list[Judgement] = []  # of each round, where raters judge
        self._known_to_critic: set[str] = set()
        self._start = START if self._config.refines is not None else None  # what every change is compared with

    def rounds(self) -> Iterator[int]:
        """Round numbers from 1; with `stop_when_solved` none after the one that solves the task."""
        last = self._config.rounds
        for round in range(1, last + 1):
            self._parts.observe(RoundStarted(f"round {round} of {last}", measured=not self._config.unmeasured))
            yield round
            if self._config.stop_when_solved and round < last and self._solved():
                return

    def _solved(self) -> bool:
        """Whether the best reward so far solves the task, by more than what ranked it."""
        best = self.best_so_far()
        return best is not None and self._outcome(best).solved and solves(self._parts, best, self.results[best])

    def end_early(self, round: int) -> None:
        """Tell that a method asked for nothing in this round."""
        best = self.best_so_far()
        found = f" with {best} (success {self._outcome(best).success:.2f})" if best else ""
        self._parts.say(f"the method {self._config.method} asks for nothing in round {round}: the search ends{found}")

    # --- propose ---------------------------------------------------------------------------------------------------

    def propose(self, round: int, orders: Sequence[Order]) -> list[Proposal]:
        """A reward for each order. With `--from FILE` the first one of the first round is that file."""

        def make() -> list[dict]:
            self._parts.jail  # noqa: B018  starts while the designer thinks, where nothing started it before
            placed = list(enumerate(self._from_file(orders) if round == 1 else orders))
            return self._made(round, placed)

        self.feedbacks = self._feedback(round, orders)
        records = self._parts.journal.once(f"round-{round}/proposals", make)
        return [self._remember(Proposal.model_validate(r)) for r in records]

    def _made(self, round: int, placed: Sequence[tuple[int, Order]]) -> list[dict]:
        """Proposals for orders (sample, order)."""
        given = [self._as_it_is(round, sample, order) for sample, order in placed if order.code]
        tuned = tune(self._parts, round, [(n, o) for n, o in placed if o.edit == "tune"], self.proposals)
        known = self.proposals | {p.id: p for p in given}
        work = [self._assignment(n, o, known) for n, o in placed if not o.code and o.edit != "tune"]
        asked = self._parts.designer.propose(self._context(round), work, round=round) if work else []
        return [p.model_dump(mode="json") for p in sorted([*given, *tuned, *asked], key=lambda p: p.sample)]

    def _from_file(self, orders: Sequence[Order]) -> Sequence[Order]:
        """What to ask for where the person brought a reward along: that one, and improvements of it."""
        brought = self._config.from_reward
        if brought is None or any(order.code for order in orders):
            return orders
        first = Order(id=proposal_id(1, 0), code=brought)
        return [
            first,
            *(order.model_copy(update={"edit": "restructure", "parents": (first.id,)}) for order in orders[1:]),
        ]

    def _as_it_is(self, round: int, sample: int, order: Order) -> Proposal:
        return Proposal(
            id=order.id or proposal_id(round, sample), round=round, sample=sample, code=order.code, origin="file"
        )

    def _assignment(self, sample: int, order: Order, known: Mapping[str, Proposal]) -> Assignment:
        told = {f.about: f.text for f in self.feedbacks}
        parents = tuple(Parent(id, known[id].code, told.get(id, "")) for id in order.parents)
        return Assignment(sample=sample, edit=order.edit, idea=order.idea, parents=parents)

    def _remember(self, proposal: Proposal) -> Proposal:
        self.proposals[proposal.id] = proposal
        if proposal.code:
            self._parts.folder.candidate(proposal.id).write_reward(proposal.code)
        self._changed(proposal.id, detail=proposal.failure)
        return proposal

    def _context(self, round: int) -> DesignContext:
        return DesignContext(
            environment=self._parts.card,
            task=self._parts.told_task,
            archive=tuple(
                ScoredCandidate(
                    id=id,
                    code=self.proposals[id].code,
                    success=0.0 if self._parts.blind else score[0],
                    fitness=0.0 if self._parts.blind else score[1],
                    components=component_means(result),
                )
                for id, result in self.results.items()
                if (score := score_of(result)) is not None
            ),
            history=self._history(round),
            wishes=self._parts.wishes,
            seed=self._config.seed,
        )

    def _history(self, round: int) -> str:
        """What earlier edits did; as long as nothing could be trained, why not."""
        if round == 1 or self._config.feedback in ("none", "scalar"):
            return ""
        if self.best_so_far() is None:
            return self.feedbacks[0].text if self.feedbacks else ""
        if self._parts.blind:
            return liked_before(self.judgements, self.results)
        return history(
            [
                Bred(
                    id=id,
                    edit=self.proposals[id].edit,
                    parents=self.proposals[id].parents,
                    score=score,
                    components=frozenset(component_means(result)),
                    parameters=self._parts.load_program(id).parameters,
                )
                for id, result in self.results.items()
                if (score := score_of(result)) is not None
            ]
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
            repaired = self._parts.designer.repair(self._context(proposal.round), proposal, verdict)
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
            return self._parts.reviewer.review(self._parts.card, self._parts.told_task, proposal).model_dump(
                mode="json"
            )

        return Verdict.model_validate(self._parts.journal.once(f"candidate/{proposal.id}/review", make))

    def complete(self, round: int, orders: Sequence[Order], accepted: Sequence[str]) -> list[str]:
        """With `guarantee`: what is accepted, with further rewards in the place of those that were refused."""
        found = list(accepted)
        if not self._config.guarantee:
            return found
        kept = {self.proposals[id].sample for id in found}
        pending = [self._instead(order) for sample, order in enumerate(orders) if sample not in kept]
        sample = len(orders)
        for attempt in range(1, FURTHER + 1):
            if not pending:
                break
            placed = list(enumerate(pending, start=sample))
            records = self._parts.journal.once(
                f"round-{round}/further-{attempt}", lambda placed=placed: self._made(round, placed)
            )
            more = self.check_and_repair([self._remember(Proposal.model_validate(r)) for r in records])
            found += more
            kept = {self.proposals[id].sample for id in more}
            pending = [order for n, order in placed if n not in kept]
            sample += len(placed)
        if pending:
            self._parts.say(
                f"{len(found)} of {len(orders)} rewards pass the critic after {FURTHER} more attempts: on with these"
            )
        return found

    @staticmethod
    def _instead(order: Order) -> Order:
        """Numbers cannot be tuned a second time: a designer is asked then."""
        return order.model_copy(update={"edit": "restructure"}) if order.edit == "tune" else order

    # --- screen ----------------------------------------------------------------------------------------------------

    def screen(self, round: int, ids: Sequence[str]) -> list[str]:
        """Of many accepted rewards, those worth training (`--train`), by the episodes that the critic knows, too."""
        keep = self._config.train
        if keep is None or len(ids) <= keep:
            return list(ids)

        def make() -> dict:
            choice = choose({id: self._parts.load_program(id) for id in ids}, self._parts.known_episodes, keep=keep)
            if choice.inconclusive:
                self._parts.say(f"screening goes by difference alone: {choice.inconclusive}")
            return Screened(**choice._asdict()).model_dump(mode="json")

        kept = Screened.model_validate(self._parts.journal.once(f"round-{round}/screening", make)).kept
        for id in ids:
            if id not in kept:
                self._parts.observe(CandidateChanged(id, CandidateState.SCREENED))
        return list(kept)

    # --- train and analyze -----------------------------------------------------------------------------------------

    def train(self, round: int, ids: Sequence[str]) -> dict[str, TrainingResult]:
        """Train every accepted candidate on all search seeds, together; a reward that is refined always to the end."""
        for id in ids:
            self._parts.observe(CandidateChanged(id, CandidateState.TRAINING))
        results = self._parts.train(
            f"round-{round}",
            {id: self._parts.graph_path(id) for id in ids},
            seeds=range(self._config.seeds),
            spared=[self._start] if self._start else [],
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
                    self._parts, round, result, self.verdicts[id], facts, self._met(id, played)
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

    def _met(self, id: str, played: Played) -> WishesMet | None:
        """How far a candidate's policies meet the person's wishes; None where nothing is checked."""
        if not self._parts.task.goal.checks:
            return None

        def make() -> dict | None:
            bank = played.of(id)
            return wishes_met(self._parts, bank).model_dump(mode="json") if bank else None

        record = self._parts.journal.once(f"candidate/{id}/wishes", make)
        return WishesMet.model_validate(record) if record else None

    def _feedback(self, round: int, orders: Sequence[Order]) -> list[Feedback]:
        """What designers are told about each reward that something shall descend from, the best one first.

        While nothing could be trained, why not. `--feedback none` tells nothing.
        """

        def make() -> list[dict]:
            if self._config.feedback == "none":
                return []
            if round == 1:
                carried = self._parts.carried
                return [Feedback(about=START, text=carried.told).model_dump(mode="json")] if carried else []
            wanted = list(dict.fromkeys(id for order in orders for id in order.parents))
            last = {id: v for id, v in self.verdicts.items() if self.proposals[id].round == round - 1}
            if self._parts.blind:
                told = told_of_preferences(self.judgements, self.results, wanted, last)
                return [f.model_dump(mode="json") for f in told]
            shown = [self.best_so_far(), *(id for id in wanted if id != self.best_so_far())]
            return [
                build_feedback(
                    best=id,
                    results=self.results,
                    analyses=self.analyses,
                    verdicts=last,
                    detail="scalar" if self._config.feedback == "scalar" else "full",
                ).model_dump(mode="json")
                for id in shown
                if id is None or id in self.results
            ]

        return [Feedback.model_validate(r) for r in self._parts.journal.once(f"round-{round}/feedback", make)]

    # --- judge -----------------------------------------------------------------------------------------------------

    def judge(self, round: int, results: Mapping[str, TrainingResult]) -> None:
        """Where raters judge: which of the round's rewards they like best and least."""
        if not self._parts.blind:
            return

        def make() -> dict:
            before = self.best_so_far()
            scores = {id: score for id, result in self.results.items() if (score := score_of(result)) is not None}
            found = judge(self._parts, round, results, before=before, scores=scores)
            if before and found.best and found.best != before:
                found = found.model_copy(update={"difference": difference(self._parts, round, before, found.best)})
            return found.model_dump(mode="json")

        found = Judgement.model_validate(self._parts.journal.once(f"round-{round}/judgement", make))
        self.judgements.append(found)
        self._known_to_critic.clear()  # while people were awaited, the critic was let go
        for id in results:
            self._changed(id)

    # --- pick ------------------------------------------------------------------------------------------------------

    def outcomes(self, round: int) -> list[Outcome]:
        """How everything that was proposed in this round ended; where raters judge, also what they like best by now."""
        found = [id for id, proposal in self.proposals.items() if proposal.round == round]
        if self._parts.blind and (best := self.best_so_far()) and best not in found:
            found.append(best)
        return [self._outcome(id, round) for id in found]

    def _outcome(self, id: str, round: int | None = None) -> Outcome:
        return Outcome(
            proposal=self.proposals[id],
            score=score_of(self.results[id]) if id in self.results else None,
            has_success=self._parts.has_success,
            pick=self._pick(round, id) if round else None,
        )

    def _pick(self, round: int, id: str) -> Literal["best", "worst"] | None:
        if len(self.judgements) < round or not (found := self.judgements[round - 1]).decided:
            return None
        return "best" if id == found.best else "worst" if id == found.worst else None

    def best_so_far(self) -> str | None:
        """By (success, fitness) of the clean evaluator, or by raters; never by anything reward code wrote."""
        if self._parts.blind:
            return self.judgements[-1].best if self.judgements else None
        return pick_best(self.results, start=self._start)

    def _changed(self, id: str, detail: str = "") -> None:
        state = candidate_state(
            self.proposals[id], self.verdicts.get(id), self.results.get(id), best=self.best_so_far(), finished=False
        )
        self._parts.observe(CandidateChanged(id, state, detail))
