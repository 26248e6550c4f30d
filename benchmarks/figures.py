"""What every benchmark program shares: options, medians, and the JSON file of its figures."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch

from rewardsmith.store.folder import installed_versions


def options(about: str) -> argparse.Namespace:
    """`--quick` (under 5 minutes, wider intervals) and `--json FILE`."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="under 5 minutes; figures that take longer are null")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    return parser.parse_args()


def hardware() -> dict[str, object]:
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return {"machine": platform.machine(), "cores": os.cpu_count(), "device": device}


def median_ms(action: Callable[[], object], repeats: int) -> float:
    """Median wall milliseconds of `action`, after one call that is not counted."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


class Figures:
    """Collects named figures, prints them as a table, and writes them as JSON."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self.values: dict[str, float | None] = {}

    def add(self, name: str, value: float | None, unit: str, about: str) -> None:
        """`value` None: not measured in this run."""
        self.values[name] = value
        shown = "not measured" if value is None else f"{value:.4g} {unit}"
        print(f"{name:32} {shown:>18}   {about}")

    def write(self, path: Path | None) -> None:
        if path is None:
            return
        content = {
            "figures": self.values,
            "versions": installed_versions(),
            "hardware": hardware(),
            "started": self.started.isoformat(),
            "ended": datetime.now(UTC).isoformat(),
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
