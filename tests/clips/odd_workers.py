"""A process in place of the one that draws films; what it does with an order is said by the order's `target`.

It imports nothing of rewardsmith, so that it is there at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    for line in sys.stdin:
        how = Path(json.loads(line)["target"]).name
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "exits":
            sys.exit("no more memory")
        elif how == "leaves":
            os._exit(0)
        elif how == "hangs":
            time.sleep(600)
        elif how == "babbles":
            print("<html>", flush=True)
        else:
            error, hint = ("no picture", "draw one") if how in ("faulty", "damaged") else ("", "")
            print(json.dumps({"error": error, "hint": hint, "about_run": how == "damaged"}), flush=True)
            if how == "last":
                sys.exit(0)  # as one that was idle for long


if __name__ == "__main__":
    main()
