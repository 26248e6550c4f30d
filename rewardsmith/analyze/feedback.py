"""What the next round is told: the best reward so far under the lens, and the others in a few lines each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from rewardsmith.analyze.course import Course, course_of, kept_score, number, shown_line, shown_name
from rewardsmith.types import Analysis, Feedback, TrainingResult, Verdict

MAX_OTHERS = 12
MAX_REFUSED = 6
NOTHING_TRAINED = "No reward could be trained to an evaluation yet."
SUMMARY = "A language model's opinion of the above, which nobody has checked:"


def build_feedback(
    *,
    best: str | None,
    results: Mapping[str, TrainingResult],
    analyses: Mapping[str, Analysis],
    verdicts: Mapping[str, Verdict],
    detail: Literal["scalar", "full"] = "full",
) -> Feedback:
    """Feedback about one candidate, which the designer is shown; in Eureka the best one of all rounds.

    Args:
        best: its id; None while nothing was trained to an evaluation.
        results, analyses: of every candidate trained so far.
        verdicts: of the last round's candidates; refusals are told so that they are not repeated.
        detail: `scalar` tells the best score alone (an ablation), `full` everything.
    """
    courses = {id: course_of(result) for id, result in results.items()}
    if best is not None and detail == "scalar":
        return Feedback(about=best, text=_score(results[best]))
    if best is None:
        parts = [NOTHING_TRAINED]
    else:
        parts = [about(analyses[best]) if best in analyses else _score(results[best])]
    if detail == "full":
        parts += [others(best, courses, results, analyses), refusals(verdicts)]
    return Feedback(about=best, text="\n\n".join(part for part in parts if part))


def about(analysis: Analysis) -> str:
    """The reflection on one candidate, what stands out in its training, and what its policies do."""
    parts = [analysis.reflection]
    if analysis.observations:
        parts += ["What stands out:", *(f"- {line}" for line in analysis.observations)]
    if analysis.seen:
        parts.append(analysis.seen)
    if analysis.summary:
        parts.append(f"{SUMMARY}\n{analysis.summary}")
    return "\n".join(parts)


def others(
    best: str | None,
    courses: Mapping[str, Course],
    results: Mapping[str, TrainingResult],
    analyses: Mapping[str, Analysis],
) -> str:
    """One line for each other candidate, best first; empty when there are none."""

    def key(id: str) -> tuple[float, float]:
        success, fitness = kept_score(results[id])
        return _or_least(success), _or_least(fitness)

    ranked = sorted((id for id in courses if id != best), key=key, reverse=True)
    if not ranked:
        return ""
    lines = ["Other rewards tried so far, best first:"]
    for id in ranked[:MAX_OTHERS]:
        noticed = _noticed(analyses[id]) if id in analyses else ()
        state = _score(results[id]) if len(courses[id]) else "no evaluation."
        if len(courses[id]) and any(m.state == "dropped" for m in results[id].members):
            state = f"Dropped early, at {courses[id].env_steps[-1]:,} env steps: {state[0].lower()}{state[1:]}"
        names = ", ".join(shown_name(name) for name in courses[id].components)
        lines.append(" ".join([f"- {state}", *([f"Components: {names}."] if names else []), *noticed]))
    if len(ranked) > MAX_OTHERS:
        lines.append(f"- and {len(ranked) - MAX_OTHERS} worse ones")
    return "\n".join(lines)


def refusals(verdicts: Mapping[str, Verdict]) -> str:
    """Why candidates of the last round were refused, each reason once; empty when none were."""
    reasons: dict[tuple[str, str], int] = {}
    for verdict in verdicts.values():
        for finding in verdict.findings:
            if finding.severity == "refuse":
                reason = (shown_line(finding.message), shown_line(finding.hint))
                reasons[reason] = reasons.get(reason, 0) + 1
    if not reasons:
        return ""
    ranked = sorted(reasons, key=lambda reason: -reasons[reason])
    lines = ["Rewards of the last round that were refused before training:"]
    for message, hint in ranked[:MAX_REFUSED]:
        times = f" ({reasons[message, hint]} times)" if reasons[message, hint] > 1 else ""
        lines.append(f"- {message}{times}" + (f" Fix: {hint}" if hint else ""))
    return "\n".join(lines)


# --- inside ----------------------------------------------------------------------------------------------------------


def _score(result: TrainingResult) -> str:
    success, fitness = kept_score(result)
    return f"Success {number(success)}, fitness {number(fitness)}."


def _noticed(analysis: Analysis) -> tuple[str, ...]:
    """The weightiest observation, and how its episodes end."""
    return (*analysis.observations[:1], *analysis.seen.splitlines()[:1])


def _or_least(value: float) -> float:
    return value if value == value else float("-inf")
