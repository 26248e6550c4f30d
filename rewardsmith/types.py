"""The data that flows through one turn of the loop. Records only: no behaviour beyond (de)serialization, no torch.

Task -> Proposal -> Verdict -> TrainingResult -> Analysis -> Feedback. Everything is keyed by candidate id.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Dtype = Literal["float32", "int64", "bool", "uint8"]
Severity = Literal["refuse", "warn", "info"]


class Record(BaseModel):
    """Base of all records: frozen, closed, JSON in and out through pydantic."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


# --- what a reward may look at -------------------------------------------------------------------------------------


class FeatureSpec(Record):
    """One named feature: per-row `shape` (without the batch dimension), range, unit and a line of meaning."""

    name: str
    shape: tuple[int, ...] = ()
    dtype: Dtype = "float32"
    low: float | None = None
    high: float | None = None
    unit: str = ""
    about: str = ""


class ActionSpec(Record):
    """The action a reward sees: continuous `(N, A)` float32, discrete `(N,)` int64, multi-discrete `(N, A)` int64."""

    kind: Literal["continuous", "discrete", "multi_discrete"]
    shape: tuple[int, ...] = ()
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    n: int | None = None
    nvec: tuple[int, ...] | None = None
    about: str = ""

    @property
    def dtype(self) -> Dtype:
        return "float32" if self.kind == "continuous" else "int64"


class RewardInterface(Record):
    """Everything a reward may read. `terminated` is added to `next_obs` by the tracer and is not listed here."""

    features: tuple[FeatureSpec, ...]
    action: ActionSpec

    @property
    def digest(self) -> str:
        """Short content hash; a graph is valid only for the interface it was traced against."""
        shapes = [(f.name, f.shape, f.dtype) for f in self.features]
        return content_id([shapes, self.action.kind, self.action.shape, self.action.n, self.action.nvec])

    def feature(self, name: str) -> FeatureSpec:
        return next(f for f in self.features if f.name == name)


def content_id(value: object, length: int = 12) -> str:
    """Hex content hash of a JSON-able value or a string."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


# --- the task and its goal -----------------------------------------------------------------------------------------

GoalKind = Literal["pack", "metric_file", "model", "people", "native"]


class EnvSpec(Record):
    """How to build an environment again, in any process: `name` as the person typed it, plus its keyword arguments."""

    name: str
    kwargs: dict[str, object] = Field(default_factory=dict)


class Criterion(Record):
    """How episodes are judged, kept apart from every reward."""

    kind: GoalKind
    task: str = ""  # pack: the task's name
    path: str = ""  # metric_file: the file; model: its graph
    code: str = ""  # model: the frozen goal.py
    about: str = ""  # one line in plain words, shown to people and to the model

    @property
    def digest(self) -> str:
        """Hash of what is measured; where a model-written goal's graph happens to lie does not matter."""
        measured = {"kind", "task", "code", "about", *(() if self.kind == "model" else ("path",))}
        return content_id(self.model_dump(mode="json", include=measured))


class Check(Criterion):
    """A wish of the person as a criterion: an episode meets it where this counts a success."""

    wish: str


class Goal(Criterion):
    """How success is measured."""

    checks: tuple[Check, ...] = ()  # what an episode must meet besides

    @property
    def digest(self) -> str:
        """Hash of what is measured, checks included."""
        own = super().digest
        return content_id([own, *(check.digest for check in self.checks)]) if self.checks else own


class Task(Record):
    env: EnvSpec
    words: str
    goal: Goal
    words_given: bool = True


# --- candidates ----------------------------------------------------------------------------------------------------


class CandidateState(StrEnum):
    """Where a candidate stands; every candidate ends in one of these, and the name says whose fault it was."""

    PROPOSED = "proposed"
    CHECKED = "checked"
    TRAINING = "training"
    # terminal
    ACCEPTED = "accepted"
    OUTSCORED = "outscored"
    DROPPED = "dropped"
    DUPLICATE = "duplicate"
    SCREENED = "screened"
    REFUSED = "refused"
    CRASHED_REWARD = "crashed_reward"
    CRASHED_ENV = "crashed_env"
    DIVERGED = "diverged"
    TIMED_OUT = "timed_out"
    MODEL_FAILED = "model_failed"
    BUDGET = "budget"


Edit = Literal["new", "tweak", "restructure", "crossover", "tune"]


class Order(Record):
    """What a method asks for: one reward.

    Attributes:
        edit: an idea of its own (`new`); of its parents, the first one with other numbers and details (`tweak`), with
            whatever its training taught (`restructure`), with what is good about the second one (`crossover`), or with
            other numbers that recorded episodes suggest, for which nobody is asked (`tune`).
        parents: ids of candidates of earlier rounds.
        idea: number of the idea to start from, so that answers differ; 0 leaves it open.
        code: a reward that is taken as it is: nobody is asked.
        id: its name, where it has one already.
    """

    edit: Edit = "new"
    parents: tuple[str, ...] = ()
    idea: int = 0
    code: str = ""
    id: str = ""


