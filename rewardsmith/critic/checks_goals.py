"""What is it about goal states that pays? Wrong signs that a mirror hides, axes left out, goals that hardly count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from rewardsmith.critic.checks_episodes import DOUBTFUL, MIN_ENDS, recorded, win_rate
from rewardsmith.critic.evidence import NO_GOALS, SHAPING_GAMMA, Evidence, Inconclusive, evaluate_rows
from rewardsmith.critic.findings import check
from rewardsmith.critic.sample import Sample

ROWS = 128  # pairs of a recorded state and a goal state
MAX_SIZE = 16  # features of more numbers than this are not taken apart
RESTS = 0.5  # of what goal states pay more than others, the share that one feature has to bring to be judged by it
ONE_SIGNED = 1.0  # standard deviations of recorded states, how far from zero all goal states are at least
OTHER_SIDE = 0.05  # share of recorded states on the other side of zero
BEYOND = 0.01  # share of recorded states on each side of the goal states
MIRRORED = 0.1  # of what a number brings, how much less its mirror image may pay and still count as the same
PINNED = 0.2  # the spread of goal states against that of recorded ones, below which the goal fixes a number
HELD = 0.5  # the same, where it is enough that recorded states lie on both sides
NEARLY_ALL = 0.9
HALF = 0.5  # of the way from a recorded state to a goal state: nearer may be the goal already
FLAT = 0.05  # of the range of 90 % of recorded steps, what arriving at a goal has to add


# --- goal states taken apart -----------------------------------------------------------------------------------------


class Part(NamedTuple):
    """One number of one feature in all pairs, in goal states and in the recorded states they are compared with."""

    feature: str
    place: int  # among the feature's numbers
    title: str
    goal: Tensor  # (R,) float64
    other: Tensor  # (R,) float64

    @property
    def spread(self) -> float:
        """The spread of goal states in that of recorded states; infinite where those are all the same."""
        usual = float(self.other.std(correction=0))
        return float(self.goal.std(correction=0)) / usual if usual > 0 else float("inf")

    def put(self, states: dict[str, Tensor], value: Tensor) -> dict[str, Tensor]:
        """The same states with this number changed."""
        old = states[self.feature]
        new = old.clone().reshape(len(old), -1)
        new[:, self.place] = value.to(new.dtype)
        return states | {self.feature: new.view_as(old)}


class Visits:
    """What going to a goal state and staying there is paid (`total`, unshaped), as the goal state is or changed."""

    def __init__(self, evidence: Evidence) -> None:
        """Raises: Inconclusive: no goal states, or what they pay depends on the way there."""
        recorded(evidence)
        if evidence.goals is None:
            raise Inconclusive(NO_GOALS)
        if evidence.program.remembers:
            raise Inconclusive("what staying in goal states pays depends on the memory of the way there")
        self._program = evidence.program
        self._away = evidence.probe.spread(ROWS)
        count = len(self._away)
        self._start = {name: value for name, value in self._away.next_obs.items() if name != "terminated"}
        # somewhere else than where the way begins
        self._other = {name: value.roll(count // 2, 0) for name, value in self._start.items()}
        self._goal = {name: states[torch.arange(count) % len(states)] for name, states in evidence.goals.items()}
        self._unread = evidence.program.unused_features

    def parts(self, *, continuous: bool = False) -> Iterator[Part]:
        """Every number of the features that the reward may read; only those that may have any value, if asked."""
        for name, goal in self._goal.items():
            if name in self._unread or goal[0].numel() > MAX_SIZE or (continuous and not goal.is_floating_point()):
                continue
            there, elsewhere = (states[name].reshape(len(goal), -1).double() for states in (self._goal, self._other))
            for index in range(there.shape[1]):
                title = f"'{name}'" if goal.dim() == 1 else f"'{name}'[{index}]"
                yield Part(name, index, title, there[:, index], elsewhere[:, index])

    def pay(self, *changes: tuple[Part, Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Pay in goal states, in recorded states, and in goal states after each change, each (R,) float64."""
        return self._pay(*(part.put(self._goal, value) for part, value in changes))

    def pay_before(self, *shares: float) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Pay in goal states, in recorded states, and after each share of the way between, each (R,) float64.

        What is not a continuous number changes with the arrival.
        """
        return self._pay(*({n: self._between(n, share) for n in self._start} for share in shares))

    def stay(self, share: float) -> Tensor:
        """Pay of a step that stays after this share of the way, (R,) float64."""
        place = {name: self._between(name, share) for name in self._start}
        staying = replace(
            self._away, obs=place, next_obs=place | {"terminated": torch.zeros_like(self._away.terminated)}
        )
        return evaluate_rows(self._program, staying).total.double()

    def _between(self, name: str, share: float) -> Tensor:
        goal, other = self._goal[name], self._other[name]
        return other + share * (goal - other) if goal.is_floating_point() else other

    def _pay(self, *more: dict[str, Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        places = [self._goal, self._other, *more]
        count, twice = len(self._away), 2 * len(places)
        start = [state for place in places for state in (self._start, place)]
        end = [place for place in places for _ in range(2)]
        joined = Sample(
            obs={name: torch.cat([state[name] for state in start]) for name in self._start},
            action=torch.cat([self._away.action] * twice),
            next_obs={name: torch.cat([state[name] for state in end]) for name in self._start}
            | {"terminated": torch.zeros(twice * count, dtype=torch.bool)},
            truncated=torch.zeros(twice * count, dtype=torch.bool),
            episode=torch.arange(twice * count),
            t=torch.zeros(twice * count, dtype=torch.int64),
            success=torch.full((twice * count,), torch.nan),
        )
        total = evaluate_rows(self._program, joined).total.double()
        goal, other, *rest = total.view(len(places), 2, count).sum(1)
        return goal, other, rest


def rests_on(brought: float, goal: Tensor, other: Tensor) -> bool:
    """Whether most of what goal states pay more than recorded ones is brought by something."""
    gap = float((goal - other).mean())
    return gap > 0 and brought >= RESTS * gap


# --- direction -------------------------------------------------------------------------------------------------------


@check(
    "direction.sign_blind",
    "warn",
    title="The mirror image of the goal pays as much",
    why="Goal states have one sign in a number that the reward lives by, and with the other sign they pay the same: an "
    "absolute value, a square or a norm hides the direction, and the opposite of the task is learned as well.",
    fix="Use the signed value: `x` or `clamp(x, min=0)` instead of `abs(x)`, `x ** 2` or a norm.",
)
def sign_blind(evidence: Evidence) -> str | None:
    visits = Visits(evidence)
    parts = [part for part in visits.parts(continuous=True) if _one_signed(part)]
    if not parts:
        return None
    goal, other, changed = visits.pay(*((p, p.other) for p in parts), *((p, -p.goal) for p in parts))
    for part, usual, mirrored in zip(parts, changed[: len(parts)], changed[len(parts) :], strict=True):
        brought, lost = float((goal - usual).mean()), float((goal - mirrored).mean())
        if rests_on(brought, goal, other) and lost <= MIRRORED * brought:
            low, high = float(part.goal.min()), float(part.goal.max())
            return (
                f"goal states have {part.title} from {low:.4g} to {high:.4g}; going there and staying pays "
                f"{float(goal.mean()):.4g}, with {part.title} negated {float(mirrored.mean()):.4g}, with its recorded "
                f"values {float(usual.mean()):.4g}"
            )
    return None


def _one_signed(part: Part) -> bool:
    sign = float(part.goal.median().sign())
    clear = float(part.goal.abs().min()) >= ONE_SIGNED * float(part.other.std(correction=0))
    reached = float((sign * part.other < 0).double().mean()) >= OTHER_SIDE
    return sign != 0 and bool((sign * part.goal >= 0).all()) and clear and reached


@check(
    "direction.half_read",
    "warn",
    title="The reward reads a vector in part",
    why="The goal fixes several numbers of one feature, and what goal states pay rests on some of them while others "
    "are not read at all, so these may be anywhere.",
    fix="Read the whole vector, for example its norm over the last dimension.",
)
def half_read(evidence: Evidence) -> str | None:
    visits = Visits(evidence)
    pinned: dict[str, list[Part]] = {}
    for part in visits.parts():
        if part.spread < PINNED:
            pinned.setdefault(part.feature, []).append(part)
    parts = [part for group in pinned.values() if len(group) > 1 for part in group]
    if not parts:
        return None
    goal, other, changed = visits.pay(*((p, p.other) for p in parts))
    felt = {id(part): goal - usual for part, usual in zip(parts, changed, strict=True)}
    scale = 1e-6 * float(goal.abs().max())
    for group in pinned.values():
        read = [p for p in group if id(p) in felt and float(felt[id(p)].abs().max()) > scale]
        unread = [p for p in group if id(p) in felt and p not in read]
        brought = sum(float(felt[id(p)].mean()) for p in read)
        if read and unread and rests_on(brought, goal, other):
            return (
                f"goal states fix {_titles(group)}; the reward reads {_titles(read)}, which brings {brought:.4g} of "
                f"the {float((goal - other).mean()):.4g} that goal states pay more, but not {_titles(unread)}"
            )
    return None


def _titles(parts: list[Part]) -> str:
    return ", ".join(part.title for part in parts)


@check(
    "direction.overshoot",
    "warn",
    title="What lies beyond the goal pays more",
    why="The goal holds a number between values that were recorded on both sides, and the reward that lives by it only "
    "ever rises (or falls) through the goal, so it is learned to go past it.",
    fix="Pay for nearness to the goal's value, for example minus the distance from it.",
)
def overshoot(evidence: Evidence) -> str | None:
    visits = Visits(evidence)
    held = (part for part in visits.parts(continuous=True) if part.spread < HELD)
    parts = [part for part in held if _both_sides(part, recorded(evidence))]
    if not parts:
        return None
    steps = [part.other.std(correction=0) for part in parts]
    goal, other, changed = visits.pay(
        *((part, part.goal - step) for part, step in zip(parts, steps, strict=True)),
        *((part, part.goal + step) for part, step in zip(parts, steps, strict=True)),
    )
    for number, (part, step) in enumerate(zip(parts, steps, strict=True)):
        below, above = changed[number] - goal, changed[number + len(parts)] - goal
        for side, past, before in (("above", above, below), ("below", below, above)):
            rises = min(float((past > 0).double().mean()), float((before < 0).double().mean())) >= NEARLY_ALL
            if rises and rests_on(-float(before.mean()), goal, other):
                return (
                    f"goal states have {part.title} from {float(part.goal.min()):.4g} to {float(part.goal.max()):.4g}, "
                    f"recorded ones are on both sides; {float(step):.4g} {side} the goal pays {float(past.mean()):.4g} "
                    f"more than the goal, and as much on the other side {-float(before.mean()):.4g} less"
                )
    return None


def _both_sides(part: Part, sample: Sample) -> bool:
    """Whether recorded states lie below and above all goal states."""
    seen = sample.next_obs[part.feature].reshape(len(sample), -1)[:, part.place]
    sides = seen < float(part.goal.min()), seen > float(part.goal.max())
    return all(float(side.double().mean()) >= BEYOND for side in sides)


@check(
    "direction.flat",
    "warn",
    title="Reaching the goal hardly changes the pay",
    why="Other things that vary from step to step move the reward far more than arriving at a goal state does, so "
    "there is next to nothing to learn the task from.",
    fix="Raise the weight of what measures the task, or lower that of costs and bonuses that do not.",
)
def flat(evidence: Evidence) -> str | None:
    if win_rate(evidence) < DOUBTFUL:
        return None  # told by direction.inverted or direction.doubtful
    going_on, ended = evidence.arrivals[False], evidence.arrivals[True]
    usual = evidence.probe_values.effective.double()
    low, middle, high = (float(v) for v in usual.quantile(torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)))
    arriving = max(
        float(pay.double().median()) for pay in (going_on.effective, going_on.effective - going_on.total + ended.total)
    )
    if arriving - middle >= FLAT * (high - low):
        return None
    return (
        f"arriving at a goal state pays {arriving:.4g} (median), a recorded step {middle:.4g}; 90 % of recorded steps "
        f"pay between {low:.4g} and {high:.4g}"
    )


# --- exploits --------------------------------------------------------------------------------------------------------


@check(
    "exploits.delay",
    "warn",
    title="Never reaching the goal is paid better than reaching it",
    why="Reaching the goal ends the episode and with it the pay per step, and that is worth more than the goal: the "
    "best policy under this reward stays away from it.",
    fix="Pay more for reaching the goal than the rest of an episode brings, pay the progress of each step "
    "(next_obs against obs) instead of where one is, or make the pay per step negative.",
)
def delay(evidence: Evidence) -> str | None:
    """Failing from the first step on, against arriving with the first step; discounted, shaping left out.

    Failures show the least that staying away brings: who wants to stay away can do better. Pay for progress is right:
    arriving collects all of it at once.
    """
    sample = recorded(evidence)
    if not goal_ends(evidence):
        return None
    staying, name = max(_paid_for_failing(evidence), default=(0.0, ""))
    if evidence.goals is not None:
        reaching, how = _paid_for_arriving(evidence), "arriving at a goal state at once, which ends the episode,"
    elif int((succeeds := _outcomes(sample) >= 0.5).sum()) >= MIN_ENDS:
        reaching = float(_discounted(sample, evidence.values.total)[succeeds].mean())
        how = f"succeeding, which ends the episode, in {int(succeeds.sum())} recorded episodes"
    else:
        raise Inconclusive("no success is recorded and no goal states are known, so it is not known what the goal pays")
    if staying <= max(reaching, 0.0) * (1 + 1e-6):
        return None
    return f"{how} pays {reaching:.4g}; {name} are paid {staying:.4g} (both discounted by {SHAPING_GAMMA} a step)"


def goal_ends(evidence: Evidence) -> bool:
    """Whether success ends the episode: as declared, or because recorded episodes end if and only if they succeed.

    Raises: Inconclusive: nobody knows. That successes ended is not enough, they may have failed afterwards.
    """
    if evidence.goal_ends is not None:
        return evidence.goal_ends
    sample = recorded(evidence)
    ends, wins = sample.per_episode(sample.terminated) > 0, _outcomes(sample) >= 0.5
    if int(wins.sum()) < MIN_ENDS or not torch.equal(ends, wins):
        raise Inconclusive("it is not known whether reaching the goal ends the episode")
    return True


def _paid_for_arriving(evidence: Evidence) -> float:
    """Mean pay of the step from an episode's start to a goal state, which ends it."""
    assert evidence.goals is not None
    sample = evidence.sample
    start = sample.rows(sample.t == 0)
    count = len(start)
    goal = {name: states[torch.arange(count) % len(states)] for name, states in evidence.goals.items()}
    arriving = replace(start, next_obs=goal | {"terminated": torch.ones(count, dtype=torch.bool)})
    return float(evaluate_rows(evidence.program, arriving).total.double().mean())


