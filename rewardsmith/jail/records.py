"""Limits, rungs and faults of the jail. A `JailFault` is the candidate's fault; `errors.JailError` is the machine's."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from rewardsmith.types import Record


class JailLimits(Record):
    """What one call may use. The kernel enforces all of them, and the outside enforces the wall clock once more."""

    wall_s: PositiveFloat = Field(
        default=20.0, description="Wall clock of one call, in seconds; then the process is killed."
    )
    cpu_s: PositiveInt = Field(default=20, description="Processor time of one call, in whole seconds.")
    memory_mb: PositiveInt = Field(
        default=2048, description="Address space above what the zygote itself occupies, in MiB."
    )
    output_bytes: PositiveInt = Field(default=4_000_000, description="Largest result.")
    payload_bytes: PositiveInt = Field(default=4_000_000, description="Largest payload accepted from the caller.")
    start_s: PositiveFloat = Field(
        default=120.0, description="Time for the zygote to import and warm its module, in seconds."
    )


class JailRung(Record):
    """One way of confinement on this machine.

    Attributes:
        name: `seccomp+bubblewrap`, `seccomp`, `sandbox-exec` or `none`, strongest first.
        available: it works here (it was tried, not guessed).
        used: it is what a `Jail` with default options uses.
        layers: everything that is stacked up in it, outermost first.
        detail: why it is not available, or versions.
        does_not_stop: in plain words, what code inside could still do.
    """

    name: str
    available: bool
    used: bool = False
    layers: tuple[str, ...] = ()
    detail: str = ""
    does_not_stop: str = ""


class JailFault(Exception):
    """The jailed code is at fault: it ran too long, did something forbidden, or gave no proper result."""


class JailTimeout(JailFault):
    """The call used up its wall clock or its processor time."""


class JailKilled(JailFault):
    """The kernel ended the call. `reason` says why in plain words; `signal` is the signal's number, 0 when none."""

    def __init__(self, reason: str, *, signal: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.signal = reason, signal


class JailOutputError(JailFault):
    """The call ended without a complete, well-formed result of allowed size."""
