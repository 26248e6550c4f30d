"""Runs are files: atomic writes, a journal that is committed before it is used, and the folder that holds both.

Nothing recorded here is lost by killing the process; a full disk or a damaged file is an error that says what to do.
"""

from __future__ import annotations

from rewardsmith.store.atomic import read_json, write_bytes, write_json, write_text
from rewardsmith.store.attempts import deaths_during
from rewardsmith.store.folder import ID_PATTERN, CandidateFolder, RunFolder, RunInfo, find_run, latest_run, list_runs
from rewardsmith.store.inside import folder_inside, inside, read_inside, read_text_inside
from rewardsmith.store.journal import Journal
from rewardsmith.store.origin import made_here
from rewardsmith.store.text import read_text_file

__all__ = [
    "ID_PATTERN",
    "CandidateFolder",
    "Journal",
    "RunFolder",
    "RunInfo",
    "deaths_during",
    "find_run",
    "folder_inside",
    "inside",
    "latest_run",
    "list_runs",
    "made_here",
    "read_inside",
    "read_json",
    "read_text_file",
    "read_text_inside",
    "write_bytes",
    "write_json",
    "write_text",
]
