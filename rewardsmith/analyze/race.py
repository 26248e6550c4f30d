"""A standing in a race, in words."""

from __future__ import annotations

from rewardsmith.types import Estimate, RungStanding

_ENDINGS = {
    "ahead": "",
    "close": "; too close to call, so it went on",
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
    return f"{place}{failed}: {standing.cut_measure} {_text(score)}{against}{_ENDINGS[standing.verdict]}"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ... 11th."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"
