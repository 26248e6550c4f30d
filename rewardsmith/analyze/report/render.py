"""One HTML file from the records of a run."""

from __future__ import annotations

from rewardsmith.analyze.report.data import ReportData
from rewardsmith.analyze.report.html import render_html, resource
from rewardsmith.analyze.report.view import report_view

_HERE = "rewardsmith.analyze.report"


def render_report(data: ReportData) -> str:
    """The report as one self-contained HTML page; every text in `data` may be hostile."""
    return render_html(
        resource(_HERE, "template.html.j2"), style=resource(_HERE, "style.css"), media=True, view=report_view(data)
    )
