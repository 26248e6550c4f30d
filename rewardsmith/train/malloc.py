"""Keeps freed memory in the process: a gradient step takes and gives back the same few megabytes each time."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 1 << 30
_LARGEST_ON_HEAP = 32 << 20  # the most that glibc accepts


def keep_freed_memory() -> None:
    """Tell glibc's allocator not to hand freed blocks back to the system; elsewhere this does nothing.

    Otherwise every large temporary is mapped anew, and its page faults cost a third of a gradient step.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_ON_HEAP)
