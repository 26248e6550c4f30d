"""Distances between rewards as a picture."""

from __future__ import annotations

import math
from pathlib import Path

from rewardsmith.errors import UsageError
from rewardsmith.loop.distances import DistanceReport

FARTHEST = {"STARC": 2.0, "EPIC": 1.0, "DARD": 1.0}
CELL_INCHES = 0.55


def draw_heatmap(report: DistanceReport, path: Path) -> None:
    """One square for each pair, one panel for each distance that could be computed; dark is near, grey is unknown.

    Raises: UsageError: the file cannot be written, or its ending is not one of an image.
    """
    from matplotlib.figure import Figure

    panels = [(name, metric.matrix) for name, metric in report.metrics.items() if metric.matrix is not None]
    if not panels or not report.names:
        raise UsageError("there is nothing to draw: no distance could be computed", hint="leave --heatmap away")
    size = CELL_INCHES * max(len(report.names), 3)
    figure = Figure(figsize=((size + 1.2) * len(panels) + 1.2, size + 1.6), layout="constrained")
    for axes, (name, matrix) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        numbers = [[math.nan if d is None else d for d in row] for row in matrix]
        axes.imshow(numbers, vmin=0, vmax=FARTHEST[name], cmap="viridis")
        axes.set_facecolor("0.8")
        axes.set_title(f"{name} (0 to {FARTHEST[name]:g})")
        labels = [name if len(name) <= 24 else f"{name[:22]}..." for name in report.names]
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(len(labels)), labels if axes is figure.axes[0] else [], parse_math=False)
        for i, row in enumerate(numbers):
            for k, distance in enumerate(row):
                if not math.isnan(distance):
                    dark = distance < 0.6 * FARTHEST[name]
                    axes.text(k, i, f"{distance:.2f}", ha="center", va="center", fontsize=8, color="w" if dark else "k")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot write {path}: {error}", hint="name a .png, .svg or .pdf file in an existing folder"
        ) from None
