"""Runs jobs: a job is a Python module, a spec file that it reads and a result file that it writes.

`Engine` is the seam; `LocalEngine` runs jobs as single-threaded child processes of this one. `watching` is for foreign
code in this process itself.
"""

from rewardsmith.engine.jobs import Engine, Job, JobOutcome
from rewardsmith.engine.local import LocalEngine
from rewardsmith.engine.pulse import Pulse
from rewardsmith.engine.watch import STALL_S, alive, watching

__all__ = ["STALL_S", "Engine", "Job", "JobOutcome", "LocalEngine", "Pulse", "alive", "watching"]
