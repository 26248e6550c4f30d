"""What a person sees while a run trains: a live table on a terminal, plain lines anywhere else.

The lines tell every change of a candidate's state once, with its scores where it has any; of the measurements on the
way only what leads, once a minute.
"""

from __future__ import annotations

import time
from types import TracebackType

import numpy as np
from rich.live import Live
from rich.table import Table

from rewardsmith.cli.console import progress, wash
from rewardsmith.loop.events import CandidateChanged, Event, PointMeasured, RoundStarted, Said
from rewardsmith.loop.goal import ApproveGoal, GoalAnswer, GoalProposal
from rewardsmith.types import CandidateState, CurvePoint

COLOURS = {
    CandidateState.ACCEPTED: "bold green",
    CandidateState.OUTSCORED: "white",
    CandidateState.CHECKED: "cyan",
    CandidateState.TRAINING: "cyan",
    CandidateState.PROPOSED: "dim",
    CandidateState.DROPPED: "dim",
    CandidateState.DUPLICATE: "dim",
}


EVERY_S = 60.0  # between two lines on a training that goes on


def spread(values: list[float]) -> str:
    """Mean and range over seeds: few seeds give no interval worth the name."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"


class LiveView:
    """An observer of one run; use as a context manager."""

    def __init__(self) -> None:
        self._round = ""
        self._measured = True
        self._states: dict[str, tuple[CandidateState, str]] = {}
        self._points: dict[str, dict[int, CurvePoint]] = {}
        self._told = time.monotonic()
        terminal = progress.is_terminal
        self._live = Live(console=progress, refresh_per_second=4, transient=False) if terminal else None

    def __enter__(self) -> LiveView:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        else:
            self._tell_unfinished()

    def asking(self, ask: ApproveGoal) -> ApproveGoal:
        """`ask`, with the live table out of the way while it waits for an answer."""

        def without_table(proposal: GoalProposal) -> GoalAnswer:
            if self._live is None:
                return ask(proposal)
            self._live.stop()
            try:
                return ask(proposal)
            finally:
                self._live = Live(console=progress, refresh_per_second=4)
                self._live.start()

        return without_table

    def __call__(self, event: Event) -> None:
        match event:
            case RoundStarted(name, measured):
                self._measured = measured
                self._start(name)
            case CandidateChanged(candidate, state, detail):
                changed = self._states.get(candidate) != (state, detail)
                self._states[candidate] = (state, detail)
                if changed and not self._live:
                    about = wash(detail, 400) or self._scores(candidate)
                    progress.print(f"{wash(candidate)}: {state}{' - ' + about if about else ''}", soft_wrap=True)
            case PointMeasured(candidate, seed, point):
                if not self._live and time.monotonic() - self._told >= EVERY_S:
                    self._tell_leader()  # before this point, which other seeds have yet to come to
                self._points.setdefault(candidate, {})[seed] = point
                self._states.setdefault(candidate, (CandidateState.TRAINING, ""))
            case Said(text):
                progress.print(wash(text), soft_wrap=True)
        if self._live:
            self._live.update(self._table())

    def _start(self, name: str) -> None:
        if self._live and self._round:  # leave the last round's table standing above the new one
            self._live.stop()
            self._live = Live(console=progress, refresh_per_second=4)
            self._live.start()
        if not self._live:
            self._tell_unfinished()
            progress.print(f"--- {name}")
        self._round, self._states, self._points = name, {}, {}
        self._told = time.monotonic()

    def _front(self, candidate: str) -> list[CurvePoint]:
        """The newest points of a candidate's furthest seeds: without those that joined late, as finalists' do."""
        points = self._points.get(candidate, {}).values()
        front = max((p.env_steps for p in points), default=0)
        return [p for p in points if p.env_steps == front]

    def _scores(self, candidate: str) -> str:
        """What its policies come to, in words; empty before anything was measured."""
        ahead = self._front(candidate)
        if not ahead:
            return ""
        if not self._measured:
            return f"{ahead[0].env_steps:,} env steps"
        success, fitness = spread([p.success for p in ahead]), spread([p.fitness for p in ahead])
        return f"success {success}, fitness {fitness} at {ahead[0].env_steps:,} env steps"

    @property
    def _in_training(self) -> list[str]:
        return [id for id, (state, _) in self._states.items() if state == CandidateState.TRAINING]

    def _tell_leader(self) -> None:
        """One line on the training that goes on."""

        def score(id: str) -> tuple[float, float]:
            ahead = self._front(id)
            return float(np.mean([p.success for p in ahead])), float(np.mean([p.fitness for p in ahead]))

        measured = [id for id in self._in_training if id in self._points]
        if measured:
            best, others = max(measured, key=score), len(self._in_training) - 1
            more = f"; {others} more in training" if others else ""
            progress.print(f"{wash(best)}{' leads' * self._measured}: {self._scores(best)}{more}", soft_wrap=True)
            self._told = time.monotonic()

    def _tell_unfinished(self) -> None:
        """The last scores of those that no change of state has told, such as the fresh seeds'."""
        for id in self._in_training:
            if scores := self._scores(id):
                progress.print(f"{wash(id)}: {scores}", soft_wrap=True)

    def _table(self) -> Table:
        table = Table(title=self._round, title_justify="left", title_style="bold", expand=False)
        measures = ("success", "fitness") if self._measured else ()
        for column in ("candidate", "state", *measures, "env steps", ""):
            right = column in (*measures, "env steps")
            table.add_column(column, justify="right" if right else "left", no_wrap=column != "")
        for id, (state, detail) in self._states.items():
            points, ahead = self._points.get(id, {}).values(), self._front(id)
            scores = [spread([p.success for p in ahead]), spread([p.fitness for p in ahead])]
            table.add_row(
                wash(id),
                f"[{COLOURS.get(state, 'red')}]{state}[/]",
                *(scores if self._measured else ()),
                f"{sum(p.env_steps for p in points):,}" if points else "",
                wash(detail, 320),
            )
        return table
