"""When to ask a server again, and how long to wait first. Nothing here knows about any SDK."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Callable, Mapping

from pydantic import Field

from rewardsmith.types import Record


class RetryPolicy(Record):
    """Capped exponential backoff. A server's Retry-After wins over it, up to `longest_wait_s`."""

    attempts: int = Field(default=5, ge=1, description="How often a request is sent at most.")
    first_wait_s: float = Field(default=1.0, ge=0)
    factor: float = Field(default=2.0, ge=1)
    cap_s: float = Field(default=30.0, ge=0, description="No wait of our own choosing is longer.")
    longest_wait_s: float = Field(
        default=300.0, ge=0, description="A server that asks for more than this is given up on."
    )

    def wait_s(self, failures: int, retry_after: float | None) -> float | None:
        """Seconds to wait after the `failures`-th failure (1-based); None means give up."""
        if failures >= self.attempts:
            return None
        if retry_after is not None:
            return retry_after if retry_after <= self.longest_wait_s else None
        return min(self.cap_s, self.first_wait_s * self.factor ** (failures - 1))


def is_retried_status(status: int) -> bool:
    """429 and server errors; a bad request, key or path never gets better by repeating it."""
    return status == 429 or 500 <= status < 600


def retry_after_s(headers: Mapping[str, str], *, now: Callable[[], float] = time.time) -> float | None:
    """The wait a server asks for: `retry-after-ms`, or `Retry-After` in seconds or as a date; None if it does not.

    Header names are looked up as given and in lower case.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name) or headers.get(name.title())
        if value is None:
            continue
        try:
            wait = float(value) * unit
        except ValueError:
            pass
        else:
            return max(0.0, wait) if math.isfinite(wait) else None
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now())
        except (TypeError, ValueError):
            continue
    return None
