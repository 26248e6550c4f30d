"""A second wall behind seccomp: a Landlock rule set without a single rule, so every file and TCP port is denied."""

from __future__ import annotations

import ctypes
import os
import struct
import sys

# These numbers are the same on every processor (system calls added since 2019 are).
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_VERSION = 1  # flag of create_ruleset: answer the ABI version instead

_FILE_RIGHTS = (1 << 13) - 1  # ABI 1: execute, read, write, list, remove and make of every kind
_NETWORK_RIGHTS = 0b11  # ABI 4: bind and connect TCP
_SCOPES = 0b11  # ABI 6: abstract unix sockets and signals to processes outside


def abi() -> int:
    """Landlock's version in the running kernel; 0 when there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    version = ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    return max(version, 0)


def deny_everything() -> int:
    """Deny the calling thread every file and TCP port from now on; returns the ABI used, 0 when there is none.

    PR_SET_NO_NEW_PRIVS must be set. Files that are already open stay usable.

    Raises:
        OSError: the kernel has Landlock but refused.
    """
    version = abi()
    if version == 0:
        return 0
    rights = _FILE_RIGHTS
    if version >= 2:
        rights |= 1 << 13  # refer: rename across directories
    if version >= 3:
        rights |= 1 << 14  # truncate
    if version >= 5:
        rights |= 1 << 15  # ioctl on devices
    attribute = struct.pack("=QQQ", rights, _NETWORK_RIGHTS if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    known_bytes = 8 if version < 4 else 16 if version < 6 else 24

    libc = ctypes.CDLL(None, use_errno=True)
    ruleset = libc.syscall(_CREATE_RULESET, attribute, ctypes.c_size_t(known_bytes), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    try:
        if libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return version
