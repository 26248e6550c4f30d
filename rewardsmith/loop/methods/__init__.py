"""Design methods: one file each, reading like its paper's pseudocode, built from the steps of `loop.steps`.

Outside packages add theirs with the entry point group `rewardsmith.methods`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

from rewardsmith.errors import UsageError, unknown
from rewardsmith.loop.steps import Steps

METHODS = {
    "eureka": "rewardsmith.loop.methods.eureka:design",
    "given": "rewardsmith.loop.methods.given:design",
}


class Method(Protocol):
    def __call__(self, steps: Steps) -> str | None:
        """Run the search and return the best candidate's id, or None."""
        ...


def load_method(name: str) -> Method:
    """Raises: UsageError: no such method."""
    known = METHODS | {e.name: e.value for e in entry_points(group="rewardsmith.methods")}
    if name not in known:
        raise UsageError(unknown("method", name, known))
    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)
