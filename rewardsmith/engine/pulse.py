"""A job's signs of life, by which its engine tells a long one from one that hangs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

VARIABLE = "REWARDSMITH_PULSE"  # environment variable: the file whose modification time is the last sign of life
_EVERY_S = 1.0

_P = ParamSpec("_P")


class Pulse:
    """Signs of life of this process, at most one a second; without an engine they go nowhere.

    A job is expected to go on giving them once it has given the first.
    """

    def __init__(self) -> None:
        path = os.environ.get(VARIABLE)
        self._path = Path(path) if path else None
        self._next_s = 0.0

    def beat(self) -> None:
        """Give a sign of life."""
        now_s = time.monotonic()
        if self._path is not None and now_s >= self._next_s:
            self._next_s = now_s + _EVERY_S
            with contextlib.suppress(OSError):
                self._path.touch()

    def after(self, call: Callable[_P, None]) -> Callable[_P, None]:
        """`call`, followed by a sign of life."""

        def called(*args: _P.args, **kwargs: _P.kwargs) -> None:
            call(*args, **kwargs)
            self.beat()

        return called
