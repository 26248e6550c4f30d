"""What the analyzer is given about a trained candidate: its training, its verdict, and episodes of its policies."""

from __future__ import annotations

from rewardsmith.analyze.course import course_of
from rewardsmith.analyze.episodes import EpisodeFacts, Watched, describe, look
from rewardsmith.analyze.feedback import about
from rewardsmith.analyze.reflection import reflect
from rewardsmith.bank import Bank
from rewardsmith.critic.evidence import EvaluationFailed, evaluate_episodes
from rewardsmith.critic.sample import from_bank
from rewardsmith.design.analyst import Analyst
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.summary import WishesMet
from rewardsmith.loop.wishes import told
from rewardsmith.types import Analysis, TrainingResult, Verdict


def facts_of(parts: Parts, result: TrainingResult, bank: Bank) -> EpisodeFacts | None:
    """What the candidate's episodes in `bank` show. None where its reward cannot be evaluated on them."""
    try:
        paid = evaluate_episodes(parts.load_program(result.candidate), from_bank(bank, limit=len(bank)))
    except EvaluationFailed:
        return None
    watched = Watched(
        candidate=result.candidate,
        bank=bank,
        components=paid.components,
        total=paid.effective,
        interface=parts.environment.interface,
        policies=sum(1 for m in result.members if m.state == "trained"),
        random=parts.bank,
        has_success=parts.has_success,
    )
    return look(watched, course_of(result))


def analysis_of(
    parts: Parts,
    round: int,
    result: TrainingResult,
    verdict: Verdict,
    facts: EpisodeFacts | None,
    met: WishesMet | None,
) -> Analysis:
    """What the analyzer says of one candidate; with `summaries`, what the language model makes of it, too."""
    analysis = reflect(
        result,
        verdict,
        horizon=parts.environment.horizon,
        has_success=parts.has_success,
        goal_ends=parts.goal_ends,
        seen=describe(facts, has_success=parts.has_success) if facts else "",
    )
    if met:
        analysis = analysis.model_copy(update={"observations": (*told(met), *analysis.observations)})
    if not parts.config.summaries or parts.blind:  # what it would be told has scores in it
        return analysis
    summary = Analyst(parts.model).sum_up(
        parts.card,
        parts.task,
        candidate=result.candidate,
        facts=about(analysis),
        log=facts.log if facts else "",
        round=round,
    )
    return analysis.model_copy(update={"summary": summary})
