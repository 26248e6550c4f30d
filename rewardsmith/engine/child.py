"""`python -m rewardsmith.engine.child PARENT MODULE SPEC`: run a module so that it cannot outlive its engine."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies; leave at once if that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _import_package(module: str) -> None:
    """Import the package of a module, as running the module does first, without collecting garbage meanwhile.

    Imports make a million objects that stay: looking through them again and again takes a large part of a second.
    """
    gc.disable()
    if package := module.rpartition(".")[0]:
        importlib.import_module(package)
    gc.freeze()
    gc.enable()


def main() -> None:
    parent, module, *arguments = sys.argv[1:]
    die_with_parent(int(parent))
    faulthandler.enable()  # what crashes the process shows in its log
    sys.argv = [module, *arguments]
    _import_package(module)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
