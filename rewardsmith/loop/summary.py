"""What a run amounts to, read from its folder: the one source for the terminal, the report, scripts and `resume`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from rewardsmith.analyze.episodes.facts import EpisodeFacts
from rewardsmith.budget import Spent
from rewardsmith.config import JUDGED, DesignConfig
from rewardsmith.critic.critic import DUPLICATE
from rewardsmith.errors import RunError
from rewardsmith.llm import Completion
from rewardsmith.stats import MIN_SEEDS, Decision, Interval, decide, interval
from rewardsmith.store import ID_PATTERN, Journal, RunFolder, find_run, inside
from rewardsmith.types import (
    Analysis,
    CandidateState,
    Criterion,
    Feedback,
    Goal,
    Judgement,
    Member,
    MemberResult,
    Proposal,
    Record,
    Task,
    TrainingResult,
    Verdict,
)

T = TypeVar("T")
M = TypeVar("M", bound=Criterion)

SPARSE = "sparse"  # the id under which the sparse reference reward is trained
START = "start"  # the id of the reward that is refined
FILM = "best.mp4"
UNCHANGED = "no change did better than the reward that was refined: it stays the best one"

_MEMBER_STATES = {
    "diverged": CandidateState.DIVERGED,
    "crashed_reward": CandidateState.CRASHED_REWARD,
    "crashed_env": CandidateState.CRASHED_ENV,
    "timed_out": CandidateState.TIMED_OUT,
    "budget": CandidateState.BUDGET,
    "dropped": CandidateState.DROPPED,
}


class Finished(Record):
    """The record that a run came to its end."""

    best: str | None


class Session(Record):
    """The record of one process that drove the run and ended by itself."""

    wall_s: float


class Cost(Record):
    """The record of env steps that were paid for."""

    env_steps: int


class Screened(Record):
    """The record of which accepted rewards of a round are trained, and why: see `tune.choose`."""

    kept: tuple[str, ...]
    scores: dict[str, float | None]
    inconclusive: str

    def why(self, id: str) -> str:
        """Why an accepted reward is not trained; empty for those that are."""
        if id in self.kept or id not in self.scores:
            return ""
        if self.inconclusive:
            return f"not trained: which is better nobody can tell ({self.inconclusive}), so those that differ most were"
        own = self.scores[id]
        if own is None:
            return "not trained: what it pays in recorded episodes cannot be compared with the metric"
        kept = [score for other in self.kept if (score := self.scores.get(other)) is not None]
        those = f"{min(kept):.2f} to {max(kept):.2f}" if kept else "unknown"
        return f"not trained: it agrees with the metric by {own:.2f} on recorded episodes, those kept by {those}"


class WishesMet(Record):
    """The record of how far a reward's policies meet the person's wishes: shares of recorded episodes."""

    episodes: int
    success: float  # of them, as the goal with its checks has it
    shares: dict[str, float]  # by wish


class Candidate(Record):
    """One candidate with everything known about it."""

    proposal: Proposal
    verdict: Verdict | None = None
    training: TrainingResult | None = None
    analysis: Analysis | None = None
    episodes: EpisodeFacts | None = None  # what recorded episodes of its policies show
    screened: str = ""  # why it is not trained, where screening left it out
    state: CandidateState = CandidateState.PROPOSED

    @property
    def id(self) -> str:
        return self.proposal.id

    @property
    def score(self) -> tuple[float, float] | None:
        """Mean (success, fitness) over the seeds that trained to the end, as the clean evaluator measured it."""
        return score_of(self.training) if self.training else None


class Headline(Record):
    """The honest comparison: fresh seeds that selection never saw, policies measured on episodes of their own."""

    designed_success: tuple[float, ...]
    designed_fitness: tuple[float, ...]
    sparse_success: tuple[float, ...] = ()
    sparse_fitness: tuple[float, ...] = ()
    start_success: tuple[float, ...] = ()  # of the reward that was refined
    start_fitness: tuple[float, ...] = ()

    @property
    def reference(self) -> str | None:
        """What the designed reward is compared with."""
        return START if self.start_success else SPARSE if self.sparse_success else None

    @property
    def decision(self) -> Decision:
        """Designed against its reference."""
        sparse, start = (self.sparse_success, self.sparse_fitness), (self.start_success, self.start_fitness)
        return decide((self.designed_success, self.designed_fitness), start if self.reference == START else sparse)


class RunSummary(Record):
    """A run as its folder tells it. `finished` is False for a run that can be resumed."""

    id: str
    root: Path
    config: DesignConfig
    task: Task | None
    finished: bool
    candidates: tuple[Candidate, ...]
    feedbacks: tuple[tuple[Feedback, ...], ...]  # of each round: what designers were told in it, the best one first
    best: str | None
    judgements: tuple[Judgement, ...] = ()  # of each round, where raters judged
    headline: Headline | None
    final: dict[str, TrainingResult]
    wishes: dict[str, WishesMet] = Field(default_factory=dict)  # met by the reward that was refined and by the best one
    spent: Spent
    wall_s: float  # of all sessions that ended by themselves

    def candidate(self, id: str) -> Candidate:
        return next(c for c in self.candidates if c.id == id)

    def liked(self, id: str) -> str:
        """What raters said of a candidate, in words: "best of round 1, 2"; empty where they named it nowhere."""
        decided = [(n, j) for n, j in enumerate(self.judgements, 1) if j.decided]
        named = {"best": [n for n, j in decided if j.best == id], "worst": [n for n, j in decided if j.worst == id]}
        return "; ".join(f"{what} of round {', '.join(map(str, ns))}" for what, ns in named.items() if ns)

    @property
    def unchanged(self) -> bool:
        """Whether no change of the refined reward did better than it."""
        return self.config.refines is not None and self.best == START

    @property
    def has_success(self) -> bool:
        """Whether the goal knows success, as far as the best candidate's analysis says; else a 0 says nothing."""
        analysis = self.candidate(self.best).analysis if self.best else None
        return analysis is None or analysis.has_success

    @property
    def best_path(self) -> Path | None:
        """The winning reward file."""
        return self.root / "candidates" / self.best / "reward.py" if self.best else None


