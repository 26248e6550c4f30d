"""Only a process that dies inside counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rewardsmith.store import deaths_during

DIE = """
import os, sys
from pathlib import Path
from rewardsmith.store import deaths_during
with deaths_during(Path(sys.argv[1])):
    os._exit(9)
"""


def deaths(path: Path) -> int:
    with deaths_during(path) as count:
        return count


def test_deaths_are_counted_until_one_lives(tmp_path: Path) -> None:
    path = tmp_path / "work"
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", DIE, str(path)], check=False).returncode == 9
    assert deaths(path) == 2
    assert deaths(path) == 0


def test_exceptions_and_interrupts_are_no_deaths(tmp_path: Path) -> None:
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), deaths_during(tmp_path / "work"):
            raise error
    assert deaths(tmp_path / "work") == 0


def test_a_damaged_count_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("")
    assert deaths(tmp_path / "work") == 0
