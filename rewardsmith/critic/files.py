"""Reward files on disk, one verdict each: what `rewardsmith check FILE...` runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rewardsmith.critic.critic import Critic
from rewardsmith.critic.table import FINDINGS
from rewardsmith.types import Finding, Verdict

MAX_BYTES = 200_000


class UnreadableFile(Exception):
    """The file cannot be a reward file; the message says why."""


def check_files(files: Iterable[Path], critic: Critic) -> Iterator[tuple[Path, Verdict]]:
    """A verdict for each file, as soon as it is known; a file that cannot be read is refused as `file.unreadable`."""
    for file in files:
        try:
            code = read_code(file)
        except UnreadableFile as error:
            hint = FINDINGS["file.unreadable"].fix
            finding = Finding(id="file.unreadable", severity="refuse", message=str(error), hint=hint)
            yield file, Verdict(candidate=file.stem, accepted=False, findings=(finding,))
            continue
        yield file, critic.check(code, candidate_id=file.stem).verdict


def read_code(file: Path) -> str:
    """The text of a reward file. Raises: UnreadableFile: missing, not a file, too large, binary, or not UTF-8."""
    try:
        if file.is_dir():
            raise UnreadableFile(f"{file} is a folder")
        if not file.is_file() and file.exists():
            raise UnreadableFile(f"{file} is not a regular file")
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise UnreadableFile(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_BYTES:
        raise UnreadableFile(f"{file} is larger than {MAX_BYTES:,} bytes")
    if b"\0" in data:
        raise UnreadableFile(f"{file} is binary, not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{file} is not UTF-8 text (byte {error.start})") from error
