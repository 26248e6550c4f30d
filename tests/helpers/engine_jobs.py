"""Job modules for engine tests: `python -m tests.helpers.engine_jobs SPEC`; the spec says how to behave."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    result = Path(spec["result"])
    result.with_suffix(".pid").write_text(str(os.getpid()))
    print("the job says hello")
    match spec["do"]:
        case "work":
            result.write_text(json.dumps({"threads": os.environ["OMP_NUM_THREADS"]}))
        case "garbage":
            result.write_text("{ half a resu")
        case "nothing":
            pass
        case "raise":
            raise RuntimeError("the job is unwell")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            ctypes.string_at(0)
        case "hang":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            result.with_suffix(".grandchild").write_text(str(child.pid))
            time.sleep(600)


if __name__ == "__main__":
    main()
