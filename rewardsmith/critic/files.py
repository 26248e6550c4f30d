"""Reward files on disk, one verdict each: what `rewardsmith check FILE...` runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rewardsmith.critic.critic import Critic
from rewardsmith.critic.table import FINDINGS
from rewardsmith.errors import UsageError
from rewardsmith.store import read_text_file
from rewardsmith.types import Finding, Verdict


def check_files(files: Iterable[Path], critic: Critic) -> Iterator[tuple[Path, Verdict]]:
    """A verdict for each file, as soon as it is known; a file that cannot be read is refused as `file.unreadable`."""
    for file in files:
        try:
            code = read_text_file(file)
        except UsageError as error:
            hint = FINDINGS["file.unreadable"].fix
            finding = Finding(id="file.unreadable", severity="refuse", message=error.message, hint=hint)
            yield file, Verdict(candidate=file.stem, accepted=False, findings=(finding,))
            continue
        yield file, critic.check(code, candidate_id=file.stem).verdict
