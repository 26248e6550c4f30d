"""Made-up results of trainings."""

from __future__ import annotations

from collections.abc import Sequence

from rewardsmith.types import CurvePoint, Kept


def kept_of(curve: Sequence[CurvePoint]) -> Kept | None:
    """What a member with this curve keeps: the policy of its best evaluation, of the last one among equals."""
    if not curve:
        return None
    best = max(reversed(curve), key=lambda p: (p.success, p.fitness))
    return Kept(env_steps=best.env_steps, episodes=((best.success, best.fitness),))
