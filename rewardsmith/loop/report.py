"""From a run's folder to its `report.html`."""

from __future__ import annotations

import platform
from pathlib import Path

from rewardsmith.analyze.report import (
    BudgetUse,
    Media,
    ReportCandidate,
    ReportData,
    ReportHeadline,
    ReportJudgement,
    ReportWishes,
    RoundFeedback,
    RunStatus,
    Scores,
    render_report,
)
from rewardsmith.config import DesignConfig
from rewardsmith.loop.summary import FILM, SPARSE, START, UNCHANGED, Candidate, Headline, RunSummary, label_of
from rewardsmith.store import RunFolder, read_inside
from rewardsmith.store.atomic import write_text

FILM_CAPTION = "One episode of the designed reward's best policy (the median of four)."
BUILTIN_NOTE = "The rewards were composed and mutated by `builtin`, which is not a language model."


def write_report(run: RunSummary, *, budget_spent: bool = False) -> Path:
    """Write `report.html` into the run's folder; returns its path."""
    path = run.root / "report.html"
    write_text(path, render_report(report_data(run, budget_spent=budget_spent)))
    return path


def report_data(run: RunSummary, *, budget_spent: bool = False) -> ReportData:
    """Everything the report shows; what the run has not come to yet is left out."""
    info = RunFolder.open(run.root).info
    config = run.config
    final = run.final.get(run.best) if run.best else None
    return ReportData(
        run_id=run.id,
        words=run.task.words if run.task else config.words,
        wishes=config.wishes,
        refines=config.refines or "",
        checks=tuple((check.wish, check.about) for check in run.task.goal.checks) if run.task else (),
        wishes_met=_wishes_met(run),
        environment=config.env.name,
        environment_about=info.env_about,
        goal_kind=run.task.goal.kind if run.task else "native",
        goal_about=run.task.goal.about if run.task else "",
        judgements=tuple(
            ReportJudgement(
                round=round,
                shown=len(j.shown),
                raters=len(j.raters),
                best=(j.best or "") if j.decided else "",
                worst=(j.worst or "") if j.decided else "",
                comments=j.comments,
            )
            for round, j in enumerate(run.judgements, 1)
        ),
        by_proxy=config.feedback == "proxy",
        measured=not config.unmeasured,
        status=_status(run, budget_spent),
        created=info.created[:16].replace("T", " "),
        designer="" if config.method == "given" else shown_model(config.model.llm),
        method=config.method,
        headline=_headline(run.headline, has_success=run.has_success) if run.headline else None,
        candidates=tuple(
            _candidate(c, liked=run.liked(c.id), recorded=config.model.llm.startswith("replay:"))
            for c in run.candidates
        ),
        best=run.best,
        references={id: run.final[id].members for id in (START, SPARSE) if id in run.final and id != run.best},
        final_members=final.members if final else (),
        feedbacks=tuple(
            RoundFeedback(round=round, about=f.about or "", text=f.text)
            for round, told in enumerate(run.feedbacks, 1)
            for f in told
        ),
        budget=BudgetUse(
            calls=run.spent.calls,
            tokens=run.spent.tokens,
            env_steps=run.spent.env_steps,
            wall_s=run.wall_s,
            usd=run.spent.usd if config.model.usd_per_million else None,
            limits=config.budget,
        ),
        versions={name: version for name, version in info.versions.items() if version != "none"},
        hardware=f"{platform.system()} {platform.machine()}",
        media=_media(run),
        notes=(*config.notes, *_notes(config), *([f"{UNCHANGED.capitalize()}."] if run.unchanged else [])),
    )


def _notes(config: DesignConfig) -> list[str]:
    notes = []
    if config.model.llm == "builtin" and config.method != "given":
        notes.append(BUILTIN_NOTE)
    if config.trainer == "sb3":
        notes.append(f"Policies were trained with {config.algo} of Stable-Baselines3, through the exported wrapper.")
    return notes


def _status(run: RunSummary, budget_spent: bool) -> RunStatus:
    if run.finished:
        return "finished" if run.best else "nothing acceptable"
    return "budget spent" if budget_spent else "interrupted"


def shown_model(llm: str) -> str:
    """The model's name; of a transcript or desk only the last part of its path, because reports are passed on."""
    kind, _, path = llm.partition(":")
    return f"{kind}:{Path(path).name}" if kind in ("replay", "desk") and path else llm


def _headline(headline: Headline, *, has_success: bool) -> ReportHeadline:
    """Without success where the goal knows none: its 0 says nothing."""

    def scores(success: tuple[float, ...], fitness: tuple[float, ...]) -> Scores:
        return Scores(success=success if has_success else (), fitness=fitness)

    start = scores(headline.start_success, headline.start_fitness)
    sparse = scores(headline.sparse_success, headline.sparse_fitness)
    return ReportHeadline(
        designed=scores(headline.designed_success, headline.designed_fitness),
        start=start if start.fitness else None,
        sparse=sparse if sparse.fitness else None,
    )


def _wishes_met(run: RunSummary) -> tuple[ReportWishes, ...]:
    checks = run.task.goal.checks if run.task else ()
    return tuple(
        ReportWishes(
            label=label_of(id),
            episodes=met.episodes,
            success=met.success,
            shares=tuple(met.shares[check.wish] for check in checks),
        )
        for id, met in run.wishes.items()
    )


def _candidate(candidate: Candidate, *, liked: str, recorded: bool) -> ReportCandidate:
    proposal, analysis = candidate.proposal, candidate.analysis
    return ReportCandidate(
        id=proposal.id,
        round=proposal.round,
        state=candidate.state,
        origin="recorded" if recorded and proposal.origin == "model" else proposal.origin,
        code=proposal.code,
        parents=proposal.parents,
        repair_of=proposal.repair_of,
        thoughts=proposal.thoughts,
        failure=proposal.failure,
        screened=candidate.screened,
        liked=liked,
        findings=candidate.verdict.findings if candidate.verdict else (),
        members=candidate.training.members if candidate.training else (),
        race=candidate.training.race if candidate.training else (),
        reflection="\n".join(part for part in (analysis.reflection, analysis.seen) if part) if analysis else "",
        summary=analysis.summary if analysis else "",
        observations=analysis.observations if analysis else (),
        episodes=candidate.episodes,
    )


def _media(run: RunSummary) -> tuple[Media, ...]:
    path = run.root / FILM
    if not path.exists():
        return ()
    return (Media(kind="mp4", data=read_inside(run.root, path), caption=FILM_CAPTION),)
