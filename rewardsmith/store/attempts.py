"""Counts the deaths of the process during one piece of work, so that it is not begun for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rewardsmith.store.atomic import write_text


@contextmanager
def deaths_during(path: Path) -> Iterator[int]:
    """How many processes ended within this block before, without leaving it. `path` is there while one is inside.

    An exception or an interrupt leaves the block properly and counts as nothing.
    """
    try:
        before = int(path.read_text())
    except (FileNotFoundError, ValueError):
        before = 0
    write_text(path, str(before + 1))
    try:
        yield before
    finally:
        path.unlink(missing_ok=True)
