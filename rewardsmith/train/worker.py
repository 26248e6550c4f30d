"""`python -m rewardsmith.train.worker SPEC.json`: one training job in one process."""

from __future__ import annotations

import sys
from pathlib import Path

from rewardsmith.train.jobfile import work

if __name__ == "__main__":
    work(Path(sys.argv[1]))
