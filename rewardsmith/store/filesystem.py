"""Which file system a path is on: sqlite's WAL mode needs shared memory, which network file systems do not have."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

# f_type values of statfs(2) for file systems that are local for certain; everything else counts as shared
LOCAL_TYPES = {
    0xEF53: "ext",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x3153464A: "jfs",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x794C7630: "overlayfs",
}


def is_local(path: Path) -> bool:
    """Whether `path` (an existing folder or file) is surely on a local file system.

    Unknown file systems (NFS, SMB, Lustre, FUSE, 9p, anything not on Linux) answer False: the caller then takes the
    mode that works everywhere, which costs a little speed and nothing else.
    """
    return file_system_type(path) in LOCAL_TYPES


def file_system_type(path: Path) -> int | None:
    """`f_type` of statfs(2), or None where it cannot be asked."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(512)  # struct statfs is 120 bytes; f_type is its first member, a long
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return None
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