def located_goal(goal: Goal, root: Path) -> Goal:
    """Model-written goals and checks name their graphs relative to the run's folder; this makes the paths whole.

    Raises: RunError: there is no such file in the run's folder.
    """
    checks = tuple(_located(check, root) for check in goal.checks)
    return _located(goal, root).model_copy(update={"checks": checks})


def _located(criterion: M, root: Path) -> M:
    if criterion.kind != "model":
        return criterion
    return criterion.model_copy(update={"path": str(inside(root, root.resolve() / criterion.path))})


def score_of(result: TrainingResult) -> tuple[float, float] | None:
    """Mean (success, fitness) over seeds, or None when no seed trained to the end."""
    scores = result.final_scores
    if not scores:
        return None
    success, fitness = np.mean(np.asarray(scores, dtype=np.float64), axis=0)
    return float(success), float(fitness)


def component_means(result: TrainingResult) -> dict[str, float]:
    """Each component's mean per step at the end of training, averaged over the members that got there."""
    ends = [m.curve[-1].components for m in result.members if m.state == "trained" and m.curve]
    return {name: float(np.mean([end[name] for end in ends])) for name in (ends[0] if ends else {})}


def pick_best(results: Mapping[str, TrainingResult], *, start: str | None = None) -> str | None:
    """The id with the highest (success, fitness); ties go to the earlier id in the mapping.

    `start` is the reward that is refined, if one is: it stays the best as long as no episode of any other one succeeds,
    which is to say meets every wish. Fitness knows nothing of wishes.
    """
    scored = {id: score for id, result in results.items() if (score := score_of(result)) is not None}
    best = max(scored, key=lambda id: scored[id], default=None)
    return start if start in scored and best is not None and scored[best][0] == 0 else best


def best_members(results: Mapping[str, TrainingResult], count: int) -> list[Member]:
    """The best trained member of each of the `count` best candidates, best first."""
    best = []
    for result in results.values():
        trained = [
            (m.kept.score, Member(m.candidate, m.seed)) for m in result.members if m.state == "trained" and m.kept
        ]
        if trained:
            best.append(max(trained, key=lambda found: found[0]))
    best.sort(key=lambda found: found[0], reverse=True)
    return [member for _, member in best[:count]]


def headline_of(final: Mapping[str, TrainingResult], winner: str) -> Headline | None:
    """None when the winner was not retrained."""
    if winner not in final or not final[winner].final_scores:
        return None
    designed = final[winner].final_scores
    sparse = final[SPARSE].final_scores if SPARSE in final else []
    start = final[START].final_scores if START in final and winner != START else []
    return Headline(
        designed_success=tuple(s for s, _ in designed),
        designed_fitness=tuple(f for _, f in designed),
        sparse_success=tuple(s for s, _ in sparse),
        sparse_fitness=tuple(f for _, f in sparse),
        start_success=tuple(s for s, _ in start),
        start_fitness=tuple(f for _, f in start),
    )


