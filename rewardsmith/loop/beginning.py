"""The first session of a run: a request that turns out to be wrong before anything is paid for leaves no run behind."""

from __future__ import annotations

import shutil

from rewardsmith.errors import EnvironmentFault, JailError, RewardRefused, UsageError
from rewardsmith.loop.driver import drive
from rewardsmith.loop.events import Observer
from rewardsmith.loop.goal import ApproveGoal
from rewardsmith.loop.summary import RunSummary, config_of
from rewardsmith.store import RunFolder

WRONG_REQUESTS = (UsageError, EnvironmentFault, RewardRefused, JailError)
PAID = ("llm/", "round-1/")  # records of model calls, and of all that follows from proposals


def drive_new(folder: RunFolder, *, observe: Observer, approve_goal: ApproveGoal) -> RunSummary:
    """`drive` a run that was just made. Where it ends for a mistake before a model was asked or anything trained, its
    folder is removed, so that it is nobody's latest run.

    Raises: as `drive`.
    """
    try:
        return drive(folder, config_of(folder), observe=observe, approve_goal=approve_goal)
    except WRONG_REQUESTS:
        if not _paid(folder):
            shutil.rmtree(folder.root, ignore_errors=True)
        raise


def _paid(folder: RunFolder) -> bool:
    with folder.journal(read_only=True) as journal:
        return any(journal.keys(prefix) for prefix in PAID)
