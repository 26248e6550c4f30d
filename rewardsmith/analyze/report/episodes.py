"""What a candidate's recorded episodes show, for the page: how they end, what pays in them, what happens."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from rewardsmith.analyze.course import shown_name
from rewardsmith.analyze.episodes.facts import ComponentFacts, EpisodeFacts, Outcome
from rewardsmith.analyze.episodes.words import happenings
from rewardsmith.analyze.report.charts import number, percent, short

OUTCOME_NAMES: dict[Outcome, str] = {
    "success": "success",
    "failure": "failure",
    "idle": "idle",
    "stuck": "stuck",
    "oscillating": "back and forth",
    "time_out": "time-out",
}
WIDTH, HEIGHT = 460, 22


class PaidRow(NamedTuple):
    """One component: what it pays, where it fires, and its rank correlations with fitness."""

    name: str
    steps: str
    episodes: str
    pays: str
    share: str
    by_episode: str
    by_training: str


class EpisodesView(NamedTuple):
    about: str  # how many episodes of how many policies
    endings: Markup
    legend: list[tuple[Outcome, str]]  # outcome, what the legend says
    components: list[PaidRow]
    alarms: list[str]
    happened: list[str]


def episodes_view(facts: EpisodeFacts) -> EpisodesView:
    policies = f"{facts.policies} policies" if facts.policies > 1 else "one policy"
    return EpisodesView(
        about=f"{facts.episodes} episodes of {policies}, {facts.steps:,} steps",
        endings=endings_bar(facts),
        legend=[(e.outcome, f"{OUTCOME_NAMES[e.outcome]} {percent(e.share)}") for e in facts.endings],
        components=[_row(fact) for fact in facts.components],
        alarms=[alarm.evidence for alarm in facts.alarms],
        happened=happenings(facts),
    )


def endings_bar(facts: EpisodeFacts) -> Markup:
    """One bar, parted as the episodes end."""
    parts, left = [], 0.0
    for ending in facts.endings:
        width = WIDTH * ending.share
        parts.append(
            Markup('<rect class="end {}" x="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                ending.outcome,
                number(left),
                number(max(width - 1, 1)),
                HEIGHT,
                f"{OUTCOME_NAMES[ending.outcome]}: {percent(ending.share)}, after {ending.length:.0f} steps on average",
            )
        )
        left += width
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="how episodes end">{}</svg>').format(
        WIDTH, HEIGHT, Markup("").join(parts)
    )


def _row(fact: ComponentFacts) -> PaidRow:
    return PaidRow(
        name=shown_name(fact.name),
        steps=percent(fact.fires),
        episodes=percent(fact.episodes),
        pays=short(fact.mean),
        share=percent(fact.pay_share),
        by_episode=_correlation(fact.by_episode),
        by_training=_correlation(fact.by_training),
    )


def _correlation(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"