def describe(scores: Sequence[float]) -> str:
    """Scores of several seeds as text: an interval where there are enough seeds, else the plain numbers."""
    if not scores:
        return "not measured"
    if len(scores) < MIN_SEEDS:
        return (
            ", ".join(f"{s:.3g}" for s in scores)
            + f" ({len(scores)} seed{'s' if len(scores) > 1 else ''}, no interval)"
        )
    estimate: Interval = interval(scores)
    return f"{estimate} over {len(scores)} seeds"


def config_of(folder: RunFolder) -> DesignConfig:
    """The config a run was started with.

    Raises: RunError: this rewardsmith does not know one of its settings.
    """
    try:
        return DesignConfig.model_validate(folder.info.config)
    except ValidationError as error:
        setting = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise RunError(
            f"the run {folder.id} was made by another version: its setting {setting!r} is unknown here",
            hint=f"use the version it was made with ({folder.info.versions.get('rewardsmith', 'unknown')})",
        ) from None


def summarize(folder: RunFolder) -> RunSummary:
    """Read a run from its folder; works on finished, interrupted and running runs alike.

    Raises: RunError: a file or record is missing or damaged.
    """
    with folder.journal(read_only=True) as journal:
        return _summarize(folder, journal)


def _summarize(folder: RunFolder, journal: Journal) -> RunSummary:
    config = config_of(folder)
    task = _read(journal, "task", Task)
    proposals = _proposals(journal)
    verdicts = {p.id: _read(journal, f"candidate/{p.id}/verdict", Verdict) for p in proposals}
    verdicts |= _reviewed(journal, proposals, verdicts)
    analyses = {p.id: _read(journal, f"candidate/{p.id}/analysis", Analysis) for p in proposals}
    training = _trainings(journal, "round-")
    final = _trainings(journal, "final")
    finished = _read(journal, "finished", Finished)
    judged = [_read(journal, key, Judgement) for key in _rounds(journal, "judgement")]
    if config.feedback in JUDGED:
        picked = judged[-1].best if judged and judged[-1] else None
    else:
        picked = pick_best(training, start=START if config.refines is not None else None)
    best = finished.best if finished else picked
    repaired = {p.repair_of for p in proposals}
    screenings = [_read(journal, key, Screened) for key in _rounds(journal, "screening")]
    screened = {id: why for s in screenings if s for id in s.scores if (why := s.why(id))}
    candidates = tuple(
        Candidate(
            proposal=p,
            verdict=verdicts[p.id],
            training=training.get(p.id),
            analysis=analyses[p.id],
            episodes=_read(journal, f"candidate/{p.id}/episodes", EpisodeFacts),
            screened=screened.get(p.id, ""),
            state=CandidateState.SCREENED
            if p.id in screened
            else candidate_state(p, verdicts[p.id], training.get(p.id), best=best, finished=finished is not None),
        )
        for p in proposals
        if not (p.failure and p.id in repaired)
    )
    if best is not None and best not in {c.id for c in candidates}:
        raise journal.damaged(f"its best candidate {best!r} is none of its candidates")
    feedbacks = [_read(journal, key, tuple[Feedback, ...]) or () for key in _rounds(journal, "feedback")]
    return RunSummary(
        id=folder.id,
        root=folder.root,
        config=config,
        task=task,
        finished=finished is not None,
        candidates=candidates,
        feedbacks=tuple(feedbacks),
        best=best,
        judgements=tuple(j for j in judged if j),
        headline=headline_of(final, best) if best else None,
        final=final,
        wishes=_wishes(journal, task, best),
        spent=spent(journal, config),
        wall_s=sum(s.wall_s for key in journal.keys("session/") if (s := _read(journal, key, Session))),
    )


def label_of(id: str) -> str:
    """A reward whose wishes are compared, in words."""
    return "start reward" if id == START else f"designed ({id})"


def _wishes(journal: Journal, task: Task | None, best: str | None) -> dict[str, WishesMet]:
    """Those of the fresh seeds, else those of the search."""
    found = _read(journal, "final/wishes", dict[str, WishesMet])
    if not found:
        compared = dict.fromkeys(id for id in (START, best) if id)
        found = {id: met for id in compared if (met := _read(journal, f"candidate/{id}/wishes", WishesMet))}
    checked = {check.wish for check in task.goal.checks} if task else set()
    if any(set(met.shares) != checked for met in found.values()):
        raise journal.damaged("it says how far other wishes are met than those of its goal")
    return {id: found[id] for id in sorted(found, key=lambda id: id != START)}


