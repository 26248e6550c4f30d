"""Building an environment in this process, where it may hang."""

from __future__ import annotations

from collections.abc import Mapping

from rewardsmith.engine import STALL_S, watching
from rewardsmith.envs import Environment, resolve_env

MORE_TIME = "correct the environment, or give it longer with --stall-s N"


def build(
    env: str, kwargs: Mapping[str, object] | None = None, *, stall_s: float = STALL_S, hint: str = ""
) -> Environment:
    """`resolve_env`, watched: see there, and `watching`."""
    with watching(f"building {env}", stall_s=stall_s, hint=hint):
        return resolve_env(env, kwargs=dict(kwargs or {}))
