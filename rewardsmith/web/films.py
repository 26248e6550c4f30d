"""What the page needs of whoever makes films."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


class Films(Protocol):
    """Films of candidates' episodes. Both methods are called from several threads at once."""

    def seeds(self, candidate: str) -> list[int]:
        """Seeds of the episodes that can be shown; candidates that have one in common start it alike."""
        ...

    def film(self, candidate: str, seed: int) -> Path:
        """The mp4 file of an episode; it may be made now, which takes seconds. It shows no score and no name.

        Raises: RewardsmithError: it cannot be made.
        """
        ...


def episodes(films: Films, items: Iterable[str]) -> list[int]:
    """Seeds that all `items` have, ascending, so that all clips of a set show the same start."""
    return sorted(set.intersection(*(set(films.seeds(item)) for item in items)))
