"""A module for the jail that runs any Python it is given: what the gate would never let through."""

from __future__ import annotations

import time  # noqa: F401 (for the payloads)


def warm() -> None:
    """Nothing to warm."""


def run(payload: dict) -> bytes:
    scope: dict[str, object] = {}
    exec(payload["code"], scope)
    result = scope.get("result", b"")
    return result if isinstance(result, bytes) else str(result).encode()
