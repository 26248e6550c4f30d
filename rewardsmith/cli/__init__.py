"""The command line: one file a verb, each a thin layer over the Python API.

Results go to stdout, progress to stderr. Errors with a known cause are shown without a traceback and set the exit code.
"""

from __future__ import annotations

import faulthandler
import sys

import typer
from pydantic import ValidationError

from rewardsmith.cli import (
    batch,
    check,
    compare,
    demo,
    design,
    doctor,
    envs,
    evaluate,
    export,
    inspect,
    prefer,
    refine,
    report,
    resume,
    train,
)
from rewardsmith.cli.console import complain
from rewardsmith.config import DesignConfig
from rewardsmith.errors import EXIT_INTERRUPTED, EXIT_USAGE, RewardsmithError, UsageError, problems_in

STDERR = 2

app = typer.Typer(
    name="rewardsmith",
    help="Say what the agent should do; get a reward function that was checked, trained and measured.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
VERBS = (
    design,
    refine,
    resume,
    prefer,
    check,
    inspect,
    compare,
    train,
    evaluate,
    batch,
    report,
    export,
    envs,
    doctor,
    demo,
)
for verb in VERBS:
    verb.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        from rewardsmith import __version__

        print(f"rewardsmith {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    faulthandler.enable(file=STDERR)  # an environment that crashes the process shows where
    try:
        app()
    except RewardsmithError as error:
        complain(error)
        sys.exit(error.exit_code)
    except ValidationError as error:
        if error.title != DesignConfig.__name__:
            raise
        complain(UsageError(problems_in(error), hint="docs/configuration.md says what each setting takes"))
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
