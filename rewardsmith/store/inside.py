"""Reads the files of a run folder, which somebody else may have made: nothing outside of it, and nothing endless."""

from __future__ import annotations

from pathlib import Path

from rewardsmith.errors import RunError

MAX_BYTES = 64 * 2**20
FIX = "restore the folder from a copy, or start a new run"


def inside(root: Path, path: Path) -> Path:
    """`path`, which is a regular file within `root` wherever links lead.

    Raises: RunError: missing, not a regular file (a pipe would be waited for), or a link out of the run's folder.
    """
    try:
        found = path.resolve()
        if not found.is_relative_to(root.resolve()):
            raise RunError(f"{path} leads out of the run's folder", hint="put a copy of the file in the link's place")
        if not found.is_file():
            problem = "it is not a regular file" if found.exists() else "there is no such file"
            raise RunError(f"cannot read {path}: {problem}", hint=FIX)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links; ValueError: a null byte
        raise _unreadable(path, error) from error
    return path


def folder_inside(root: Path, folder: Path) -> Path:
    """`folder`, made where it is missing, which is a folder within `root` wherever links lead: one to write into.

    Raises: RunError: it leads out of the run's folder, or cannot be made.
    """
    try:
        if not folder.resolve().is_relative_to(root.resolve()):
            raise RunError(f"{folder} leads out of the run's folder", hint="put a folder in the link's place")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise RunError(f"cannot make the folder {folder}: {said}", hint="check the permissions of the run") from error
    return folder


def read_inside(root: Path, path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a run's file.

    Raises: RunError: as `inside`; or it is too large, or cannot be read.
    """
    try:
        with inside(root, path).open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) > max_bytes:
        raise RunError(f"{path} is larger than {max_bytes:,} bytes", hint=FIX)
    return data


def read_text_inside(root: Path, path: Path) -> str:
    """`read_inside` for UTF-8 text. Raises: RunError: it is none."""
    try:
        return read_inside(root, path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is damaged: it is not UTF-8 text (byte {error.start})", hint=FIX) from error


def _unreadable(path: Path, error: Exception) -> RunError:
    said = getattr(error, "strerror", None) or error
    return RunError(f"cannot read {path}: {said}", hint="check the path and the permissions of the run folder")
