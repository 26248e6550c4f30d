"""What reward files may use without importing it; this module exists so that editors find it.

from rewardsmith.toolkit import contains, tolerance   # accepted in reward files, and dropped
"""

from rewardsmith.reward.toolkit import (
    always,
    at_most,
    clip,
    conjunction,
    contains,
    contains_any,
    delta,
    eventually,
    geometric,
    once,
    sequence,
    sign_only,
    tolerance,
)

__all__ = [
    "always",
    "at_most",
    "clip",
    "conjunction",
    "contains",
    "contains_any",
    "delta",
    "eventually",
    "geometric",
    "once",
    "sequence",
    "sign_only",
    "tolerance",
]