class Proposal(Record):
    """One candidate reward as proposed. `code` is untrusted text; `id` names it everywhere afterwards."""

    id: str
    round: int
    sample: int
    code: str
    origin: Literal["model", "builtin", "file", "tuned"]
    edit: Edit = "new"
    parents: tuple[str, ...] = ()
    repair_of: str | None = None
    thoughts: str = ""  # what the designer said around the code (untrusted)
    failure: str = ""  # non-empty: no code could be had (empty reply, no code block, server error)


class Finding(Record):
    """What the critic has to say: `id` is stable (`gate.import`), `hint` is the fix in words a model can act on."""

    id: str
    severity: Severity
    message: str
    hint: str = ""
    line: int | None = None


class Verdict(Record):
    candidate: str
    accepted: bool
    findings: tuple[Finding, ...] = ()
    graph_id: str = ""  # content hash of the traced graph; empty when refused before tracing
    cost_ms: float = 0.0


# --- training ------------------------------------------------------------------------------------------------------


class Member(NamedTuple):
    """One policy of the population."""

    candidate: str
    seed: int


class CurvePoint(Record):
    """One clean evaluation of one member."""

    env_steps: int
    fitness: float
    success: float
    episode_length: float
    episodes: int
    components: dict[str, float] = Field(default_factory=dict)  # mean per step over the rollout before this point
    reward: float = 0.0  # the candidate's own mean reward per step (information only; selection never reads it)


class Kept(Record):
    """The policy that a member keeps: that of its best evaluation, of the last one among equals.

    The best of many evaluations looks better than its policy is. So `episodes`, (success, fitness) each, are new ones
    as soon as training is through (`fresh`); before that they are those that it was chosen by.
    """

    env_steps: int
    episodes: tuple[tuple[float, float], ...] = Field(min_length=1)
    fresh: bool = False

    @property
    def score(self) -> tuple[float, float]:
        """Mean (success, fitness). Policies, members and candidates are ranked by it, higher is better."""
        success, fitness = zip(*self.episodes, strict=True)
        return sum(success) / len(success), sum(fitness) / len(fitness)


class MemberResult(Record):
    """What became of one member. `curve` is in env steps, ascending."""

    candidate: str
    seed: int
    state: Literal["trained", "dropped", "diverged", "crashed_reward", "crashed_env", "timed_out", "budget"]
    env_steps: int
    wall_s: float
    curve: tuple[CurvePoint, ...] = ()
    error: str = ""
    eval_env_steps: int = 0  # spent on clean evaluations, not part of `env_steps`
    kept: Kept | None = None  # None before the first evaluation
    episodes: int = 0  # begun in training, and of all evaluations
    broken_episodes: int = 0  # of those, ended because the simulation broke down (see `envs.VecWorld.diverged`)


Measure = Literal["success", "fitness"]


class Estimate(Record):
    """A mean, and the 95 % interval that goes with it. Higher is better."""

    value: float
    low: float
    high: float


class RungStanding(Record):
    """How a candidate stood at one rung of a race, and why it went on or did not.

    `cut` is the candidate in the last place that goes on for certain. From it and better: `ahead`. Below it goes on
    whose interval overlaps its own (`close`) while there is room (else `crowded_out`), and whom racing drops in no case
    (`spared`); the others are `behind`.
    """

    env_steps: int  # of each member so far
    place: int  # 1 is the best
    of: int
    failed: int = 0  # seeds that do not train any more; the fewer, the better the place
    success: Estimate
    fitness: Estimate
    over: Literal["seeds", "episodes, not seeds"]  # what the intervals were made from
    verdict: Literal["ahead", "close", "spared", "crowded_out", "behind"]
    cut: str
    cut_measure: Measure  # by which this candidate was compared with the cut
    cut_score: Estimate

    @property
    def kept(self) -> bool:
        return self.verdict in ("ahead", "close", "spared")


class TrainingResult(Record):
    """All members of one candidate, and its standings in the race if there was one."""

    candidate: str
    members: tuple[MemberResult, ...]
    race: tuple[RungStanding, ...] = ()

    @property
    def final_scores(self) -> list[tuple[float, float]]:
        """(success, fitness) of the policy kept by every member that was trained to the end."""
        return [m.kept.score for m in self.members if m.state == "trained" and m.kept]


class Analysis(Record):
    """What the analyzer saw in a trained candidate: text for the next prompt and facts for the report."""

    candidate: str
    reflection: str
    observations: tuple[str, ...] = ()
    seen: str = ""  # what recorded episodes of its policies showed
    summary: str = ""  # what a language model made of all that (untrusted)
    has_success: bool = True  # False where the goal defines none, so that 0 says nothing


class Judgement(Record):
    """What raters made of what the policies of a round do.

    Attributes:
        shown: candidates of the round, and the best of the rounds before.
        best: None where nothing could be shown at all.
        worst: of this round's; None where there is no other than the best, or nothing was decided.
        comments: what raters wrote (untrusted), and which letters stood for which clips.
        decided: False where nobody could tell, or there was nothing to compare; `best` is just one of them then.
        difference: of the best from the one before, in a language model's words (untrusted).
    """

    shown: tuple[str, ...]
    best: str | None
    worst: str | None = None
    comments: tuple[str, ...] = ()
    raters: tuple[str, ...] = ()
    decided: bool = True
    difference: str = ""


class Feedback(Record):
    """What a designer is told of the candidate `about`, one to start from; None while nothing could be trained."""

    about: str | None
    text: str