def _reviewed(
    journal: Journal, proposals: Iterable[Proposal], verdicts: Mapping[str, Verdict | None]
) -> dict[str, Verdict]:
    """Verdicts with a reviewer's findings: a refusal where a revision took the candidate's place, else warnings."""
    replaced = {p.repair_of for p in proposals if (v := verdicts[p.id]) is not None and v.accepted}
    merged = {}
    for id, verdict in verdicts.items():
        review = _read(journal, f"candidate/{id}/review", Verdict)
        if verdict is None or review is None:
            continue
        severity = "refuse" if id in replaced else "warn"
        found = [f if f.severity == "info" else f.model_copy(update={"severity": severity}) for f in review.findings]
        merged[id] = verdict.model_copy(
            update={"accepted": id not in replaced, "findings": (*found, *verdict.findings)}
        )
    return merged


def candidate_state(
    proposal: Proposal, verdict: Verdict | None, training: TrainingResult | None, *, best: str | None, finished: bool
) -> CandidateState:
    """The state that names the guilty side; derived from the records, so that it can never disagree with them."""
    if proposal.failure:
        return CandidateState.MODEL_FAILED
    if verdict is None:
        return CandidateState.PROPOSED
    if not verdict.accepted:
        duplicate = any(f.id == DUPLICATE for f in verdict.findings)
        return CandidateState.DUPLICATE if duplicate else CandidateState.REFUSED
    if training is None:
        return CandidateState.BUDGET if finished else CandidateState.CHECKED
    if training.final_scores:
        return CandidateState.ACCEPTED if proposal.id == best else CandidateState.OUTSCORED
    return _worst(training.members)


def _worst(members: Iterable[MemberResult]) -> CandidateState:
    states = {m.state for m in members}
    return next((state for name, state in _MEMBER_STATES.items() if name in states), CandidateState.TRAINING)


def spent(journal: Journal, config: DesignConfig) -> Spent:
    """Everything the run has cost so far, from its records."""
    tokens = calls = 0
    usd = 0.0
    for key in journal.keys("llm/"):
        completion = _read(journal, key, Completion)
        if completion is None:
            continue
        usage = completion.usage
        calls += 1
        tokens += usage.prompt_tokens + usage.completion_tokens
        if prices := config.model.usd_per_million:
            usd += (usage.prompt_tokens * prices[0] + usage.completion_tokens * prices[1]) / 1e6
    steps = sum(cost.env_steps for key in journal.keys("cost/") if (cost := _read(journal, key, Cost)))
    return Spent(usd=usd, tokens=tokens, env_steps=steps, calls=calls)


def _proposals(journal: Journal) -> list[Proposal]:
    proposals = [
        p
        for key in _rounds(journal, "(?:proposals|further-[0-9]{1,3})")
        for p in _read(journal, key, tuple[Proposal, ...]) or ()
    ]
    repairs = [_read(journal, key, Proposal) for key in journal.keys("candidate/") if key.endswith("/repair")]
    repaired = {r.repair_of: r for r in repairs if r}
    ordered: dict[str, Proposal] = {}
    for proposal in proposals:
        chain: Proposal | None = proposal
        while chain is not None:
            if chain.id in ordered or not ID_PATTERN.fullmatch(chain.id):
                raise journal.damaged(f"the candidate id {chain.id!r} is {'taken' if chain.id in ordered else 'no id'}")
            ordered[chain.id] = chain
            chain = repaired.get(chain.id)
    return list(ordered.values())


def _trainings(journal: Journal, prefix: str) -> dict[str, TrainingResult]:
    keys = [k for k in journal.keys(prefix) if k.endswith("/training")]
    keys.sort(key=lambda k: (len(k), k))  # round-2 before round-10
    return {id: r for key in keys for id, r in (_read(journal, key, dict[str, TrainingResult]) or {}).items()}


def _rounds(journal: Journal, what: str) -> list[str]:
    """Keys `round-<number>/<what>`, in the order of their numbers."""
    keys = [k for k in journal.keys("round-") if re.fullmatch(rf"round-[0-9]{{1,9}}/{what}", k)]
    return sorted(keys, key=lambda k: int(k.split("/")[0].removeprefix("round-")))


def _read(journal: Journal, key: str, kind: type[T]) -> T | None:
    """The record of `key`, or None. Raises: RunError: it is not of this kind."""
    payload = journal.get(key)
    try:
        return None if payload is None else _adapter(kind).validate_python(payload)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise journal.damaged(f"the record {key!r}: {where}: {error.errors()[0]['msg']}") from error


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def load_run(run: str | Path, *, runs: str | Path = "runs") -> RunSummary:
    """Open a run by its id, its folder, or "latest".

    Raises: RunError: there is no such run, or it is damaged.
    """
    folder = find_run(str(run), Path(runs))
    return summarize(folder)
