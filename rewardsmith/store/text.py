"""Reads text files that a person names: rewards, interfaces."""

from __future__ import annotations

from pathlib import Path

from rewardsmith.errors import UsageError

MAX_BYTES = 200_000


def read_text_file(path: Path, *, max_bytes: int = MAX_BYTES, hint: str = "give the path of a UTF-8 text file") -> str:
    """The text of a file, without a byte order mark.

    Raises: UsageError: missing, not a regular file (a pipe would be waited for), too large, binary, or not UTF-8.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder", hint=hint)
        if not path.is_file() and path.exists():
            raise UsageError(f"{path} is not a regular file", hint=hint)
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", hint=hint) from error
    if len(data) > max_bytes:
        raise UsageError(f"{path} is larger than {max_bytes:,} bytes", hint=hint)
    if b"\0" in data:
        raise UsageError(f"{path} is binary, not text", hint=hint)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start})", hint=hint) from error
