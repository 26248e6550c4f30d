"""A module for the jail that runs hostile rewards as plain Python on real tensors: no gate, no tracer, all of Python.

Modules that they want are imported beforehand: in the jail it is too late, and the jail has to hold, not the import.
"""

from __future__ import annotations

import contextlib
import importlib
import math

import torch

from rewardsmith.reward import toolkit
from rewardsmith.reward.vocabulary import TOOLKIT
from tests.reward.corpus.interface import transition

_WANTED = """
_posixsubprocess _socket array asyncio atexit concurrent.futures ctypes datetime fcntl gc getpass glob http.client
importlib.util inspect linecache locale logging mmap multiprocessing multiprocessing.connection
multiprocessing.shared_memory numpy operator os pathlib pickle platform pty py_compile random re resource select shutil
signal site socket sqlite3 subprocess tempfile termios threading time torch.distributed torch.hub torch.multiprocessing
torch.profiler torch.utils.data urllib.request uuid weakref xmlrpc.client
"""
_SEEN_CHARS = 50_000


def warm() -> None:
    torch.set_num_threads(1)
    for name in _WANTED.split():
        with contextlib.suppress(ImportError):  # sqlite3 and the like are optional parts of Python
            importlib.import_module(name)
    _execute("def compute_reward(obs, action, next_obs):\n    return torch.exp(next_obs['height']), {}")


def run(payload: dict) -> bytes:
    return _execute(payload["code"])


def _execute(code: str) -> bytes:
    """Everything that the code returns, as text; what it raises, the jail reports."""
    scope = {"torch": torch, "F": torch.nn.functional, "math": math, "__name__": "reward"}
    scope |= {name: getattr(toolkit, name) for name in TOOLKIT}
    exec(code, scope)
    obs, action, after = transition(4)
    memory = (scope["initial_memory"](4),) if "initial_memory" in scope else ()
    result = scope["compute_reward"](obs, action, after, *memory)
    seen = list(result) if hasattr(result, "__next__") else result
    return repr(seen)[:_SEEN_CHARS].encode(errors="replace")