def _paid_for_failing(evidence: Evidence) -> Iterator[tuple[float, str]]:
    """Mean pay of failed recorded episodes and of those of each failing simple policy, their terminal steps left out.

    And the median of what staying half-way between recorded states and goal states pays, which nobody need have done.

    What a failure costs is no reason for going to the goal: who stays away need not fail.
    """
    played = [("recorded failures", evidence.sample, evidence.values)]
    played += [(f"episodes of {n!r}", s, evidence.simple_values[n]) for n, s in evidence.simple.items()]
    for name, sample, values in played:
        fails = _outcomes(sample) < 0.5
        if fails.any():
            yield float(_discounted(sample, values.total * ~sample.terminated)[fails].mean()), name
    if evidence.goals is not None and not evidence.program.remembers:
        steps = evidence.horizon or int(evidence.sample.lengths.max())
        lasting = (1 - SHAPING_GAMMA**steps) / (1 - SHAPING_GAMMA)
        yield lasting * float(Visits(evidence).stay(HALF).median()), f"{steps} steps spent half-way to the goal"


def _outcomes(sample: Sample) -> Tensor:
    """Success of each episode, (E,), NaN where nobody knows."""
    return sample.success[torch.cumsum(sample.lengths, 0) - 1]


def _discounted(sample: Sample, pay: Tensor) -> Tensor:
    """What each episode pays from its first step on, (E,) float64."""
    discount = SHAPING_GAMMA ** torch.arange(int(sample.t.max()) + 1, dtype=torch.float64)
    return sample.per_episode(pay * discount[sample.t]) * sample.lengths
