"""A standing in a race, and how a training ended, in words."""

from __future__ import annotations

from rewardsmith.analyze.course import telling
from rewardsmith.types import Estimate, RungStanding, TrainingResult

_ENDINGS = {
    "ahead": "",
    "close": "; too close to call, so it went on",
    "spared": "; it went on all the same, for the others are compared with it",
    "crowded_out": "; too close to call, but no more could go on",
    "behind": "",
}


def why(standing: RungStanding) -> str:
    """One line: the place, and the score against the cut that decided it."""
    place = f"{ordinal(standing.place)} of {standing.of} at {standing.env_steps:,} env steps"
    score = standing.success if standing.cut_measure == "success" else standing.fitness
    against = (
        "" if standing.verdict == "ahead" else f" against {_text(standing.cut_score)} of {standing.cut} at the cut"
    )
    failed = f", {standing.failed} seed{'s' if standing.failed > 1 else ''} failed" if standing.failed else ""
    over = "" if standing.over == "seeds" else f" (intervals over {standing.over})"
    return f"{place}{failed}: {standing.cut_measure} {_text(score)}{against}{_ENDINGS[standing.verdict]}{over}"


def ending(result: TrainingResult) -> str:
    """One line: why a candidate was not trained to the end with all its seeds; empty when it was."""
    failed = [member for member in result.members if member.error]
    if failed:
        some = f"{len(failed)} of {len(result.members)} seeds failed: " if len(failed) < len(result.members) else ""
        return some + telling(failed[0].error)
    last = result.race[-1] if result.race else None
    return why(last) if last and not last.kept else ""


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ... 11th."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"
