"""The one question a run may ask: is this what you mean by success?"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table

from rewardsmith.cli.console import progress, wash
from rewardsmith.errors import UsageError
from rewardsmith.loop.goal import GoalAnswer, GoalProposal, ScoredEpisode


def ask_about_goal(proposal: GoalProposal) -> GoalAnswer:
    """Show the model's goal in plain words with episodes it scored, and ask: accept, edit, or stop.

    Raises: UsageError: there is nobody to ask.
    """
    what = f"How your wish will be checked: {wash(proposal.wish)}" if proposal.wish else "How success will be measured"
    progress.print(Panel(wash(proposal.about), title=what, title_align="left"))
    progress.print(_episodes("Recorded random episodes it scores best", proposal.best))
    progress.print(_episodes("... and worst", proposal.worst))
    if not sys.stdin.isatty():
        raise UsageError(
            f"the model wrote {'a check' if proposal.wish else 'the measure of success'}, and there is no terminal to "
            "ask you whether it is right",
            hint="`rewardsmith resume --yes` accepts it unseen; or start again with "
            + ("--check FILE" if proposal.wish else "--metric FILE or --task NAME"),
        )
    while True:
        answer = typer.prompt("Accept this goal? [y]es, [c]ode, [e]dit, [n]o", default="y", err=True).strip().lower()
        if answer in ("y", "yes"):
            return GoalAnswer(accepted=True)
        if answer in ("n", "no"):
            return GoalAnswer(accepted=False)
        if answer in ("c", "code"):
            progress.print(Syntax(_printable(proposal.code), "python"))
        elif answer in ("e", "edit"):
            file = goal_file(proposal.about, proposal.code)
            edited = _edit(file)
            if edited is not None:
                about, code = read_goal_file(edited)
                return GoalAnswer(accepted=False, edited=code, about=about)
            progress.print("nothing was changed")
        else:
            progress.print("please answer y (accept), c (see the code), e (edit both) or n (stop)")


def goal_file(about: str, code: str) -> str:
    """What the person edits: the description as comments, then the code."""
    lines = [f"# {line}" for line in about.splitlines() if line.strip()]
    return _printable("\n".join([*lines, "", code]))


def read_goal_file(text: str) -> tuple[str, str]:
    """The description (the comments at the top) and the code below it."""
    lines = text.splitlines()
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    about = "\n".join(line.lstrip("# ").rstrip() for line in lines[:end])
    return about, "\n".join(lines[end:]).strip("\n") + "\n"


def _printable(code: str) -> str:
    return "".join(c for c in code if c == "\n" or c.isprintable())


def _edit(code: str) -> str | None:
    """The code after the person's editor ($VISUAL or $EDITOR) has closed; None when nothing was changed."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "goal.py")
        file.write_text(code, encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(f"the editor {editor!r} failed: {error}", hint="set EDITOR to one that works") from None
        edited = file.read_text(encoding="utf-8")
    return None if edited == code else edited


def _episodes(title: str, episodes: Sequence[ScoredEpisode]) -> Table:
    table = Table(title=title, title_justify="left", title_style="")
    for column in ("episode", "steps", "success", "progress", "at its end"):
        table.add_column(column, justify="left" if column == "at its end" else "right")
    for e in episodes:
        measured = ", ".join(f"{wash(name, 40)} {value:.3g}" for name, value in e.last.items())
        table.add_row(str(e.episode), str(e.length), f"{e.success:.0f}", f"{e.progress:.3g}", measured)
    return table
