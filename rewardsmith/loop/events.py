"""What a running design says to whoever watches it: a live table, plain lines, TensorBoard, a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rewardsmith.types import CandidateState, CurvePoint


class RoundStarted(NamedTuple):
    """`name` is "round 1 of 2" or "final". `measured` is False where only people's votes say how good a policy is."""

    name: str
    measured: bool = True


class CandidateChanged(NamedTuple):
    candidate: str
    state: CandidateState
    detail: str = ""  # untrusted: may quote model text


class PointMeasured(NamedTuple):
    candidate: str
    seed: int
    point: CurvePoint


class VotesWanted(NamedTuple):
    """The run in `root` waits until `raters` people have compared the clips of a question."""

    root: Path
    question: str
    clips: int
    raters: int


class Said(NamedTuple):
    """One line for a person. Untrusted."""

    text: str


Event = RoundStarted | CandidateChanged | PointMeasured | VotesWanted | Said
Observer = Callable[[Event], None]


def silent(event: Event) -> None:
    """The observer that watches nothing."""
