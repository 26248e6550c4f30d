"""The results table as one HTML file, in the looks of a run's report: no scripts, no requests, nothing unescaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from rewardsmith.analyze.report.charts import DotRow, dot_plot
from rewardsmith.analyze.report.html import render_html, resource
from rewardsmith.loop.batch.cells import REFERENCE
from rewardsmith.loop.batch.results import Measured, Row, Table
from rewardsmith.loop.comparison import REFERENCES
from rewardsmith.store import write_text
from rewardsmith.types import Measure

_HERE = "rewardsmith.loop.batch"
STYLES = {"human": "human", "sparse": "ref"}
TONES = {"better": "good", "worse": "bad", "cannot tell yet": "open"}


def write_page(table: Table, path: Path) -> None:
    """Raises: RunError: the file cannot be written."""
    write_text(path, render_page(table))


def render_page(table: Table) -> str:
    """One self-contained page. Every text in `table` may be hostile: it is escaped, and what is invisible is shown."""
    style = resource("rewardsmith.analyze.report", "style.css") + resource(_HERE, "page.css")
    rows = (*table.rows, *table.references)
    return render_html(
        resource(_HERE, "page.html.j2"),
        style=style,
        table=table,
        rows=rows,
        failed=any(row.failures for row in rows),
        names=REFERENCES,
        plots=[(env, measure, _plot(table, env, measure)) for env, measure in _shown(table)],
        tones=TONES,
    )


def _shown(table: Table) -> list[tuple[str, Measure]]:
    """Each environment with the measure that says most: the one that normalizes, else success if any seed had some."""
    shown: list[tuple[str, Measure]] = []
    for env in dict.fromkeys(row.env for row in table.rows):
        succeeded = any(s for row in _rows_in(table, env) for r in row.scores.get("success", ()) for s in r)
        shown.append((env, table.measures.get(env, "success" if succeeded else "fitness")))
    return shown


def _plot(table: Table, env: str, measure: Measure) -> Markup:
    """Every seed as a dot, and the interval. The labels are numbers of the rows: names would not fit."""
    rows = [
        DotRow(
            row.variant if row.method == REFERENCE else f"row {number}",
            [s for repetition in row.scores.get(measure, ()) for s in repetition],
            found.interval if (found := _measure(row, measure)) else None,
            STYLES.get(row.variant, "best") if row.method == REFERENCE else "best",
        )
        for number, row in enumerate((*table.rows, *table.references), start=1)
        if row.env == env
    ]
    return dot_plot(rows, title=f"{measure} in {env}", as_percent=measure == "success")


def _measure(row: Row, measure: Measure) -> Measured | None:
    return row.success if measure == "success" else row.fitness


def _rows_in(table: Table, env: str) -> Sequence[Row]:
    return [row for row in (*table.rows, *table.references) if row.env == env]
