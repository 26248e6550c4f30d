"""What a report is made of. Plain records, filled in by whoever knows the run folder; every text may be hostile."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from rewardsmith.analyze.episodes.facts import EpisodeFacts
from rewardsmith.budget import BudgetLimits
from rewardsmith.types import CandidateState, Finding, GoalKind, MemberResult, Record, RungStanding

Origin = Literal["model", "builtin", "file", "tuned", "recorded"]
RunStatus = Literal["finished", "interrupted", "running", "nothing acceptable", "budget spent", "failed"]


class Scores(Record):
    """One score per training seed: of the policy that it kept, from the clean evaluator. Higher is better."""

    success: tuple[float, ...] = ()  # each 0 to 1; empty or NaN where the goal knows no success
    fitness: tuple[float, ...] = ()
    episodes: int = 0  # evaluation episodes behind each score; 0 when unknown


class ReportHeadline(Record):
    """Winner against a reference, retrained on seeds that selection never saw."""

    designed: Scores
    start: Scores | None = None  # the reward that was refined
    sparse: Scores | None = None
    human: Scores | None = None  # the environment's published reward, where it was trained as well


class ReportCandidate(Record):
    """One candidate with everything known about it. `members` holds its curves, one member per seed."""

    id: str
    round: int
    state: CandidateState
    origin: Origin
    code: str = ""
    parents: tuple[str, ...] = ()
    repair_of: str | None = None
    thoughts: str = ""  # what the designer said around the code
    failure: str = ""  # why no code could be had
    screened: str = ""  # why it was not trained, where screening left it out
    liked: str = ""  # what raters said of it
    findings: tuple[Finding, ...] = ()
    members: tuple[MemberResult, ...] = ()
    race: tuple[RungStanding, ...] = ()  # its standings at the rungs it came to
    reflection: str = ""
    observations: tuple[str, ...] = ()
    summary: str = ""  # what a language model made of both
    episodes: EpisodeFacts | None = None  # what recorded episodes of its policies show


class ReportWishes(Record):
    """Which share of a reward's recorded episodes meets each wish."""

    label: str
    episodes: int
    success: float  # of the goal, which asks for every wish
    shares: tuple[float, ...]  # one a wish


class ReportJudgement(Record):
    """What raters said of a round. `best` and `worst` are candidates; neither where nothing was decided."""

    round: int
    shown: int  # clips side by side
    raters: int
    best: str = ""
    worst: str = ""
    comments: tuple[str, ...] = ()


class RoundFeedback(Record):
    """What the designer was told in `round` about a reward to start from, word for word."""

    round: int
    text: str
    about: str = ""  # the candidate; empty while nothing could be trained


class Media(Record):
    """A film (`mp4`) or a strip of frames (`png`), embedded in the page."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    kind: Literal["mp4", "png"]
    data: bytes
    caption: str = ""


class BudgetUse(Record):
    """What the run cost. `usd` is None when no prices were given: a price is never guessed."""

    calls: int = 0
    tokens: int = 0
    env_steps: int = 0
    wall_s: float = 0.0
    usd: float | None = None
    limits: BudgetLimits = Field(default_factory=lambda: BudgetLimits.model_validate({}))


class ReportData(Record):
    """Everything a report shows. Only `run_id`, `words`, `environment` and `goal_kind` are needed."""

    run_id: str
    words: str
    wishes: tuple[str, ...] = ()  # what the person asked for since
    refines: str = ""  # the run whose best reward this one started from
    checks: tuple[tuple[str, str], ...] = ()  # wishes that are checked, each with what counts as met
    wishes_met: tuple[ReportWishes, ...] = ()  # of the reward that was refined and of the best one
    environment: str
    goal_kind: GoalKind
    environment_about: str = ""
    goal_about: str = ""  # the goal in plain words
    judgements: tuple[ReportJudgement, ...] = ()  # where raters judged
    by_proxy: bool = False  # the metric voted in people's place
    measured: bool = True  # False where only people's votes say how good a policy is
    status: RunStatus = "finished"
    created: str = ""  # date and time as text
    designer: str = ""  # the model's name, or "builtin"
    method: str = ""
    headline: ReportHeadline | None = None
    candidates: tuple[ReportCandidate, ...] = ()  # in the order they were proposed
    best: str | None = None
    diff_base: str | None = None  # what the best is compared with; None: its parent, else the best of an earlier round
    references: dict[str, tuple[MemberResult, ...]] = Field(
        default_factory=dict
    )  # curves to draw beside: "sparse", ...
    final_members: tuple[MemberResult, ...] = ()  # the winner's curves on the fresh seeds
    feedbacks: tuple[RoundFeedback, ...] = ()
    budget: BudgetUse = BudgetUse()
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: str = ""
    command: str = ""  # how the run was started
    media: tuple[Media, ...] = ()
    notes: tuple[str, ...] = ()  # such as "the model's text is a recorded transcript"
