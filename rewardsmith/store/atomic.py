"""Whole files or no files: write beside, fsync, rename over."""

from __future__ import annotations

import errno
import json
import os
import secrets
from pathlib import Path

from rewardsmith.errors import RunError
from rewardsmith.store.inside import read_inside

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FREE_SPACE = "free some space (old runs are the usual cause) and resume the run; nothing recorded before was lost"


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces `path` by `data` so that a reader, or a crash, sees the old file or the new one and never a part.

    Raises: RunError: the disk is full, or the folder cannot be written; the old file is then unchanged.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text; lone surrogates (possible in text from outside) become `?`."""
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_json(path: Path, value: object) -> None:
    """`write_bytes` for a JSON-able value, indented for people. NaN and infinities are kept, as Python's json does."""
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """What `write_json` writes."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_json(path: Path, *, root: Path | None = None) -> object:
    """The value in a JSON file within `root` (default: its own folder).

    Raises: RunError: the file is missing, unreadable, a link out of `root`, or not JSON.
    """
    data = read_inside(root or path.parent, path)
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged: it is not JSON ({error})",
            hint="rewardsmith never leaves half a file, so something else changed it: restore it from a copy, "
            "or start a new run",
        ) from error


def write_error(path: Path, error: OSError) -> RunError:
    """The error a person sees when `path` could not be written."""
    if error.errno in FULL:
        return RunError(f"the disk is full: could not write {path} ({error.strerror})", hint=FREE_SPACE)
    return RunError(
        f"cannot write {path}: {error.strerror or error}", hint="check that the folder exists and may be written"
    )


def _sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` durable. Some file systems cannot sync folders; the rename is still atomic there."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
