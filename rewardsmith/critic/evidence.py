"""What the checks look at: one reward's values on one set of transitions, computed when first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rewardsmith.critic.sample import Sample, edges, synthetic
from rewardsmith.reward.program import RewardProgram, RolloutReward
from rewardsmith.types import RewardInterface

if TYPE_CHECKING:
    from rewardsmith.critic.likeness import Likeness, Nearest

SHAPING_GAMMA = 0.99
PROBE_ROWS = 256
NO_GOALS = "no goal states of this task are known to compare with"


class Inconclusive(Exception):
    """A check cannot answer: its data are missing. The message says which."""


class EvaluationFailed(Inconclusive):
    """An operation of the reward's graph failed on these values. The message is untrusted and one line long."""


@dataclass(frozen=True)
class Values:
    """A reward on M transitions. `effective` is what a trainer adds up: the total plus potential shaping."""

    total: Tensor  # (M,)
    components: dict[str, Tensor]  # each (M,)
    effective: Tensor  # (M,)
    memory: dict[str, Tensor] = field(default_factory=dict)  # before each step, each (M, ...)

    @property
    def parts(self) -> dict[str, Tensor]:
        """Everything that has to be a finite number, by the name a person would call it."""
        named = {"the total": self.total} | {f"component {name!r}": c for name, c in self.components.items()}
        return named | ({"the potential": self.effective} if self.effective is not self.total else {})


def evaluate_rows(program: RewardProgram, sample: Sample, memory: dict[str, Tensor] | None = None) -> Values:
    """The reward on each row by itself. `memory` {name: (M, ...)} is what it remembers before; else a first step's."""
    with _failing():
        output = program(sample.obs, sample.action, sample.next_obs, memory=memory)
        return Values(output.total, dict(output.components), _with_shaping(program, sample, output.total))


def evaluate_episodes(program: RewardProgram, sample: Sample) -> Values:
    """The reward with its memory carried through each episode; the same as row by row where it does not remember."""
    if not program.remembers:
        return evaluate_rows(program, sample)
    index = sample.time_major()  # (T, E)
    steps, count = index.shape
    starts = torch.zeros((steps, count), dtype=torch.bool)
    starts[0] = True
    rolled = evaluate_rollout(program, sample, index, starts)
    with _failing():
        column = torch.repeat_interleave(torch.arange(count), sample.lengths)
        step = torch.arange(len(sample)) - index[0][column]
        total = rolled.total[step, column]
        components = {name: value[step, column] for name, value in rolled.components.items()}
        memory = {name: value[step, column] for name, value in (rolled.memory_before or {}).items()}
        return Values(total, components, _with_shaping(program, sample, total), memory)


def evaluate_rollout(program: RewardProgram, sample: Sample, index: Tensor, starts: Tensor) -> RolloutReward:
    """The reward, which remembers, on the rows `index` (T, N) in this order; `starts` (T, N) are first steps."""
    with _failing():
        return program.over_rollout(
            {name: value[index] for name, value in sample.obs.items()},
            sample.action[index],
            {name: value[index] for name, value in sample.next_obs.items()},
            starts,
        )


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever an operation of the candidate's graph raises is the candidate's fault
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise EvaluationFailed(lines[0][:200]) from error


def _with_shaping(program: RewardProgram, sample: Sample, total: Tensor) -> Tensor:
    """(M,): total + gamma * (1 - terminated) * potential(next) - potential(obs), or `total` itself without one."""
    if not program.has_potential:
        return total
    after = {name: value for name, value in sample.next_obs.items() if name != "terminated"}
    before = program.potential(sample.obs)
    return total + SHAPING_GAMMA * (~sample.terminated).float() * program.potential(after) - before


