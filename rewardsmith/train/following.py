"""The members' metrics files, read while other processes write them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from rewardsmith.train.job import OnPoint, member_folder
from rewardsmith.types import CurvePoint, Member

_EVERY_S = 0.5


class Following:
    """While the block runs, reports every new point of the members that were added, from another thread.

    A point is reported once, however often a killed training writes it again. Without a listener it does nothing.
    """

    def __init__(self, out: Path, on_point: OnPoint | None) -> None:
        self._out, self._on_point = out, on_point
        self._reported: dict[Member, int] = {}  # env steps of the last point
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def add(self, members: Iterable[Member]) -> None:
        self._reported |= dict.fromkeys(members, -1)

    def __enter__(self) -> Following:
        if self._on_point:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on_point:
            self._stop.set()
            self._thread.join()
            self._report(self._on_point)

    def _follow(self) -> None:
        while self._on_point and not self._stop.wait(_EVERY_S):
            self._report(self._on_point)

    def _report(self, on_point: OnPoint) -> None:
        for member, last in list(self._reported.items()):
            for point in read_metrics(member_folder(self._out, member) / "metrics.jsonl"):
                if point.env_steps > last:
                    self._reported[member] = last = point.env_steps
                    on_point(member, point)


def read_metrics(path: Path) -> list[CurvePoint]:
    """The points of a metrics file, up to the first line that is not whole (a process may have died in it)."""
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a name may hold what splitlines() takes for an end
    except (OSError, UnicodeDecodeError):
        return []
    points = []
    for line in lines:
        try:
            points.append(CurvePoint.model_validate(json.loads(line)))
        except (ValueError, RecursionError):
            break
    return points
