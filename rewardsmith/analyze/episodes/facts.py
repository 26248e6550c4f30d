"""What is known of a candidate's episodes, as records."""

from __future__ import annotations

from typing import Literal

from rewardsmith.types import Record

Outcome = Literal["success", "failure", "idle", "stuck", "oscillating", "time_out"]
OUTCOMES: tuple[Outcome, ...] = ("success", "failure", "idle", "stuck", "oscillating", "time_out")


class Ending(Record):
    """How a share of the episodes ended. `failure`: the environment ended them, without success."""

    outcome: Outcome
    share: float
    length: float  # mean steps


class ComponentFacts(Record):
    """One component over all recorded steps. Correlations are Spearman's; None where one side does not vary."""

    name: str
    mean: float  # per step
    fires: float  # share of steps in which it is not zero
    episodes: float  # share of episodes in which it is not zero at least once
    pay_share: float  # its part of all that is paid: |mean| over the sum of all components' |mean|
    by_episode: float | None = None  # its sum in an episode against the episode's fitness
    by_training: float | None = None  # its curve against the curve of fitness
    in_success: float | None = None  # mean per step in successful episodes
    in_failure: float | None = None  # and in all others
    restless: float | None = None  # sum of |changes| over |sum of changes|, median over episodes (Auto MC-Reward)


class EventFacts(Record):
    """Something that happens in some episodes: a flag comes on, or a component that seldom fires does."""

    name: str
    kind: Literal["flag", "component"]
    episodes: float  # share of episodes
    first: float  # median step at which it first happens, in those
    success_with: float | None = None  # share of these episodes that succeed; None where success is not known
    success_without: float | None = None


class ReachFacts(Record):
    """How far one feature got: medians over episodes, beside those of random actions where these are known."""

    feature: str  # with an index for an element of a vector: `joint_angles[2]`
    unit: str = ""
    low: float
    high: float
    end: float
    random_low: float | None = None
    random_high: float | None = None


class LastSteps(Record):
    """A feature that is unusual in the last steps before failure."""

    feature: str
    unit: str = ""
    at_end: float  # mean over failed episodes
    usual_low: float  # 5 % and 95 % of earlier steps, and of those under random actions
    usual_high: float


class Alarm(Record):
    """A suspicion that the reward is collected without doing the task, with its evidence in words."""

    id: Literal["reward_without_metric", "farming", "end_pays", "penalty_avoided"]
    evidence: str
    component: str = ""


class EpisodeFacts(Record):
    """Everything about one candidate's recorded episodes."""

    candidate: str
    episodes: int
    steps: int
    policies: int
    endings: tuple[Ending, ...]
    components: tuple[ComponentFacts, ...] = ()
    events: tuple[EventFacts, ...] = ()
    reach: tuple[ReachFacts, ...] = ()
    last_steps: tuple[LastSteps, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    log: str = ""  # the last steps of some unsuccessful episodes, as a table

    def share(self, outcome: Outcome) -> float:
        """Share of the episodes with this outcome."""
        return sum(ending.share for ending in self.endings if ending.outcome == outcome)
