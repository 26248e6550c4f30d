"""The report of a design run: one HTML file that needs nothing but a browser.

`data.py` says what a report holds, `render_report` turns it into HTML. No scripts, no requests, nothing unescaped.
"""

from __future__ import annotations

from rewardsmith.analyze.report.data import (
    BudgetUse,
    Media,
    ReportCandidate,
    ReportData,
    ReportHeadline,
    ReportJudgement,
    ReportWishes,
    RoundFeedback,
    RunStatus,
    Scores,
)
from rewardsmith.analyze.report.render import render_report

__all__ = [
    "BudgetUse",
    "Media",
    "ReportCandidate",
    "ReportData",
    "ReportHeadline",
    "ReportJudgement",
    "ReportWishes",
    "RoundFeedback",
    "RunStatus",
    "Scores",
    "render_report",
]