@dataclass
class Evidence:
    """One candidate under examination. `recorded` is None without an environment, `goals` without goal states."""

    program: RewardProgram
    interface: RewardInterface
    recorded: Sample | None = None
    goals: dict[str, Tensor] | None = None  # features of goal states, each (G, ...)
    tried: Likeness | None = None  # rewards already tried
    candidate: str = ""  # the id of this one, which is not compared with itself
    drawn: Sample | None = None  # synthetic transitions, when the caller has them already
    simple: Mapping[str, Sample] = field(default_factory=dict)  # episodes of policies that need no learning, by name
    words: str = ""  # the task, as the person put it
    goal_ends: bool | None = None  # whether reaching the goal ends the episode, where that is declared
    sign_only: bool = False  # whether rewards may decide signs only
    horizon: int | None = None  # steps an episode may have, where that is known

    @cached_property
    def invented(self) -> Sample:
        """Synthetic transitions."""
        return synthetic(self.interface) if self.drawn is None else self.drawn

    @cached_property
    def sample(self) -> Sample:
        """The transitions that count: recorded ones if there are any, else synthetic ones."""
        sample = self.invented if self.recorded is None else self.recorded
        return sample.heads() if self.program.remembers else sample

    @property
    def kind(self) -> str:
        return "synthetic" if self.recorded is None else "recorded"

    @cached_property
    def values(self) -> Values:
        """The reward on `sample`, memory carried along."""
        return evaluate_episodes(self.program, self.sample)

    @cached_property
    def simple_values(self) -> dict[str, Values]:
        """The reward on the episodes of each simple policy."""
        return {name: evaluate_episodes(self.program, sample) for name, sample in self.simple.items()}

    @cached_property
    def invented_values(self) -> Values:
        sample = self.invented
        return evaluate_episodes(self.program, sample.heads() if self.program.remembers else sample)

    @cached_property
    def edge_values(self) -> Values:
        """The reward on the corners of the feature ranges, see `sample.edges`."""
        return evaluate_rows(self.program, edges(self.interface))

    @cached_property
    def probe(self) -> Sample:
        """A small sample for tests that evaluate the reward many times."""
        return self.sample.rows(self._probed)

    @cached_property
    def _probed(self) -> Tensor:
        return self.sample.spaced(PROBE_ROWS)

    @cached_property
    def probe_values(self) -> Values:
        """The reward on `probe`, memory carried along."""
        at, values = self._probed, self.values
        return Values(
            total=values.total[at],
            components={name: value[at] for name, value in values.components.items()},
            effective=values.effective[at],
            memory={name: value[at] for name, value in values.memory.items()},
        )

    @cached_property
    def arrivals(self) -> dict[bool, Values]:
        """The reward for moving from recorded states to goal states, by whether that ends the episode; needs goals.

        What it remembers is what it remembered there.
        """
        return self._arrive(self.probe_values.memory or None)

    def _arrive(self, memory: dict[str, Tensor] | None) -> dict[bool, Values]:
        journeys = {ends: self._journey(arrive=True, ends=ends) for ends in (False, True)}
        return {ends: evaluate_rows(self.program, journey, memory) for ends, journey in journeys.items()}

    @cached_property
    def goal_win_rate(self) -> float:
        """Share of pairs (goal state, recorded state) in which arriving at the goal pays more than leaving it.

        Both ways count with two steps of staying where they lead: a reward may look at the state before a step only. A
        tie counts half. Rewards for being there or for getting nearer are above 0.5 when their sign is right. Whether
        a goal state ends the episode is not known, so the better of both answers counts. Needs goals.
        """
        return self._win_rate(self.arrivals, self.probe_values.memory or None)

    def goal_win_rate_with(self, memory: dict[str, Tensor]) -> float:
        """The same with other memory, {name: (rows of the probe, ...)}."""
        return self._win_rate(self._arrive(memory), memory)

    def _win_rate(self, arrivals: dict[bool, Values], memory: dict[str, Tensor] | None) -> float:
        leave = evaluate_rows(self.program, self._journey(arrive=False, ends=False), memory).effective
        stay, away = (evaluate_rows(self.program, self._visit(goal=goal), memory).effective for goal in (True, False))

        def rate(arrive: Tensor) -> float:
            more = (arrive - leave).double() + 2 * (stay - away).double()
            return float(((more > 0).double() + 0.5 * (more == 0).double()).mean())

        going_on, ended = arrivals[False], arrivals[True]
        # the end takes the potential of the next state away, which says nothing about its direction: keep it
        return max(rate(going_on.effective), rate(going_on.effective - going_on.total + ended.total))

    def _journey(self, *, arrive: bool, ends: bool) -> Sample:
        """The probe's rows with one end replaced by goal states."""
        goal, elsewhere = self._places
        start, end = (elsewhere, goal) if arrive else (goal, elsewhere)
        return self._moves(start, end, ends=ends)

    def _visit(self, *, goal: bool) -> Sample:
        """The probe's rows standing still, in goal states or where they were recorded."""
        there = self._places[0 if goal else 1]
        return self._moves(there, there, ends=False)

    @property
    def _places(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """A goal state and the recorded state for each row of the probe."""
        assert self.goals is not None
        count = len(self.probe)
        goal = {name: states[torch.arange(count) % states.shape[0]] for name, states in self.goals.items()}
        return goal, {name: value for name, value in self.probe.next_obs.items() if name != "terminated"}

    def _moves(self, start: dict[str, Tensor], end: dict[str, Tensor], *, ends: bool) -> Sample:
        ended = torch.full((len(self.probe),), ends)
        return replace(self.probe, obs=start, next_obs=end | {"terminated": ended})

    @cached_property
    def nearest(self) -> Nearest | None:
        """The nearest of the rewards already tried, None where there is none to compare with."""
        return None if self.tried is None else self.tried.nearest(self.program, other_than=self.candidate)
