"""Every error a person can meet: one base class, a message that says what, where and what to do, and an exit code.

The command line shows these without a traceback; anything else is a bug in rewardsmith and shows one.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

EXIT_OK = 0
EXIT_NOTHING_ACCEPTABLE = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_BUDGET = 4
EXIT_MODEL = 5
EXIT_INTERRUPTED = 130


def problems_in(error: Any) -> str:
    """A pydantic `ValidationError` in one line: which fields, and what is wrong with each."""
    lines = []
    for item in error.errors():
        field, message = ".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")
        lines.append(f"{field}: {message}" if field else message)
    return "; ".join(lines)


class RewardsmithError(Exception):
    """Base of all errors with a known cause. `hint` says what to do about it."""

    exit_code = EXIT_USAGE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  Fix: {self.hint}" if self.hint else self.message


class UsageError(RewardsmithError):
    """The request itself cannot work: a bad option, a bad value, a missing file."""


class RunError(RewardsmithError):
    """A run folder is missing, damaged, locked by another process, or from another version."""


class EnvironmentFault(RewardsmithError):
    """The environment or its pack is at fault: unknown, broken, or of an unsupported kind."""

    exit_code = EXIT_ENVIRONMENT


class MissingExtra(EnvironmentFault):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed", hint=f"pip install 'rewardsmith[{extra}]'")


class BudgetSpent(RewardsmithError):
    """A budget would be exceeded by the next step; nothing was spent on it."""

    exit_code = EXIT_BUDGET

    def __init__(self, kind: str, used: float, limit: float, wanted: float = 0.0) -> None:
        amounts = f"{used:,.4g} s used of {limit:,.4g} s" if kind == "wall_s" else f"{used:,.10g} used of {limit:,.10g}"
        need = f", and the next step may need {wanted:,.10g} more" if wanted > 0 and kind != "wall_s" else ""
        super().__init__(
            f"the {kind.replace('_', ' ')} budget does not reach: {amounts}{need}",
            hint=f"raise it with --max-{kind.replace('_', '-')} and resume the run",
        )
        self.kind, self.used, self.limit = kind, used, limit


class ModelServerError(RewardsmithError):
    """The language model server is unreachable, refuses, or keeps failing."""

    exit_code = EXIT_MODEL


class RewardRefused(RewardsmithError):
    """A reward file was refused by the gate, the tracer or the graph loader.

    Attributes:
        id: of the finding.
        line: 1-based line of the source, or None.
        node: (function, number) of the operation in the graph that it is about, or None.
    """

    exit_code = EXIT_NOTHING_ACCEPTABLE

    def __init__(self, message: str, *, id: str, hint: str = "", line: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.id, self.line = id, line
        self.node: tuple[str, int] | None = None


class NothingAcceptable(RewardsmithError):
    """The run ended without one acceptable reward."""

    exit_code = EXIT_NOTHING_ACCEPTABLE


class JailError(RewardsmithError):
    """The jail could not be built or broke down (the machine's fault, never the candidate's)."""

    exit_code = EXIT_ENVIRONMENT


class StatisticsError(RewardsmithError):
    """A statistic was asked of too little data to mean anything."""


class Interrupted(RewardsmithError):
    """The person pressed Ctrl-C; the run can be resumed."""

    exit_code = EXIT_INTERRUPTED


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Message for an unknown name: the close matches first, then everything known."""
    known = sorted(known)
    close = get_close_matches(name, known, n=2, cutoff=0.5)
    guess = f"; did you mean {' or '.join(close)}?" if close else "."
    return f"unknown {kind} {name!r}{guess} Known: {', '.join(known) or 'none'}"
