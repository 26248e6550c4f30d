"""The facts in words: short, and fit for a prompt. Names that candidate code chose are made harmless."""

from __future__ import annotations

from collections.abc import Iterator

from rewardsmith.analyze.course import number, numbers, shown_name
from rewardsmith.analyze.episodes.facts import ComponentFacts, Ending, EpisodeFacts, EventFacts, Outcome

MAX_COMPONENTS = 12
ALWAYS, NEVER = 0.995, 0.0005

ENDS: dict[Outcome, str] = {
    "success": "succeed",
    "failure": "are ended by the environment without success",
    "idle": "run into the time limit without moving at all",
    "stuck": "move at first, then get stuck and run into the time limit",
    "oscillating": "go back and forth until the time limit",
    "time_out": "run into the time limit without success",
}


def describe(facts: EpisodeFacts, *, has_success: bool = True) -> str:
    """A few lines about the episodes. `has_success`: as in `Watched`."""
    suspicions = [f"Suspected reward hacking: {alarm.evidence}" for alarm in facts.alarms]
    lines = [" ".join([_opening(facts, has_success), *suspicions])]  # what is told of candidates that are not the best
    lines += [f"- {line}" for line in (*_components(facts), *happenings(facts))]
    return "\n".join(lines)


def happenings(facts: EpisodeFacts) -> list[str]:
    """What happens in the episodes besides pay: events, how far features get, what precedes failure."""
    return [*_events(facts), *_reach(facts), *_last_steps(facts)]


def _opening(facts: EpisodeFacts, has_success: bool) -> str:
    policies = f"{facts.policies} trained policies" if facts.policies > 1 else "the trained policy"
    told = "; ".join(_ending(ending, has_success) for ending in facts.endings)
    return f"Seen in {facts.episodes} episodes of {policies}: {told}."


def _ending(ending: Ending, has_success: bool) -> str:
    words = ENDS[ending.outcome]
    if not has_success:
        words = words.replace(" without success", "")
    after = f" after {ending.length:.0f} steps" if ending.outcome in ("success", "failure") else ""
    return f"{_percent(ending.share)} {words}{after}"


def _components(facts: EpisodeFacts) -> Iterator[str]:
    for fact in facts.components[:MAX_COMPONENTS]:
        yield _component(fact)
    if len(facts.components) > MAX_COMPONENTS:
        yield f"{len(facts.components) - MAX_COMPONENTS} more components pay less than these"


def _component(fact: ComponentFacts) -> str:
    name = f"'{shown_name(fact.name)}'"
    if fact.fires <= NEVER:
        return f"{name} never fires"
    parts = [f"{name} pays {number(fact.mean)} a step ({_percent(fact.pay_share)} of all that is paid)"]
    if fact.fires < ALWAYS:
        parts.append(f"fires in {_percent(fact.fires)} of the steps and {_percent(fact.episodes)} of the episodes")
    known = {"episodes": fact.by_episode, "training": fact.by_training}
    if found := [f"{value:+.1f} over {what}" for what, value in known.items() if value is not None]:
        parts.append(f"rank correlation with fitness {' and '.join(found)}")
    if fact.in_success is not None and fact.in_failure is not None:
        won, lost = numbers([fact.in_success, fact.in_failure])
        parts.append(f"{won} a step in successful episodes, {lost} in the others")
    return ", ".join(parts)


def _events(facts: EpisodeFacts) -> Iterator[str]:
    for event in facts.events:
        if event.kind == "component" and event.episodes <= NEVER:
            continue  # said among the components
        yield _event(event)


def _event(event: EventFacts) -> str:
    what = f"'{shown_name(event.name)}' fires" if event.kind == "component" else f"`{event.name}` comes true"
    text = f"{what} in {_percent(event.episodes)} of the episodes, first at step {event.first:.0f}"
    won, lost = event.success_with, event.success_without
    if won is not None and lost is not None and won != lost:
        text += f"; of these {_percent(won)} succeed, of the others {_percent(lost)}"
    return text


def _reach(facts: EpisodeFacts) -> Iterator[str]:
    parts = []
    for reached in facts.reach:
        low, high, end = numbers([reached.low, reached.high, reached.end])
        text = f"`{reached.feature}` {low} ... {high}{_unit(reached.unit)}, at the end {end}"
        if reached.random_low is not None and reached.random_high is not None:
            text += f" (random actions {' ... '.join(numbers([reached.random_low, reached.random_high]))})"
        parts.append(text)
    if parts:
        yield f"what an episode reaches, in the median: {'; '.join(parts)}"


def _last_steps(facts: EpisodeFacts) -> Iterator[str]:
    parts = []
    for last in facts.last_steps:
        at_end, low, high = numbers([last.at_end, last.usual_low, last.usual_high])
        parts.append(f"`{last.feature}` is {at_end}{_unit(last.unit)} (otherwise {low} ... {high})")
    if parts:
        yield f"at the end of episodes that fail: {'; '.join(parts)}"


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def _percent(share: float) -> str:
    return "under 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")
