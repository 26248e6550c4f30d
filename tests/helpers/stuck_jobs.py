"""Jobs that give signs of life, for engine tests: `python -m tests.helpers.stuck_jobs SPEC`; the spec says how."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from rewardsmith.engine import Pulse


def beat_for(seconds: float) -> None:
    pulse, end = Pulse(), time.monotonic() + seconds
    while time.monotonic() < end:
        pulse.beat()
        time.sleep(0.05)


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    result = Path(spec["result"])
    match spec["do"]:
        case "long and alive":
            beat_for(6.0)
        case "never a sign":
            time.sleep(6.0)
        case "falls silent":
            beat_for(0.2)
            time.sleep(600)
        case "is stopped":
            beat_for(0.2)
            os.kill(os.getpid(), signal.SIGSTOP)
        case "does not exit":
            beat_for(0.2)
            result.write_text("{}")
            time.sleep(600)
    result.write_text("{}")


if __name__ == "__main__":
    main()
