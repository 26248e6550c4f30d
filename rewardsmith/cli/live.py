"""What a person sees while a run trains: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

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
        self._states: dict[str, tuple[CandidateState, str]] = {}
        self._points: dict[str, dict[int, CurvePoint]] = {}
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
            case RoundStarted(name):
                self._start(name)
            case CandidateChanged(candidate, state, detail):
                changed = self._states.get(candidate) != (state, detail)
                self._states[candidate] = (state, detail)
                if changed and not self._live:
                    progress.print(
                        f"{wash(candidate)}: {state}{' - ' + wash(detail, 400) if detail else ''}", soft_wrap=True
                    )
            case PointMeasured(candidate, seed, point):
                self._points.setdefault(candidate, {})[seed] = point
                self._states.setdefault(candidate, (CandidateState.TRAINING, ""))
                if not self._live:
                    progress.print(
                        f"{wash(candidate)} seed {seed}: {point.env_steps:,} steps, "
                        f"success {point.success:.2f}, fitness {point.fitness:.4g}"
                    )
            case Said(text):
                progress.print(wash(text), soft_wrap=True)
        if self._live:
            self._live.update(self._table())

    def _start(self, name: str) -> None:
        if self._live and self._round:  # leave the last round's table standing above the new one
            self._live.stop()
            self._live = Live(console=progress, refresh_per_second=4)
            self._live.start()
        self._round, self._states, self._points = name, {}, {}
        if not self._live:
            progress.print(f"--- {name}")

    def _table(self) -> Table:
        table = Table(title=self._round, title_justify="left", title_style="bold", expand=False)
        for column, justify in (
            ("candidate", "left"),
            ("state", "left"),
            ("success", "right"),
            ("fitness", "right"),
            ("env steps", "right"),
            ("", "left"),
        ):
            table.add_column(column, justify=justify, no_wrap=column != "")  # type: ignore[arg-type]
        for id, (state, detail) in self._states.items():
            points = list(self._points.get(id, {}).values())
            front = max((p.env_steps for p in points), default=0)
            ahead = [p for p in points if p.env_steps == front]  # without seeds that joined late, as finalists' do
            table.add_row(
                wash(id),
                f"[{COLOURS.get(state, 'red')}]{state}[/]",
                spread([p.success for p in ahead]),
                spread([p.fitness for p in ahead]),
                f"{sum(p.env_steps for p in points):,}" if points else "",
                wash(detail, 320),
            )
        return table
