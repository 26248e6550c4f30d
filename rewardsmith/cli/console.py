"""The terminal: a console for progress (stderr), JSON for results (stdout), and the washing of untrusted text."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata

from rich.console import Console
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


class _Lines(logging.Handler):
    """Log records as lines: the message alone, with the level's name in front where it is more than news."""

    def emit(self, record: logging.LogRecord) -> None:
        level = f"[yellow]{record.levelname.lower()}:[/] " if record.levelno >= logging.WARNING else ""
        if record.levelno >= logging.CRITICAL:  # the process ends here, maybe under a live table that hides the cursor
            level = "[bold red]rewardsmith:[/] "
            progress.show_cursor()
        progress.print(level + wash(record.getMessage()), soft_wrap=True)
        if record.exc_info:
            progress.print(wash(logging.Formatter().formatException(record.exc_info)), soft_wrap=True)


def log_to_stderr() -> None:
    """What the package has to say goes to stderr; of other packages only warnings."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Lines()])
    logging.getLogger("rewardsmith").setLevel(logging.INFO)
