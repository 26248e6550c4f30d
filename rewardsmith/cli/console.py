"""The terminal: a console for progress (stderr), JSON for results (stdout), and the washing of untrusted text."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata

from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from rewardsmith.errors import RewardsmithError

progress = Console(stderr=True, highlight=False)
results = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def wash(text: str, limit: int = 2000) -> str:
    """Untrusted text made safe for a terminal: no control or bidirectional-override characters, no rich markup."""
    kept = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return escape(kept if len(kept) <= limit else kept[:limit] + " ...")


def complain(error: RewardsmithError) -> None:
    progress.print(f"[bold red]rewardsmith:[/] {wash(error.message)}", soft_wrap=True)
    if error.hint:
        progress.print(f"  [green]Fix:[/] {wash(error.hint)}", soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON line on stdout."""
    print(json.dumps(value, ensure_ascii=True, allow_nan=False, default=str))


def log_to_stderr(verbose: bool = False) -> None:
    """Warnings of the package (all messages with `verbose`) go to stderr."""
    handler = RichHandler(console=progress, show_time=False, show_path=False, markup=False)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(message)s")
    logging.getLogger("rewardsmith").setLevel(logging.DEBUG if verbose else logging.INFO)
