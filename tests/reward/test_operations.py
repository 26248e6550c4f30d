"""The documented table of operations is the table that is enforced."""

from __future__ import annotations

import re
from pathlib import Path

import rewardsmith
from rewardsmith.reward import arguments, graph, ops, verify

DOCUMENT = Path(rewardsmith.__file__).parents[1] / "docs" / "graph-operations.md"


def rows() -> list[list[str]]:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_operation_is_justified_once() -> None:
    documented = [
        f"aten.{name}" if "." in name else f"aten.{name}.default"
        for cells in rows()
        if len(cells) == 4
        for name in re.findall(r"`([\w.]+)`", cells[1])
    ]
    assert len(documented) == len(set(documented))
    assert set(documented) == ops.ALLOWED


def test_every_group_says_why() -> None:
    groups = [cells for cells in rows() if len(cells) == 4][1:]
    assert len(groups) >= 10
    assert all(all(cells) for cells in groups)


def test_limits_are_those_of_the_code() -> None:
    documented = sorted(int(cells[1].replace(",", "")) for cells in rows() if len(cells) == 2 and cells[0] != "limit")
    assert documented == sorted(
        [
            graph.MAX_BYTES, graph.MAX_VALUES, graph.MAX_NODES, graph.MAX_OUTPUTS, graph.MAX_MEMORY_FLOATS,
            arguments.MAX_CONSTANT_ELEMENTS, verify.MAX_ROW_ELEMENTS, verify.MAX_ROW_COST, verify.MAX_ROW_BYTES,
            verify.MAX_FIXED_ELEMENTS, verify.MAX_FIXED_COST,
        ]
    )  # fmt: skip
