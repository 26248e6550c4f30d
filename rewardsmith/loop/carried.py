"""What a refined run takes over from the run before, so that it needs nothing of that run's folder afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from rewardsmith.config import DesignConfig
from rewardsmith.errors import RunError
from rewardsmith.store import Journal
from rewardsmith.types import Check, Record, Task

KEY = "carried"


class Carried(Record):
    """`task` has the goal as it was frozen, with the checks of earlier wishes."""

    task: Task
    files: dict[str, str]  # of the goal and its checks, by their names in the new run's folder
    told: str = ""  # what training showed about the reward to start from


def told_wishes(wishes: Sequence[str], checks: Sequence[Check]) -> tuple[str, ...]:
    """Wishes as designers are told them: with what counts as met where that is checked."""
    counts = {check.wish: f"{check.wish} (met when: {check.about})" for check in checks}
    return tuple(counts.get(wish, wish) for wish in wishes)


def carried_by(journal: Journal, config: DesignConfig) -> Carried | None:
    """None for a run that refines no other. Raises: RunError: the run was ended before it had taken anything over."""
    if config.refines is None:
        return None
    record = journal.get(KEY)
    if record is None:
        raise RunError(
            f"the run was ended before it had taken over the goal of {config.refines}",
            hint=f"nothing was done in it yet: delete it, and refine {config.refines} again",
        )
    return Carried.model_validate(record)
