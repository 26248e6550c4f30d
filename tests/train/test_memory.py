"""A task with an order is learned by a policy that sees the reward's memory, and not by one that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"


@pytest.mark.slow  # trains two policies for 100,000 steps each: the promise is about learning
def test_there_and_back_again(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    subprocess.run([sys.executable, str(BENCHMARK), "--quick", "--json", str(file)], check=True, timeout=300)
    figures = json.loads(file.read_text())["figures"]
    assert figures["memory.seeing.success"] >= 0.95
    assert figures["memory.blind.success"] <= 0.5
