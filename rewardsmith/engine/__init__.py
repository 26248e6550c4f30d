"""Runs jobs: a job is a Python module, a spec file that it reads and a result file that it writes.

`Engine` is the seam; `LocalEngine` runs jobs as single-threaded child processes of this one.
"""

from rewardsmith.engine.jobs import Engine, Job, JobOutcome
from rewardsmith.engine.local import LocalEngine
from rewardsmith.engine.pulse import Pulse

__all__ = ["Engine", "Job", "JobOutcome", "LocalEngine", "Pulse"]
