"""The README's commands exist as they are written there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from rewardsmith.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text()
LINES = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("rewardsmith ")
]


@pytest.mark.parametrize("line", LINES)
def test_command(line) -> None:
    verb, *arguments = shlex.split(line)[1:]
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert verb in commands
    known = {option for parameter in commands[verb].params for option in parameter.opts}
    assert {a.split("=")[0] for a in arguments if a.startswith("--")} <= known


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target


def test_verbs_of_the_table_exist() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(re.findall(r"^\| `(\w+)", README, re.MULTILINE)) <= set(commands)
