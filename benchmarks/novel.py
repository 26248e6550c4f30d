"""Behaviours that nobody has published a reward for: `python benchmarks/novel.py --runs DIR`.

Twelve behaviours, each said in a person's words (`novel_suite/suite.py`). A run is one of a behaviour if it was started
with that environment and exactly those words; `--list` prints the commands. Its best policy is judged over fresh
episodes by a metric that no designer has seen, and so is the goal that its model wrote: by how well that goal's scores
rank hidden successes above hidden failures, over episodes of simple policies and of all that the run trained.
`--design builtin` makes the runs of the honest baseline, which has no language and is given the hidden metric instead.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from figures import Figures
from novel_suite.agreement import EPISODES, Agreement, agreement_of, success_of
from novel_suite.suite import BEHAVIOURS, Behaviour

from rewardsmith import design_reward
from rewardsmith.config import DesignConfig
from rewardsmith.envs import Environment, resolve_env
from rewardsmith.errors import RewardsmithError
from rewardsmith.loop.summary import RunSummary, summarize
from rewardsmith.stats import Interval
from rewardsmith.store import list_runs
from rewardsmith.train import load_metric
from rewardsmith.types import EnvSpec, Goal

Kind = Literal["model", "builtin"]
KINDS: tuple[Kind, ...] = ("model", "builtin")
SOLVED = 0.8  # share of hidden successes
QUICK_EPISODES = 50
QUICK_BEHAVIOURS = ("pendulum_lean", "mountain_car_hold")
QUICK_DESIGN = {
    "rounds": 1,
    "candidates": 4,
    "seeds": 1,
    "final_seeds": 0,
    "videos": False,
    "training": {"env_steps": 60_000},
}
LEGEND = """
designer   who wrote the rewards. A language model was told the words alone and wrote its own goal; `builtin` has no
           language and was given the hidden metric as its goal, so it shows the search without the understanding.
agreement  the chance that the model's goal ranks a hidden success above a hidden failure (hidden successes of all
           episodes in brackets); "cannot tell" where there are only successes or only failures.
success    share of fresh episodes in which the hidden metric finds the behaviour [95 % interval, over episodes].
env steps  all that the run spent.
solved     whether the share of successes is at least 80 %.
"""


class Row(NamedTuple):
    """One run of a behaviour, measured."""

    behaviour: Behaviour
    kind: Kind
    run: str
    designer: str
    agreement: Agreement | None  # None: its goal was the hidden metric itself
    success: Interval
    env_steps: int

    @property
    def solved(self) -> bool:
        return self.success.point >= SOLVED


# --- runs ----------------------------------------------------------------------------------------------------------


def kind_of(run: RunSummary, behaviour: Behaviour) -> Kind | None:
    """Which kind of run of the behaviour it is; None: none that counts, whatever its words say."""
    if run.config.env != EnvSpec(name=behaviour.env) or run.config.words.strip() != behaviour.words or run.task is None:
        return None
    goal, builtin = run.task.goal, run.config.model.llm == "builtin"
    if goal.kind == "model" and not builtin:
        return "model"
    if goal.kind == "metric_file" and builtin and Path(goal.path).name == behaviour.metric_path.name:
        return "builtin"
    return None


def newest(runs: Iterable[RunSummary]) -> dict[tuple[str, Kind], RunSummary]:
    """The newest finished run of each behaviour and kind; `runs` come oldest first."""
    found: dict[tuple[str, Kind], RunSummary] = {}
    for run in runs:
        for behaviour in BEHAVIOURS:
            if run.finished and (kind := kind_of(run, behaviour)):
                found[behaviour.name, kind] = run
    return found


def runs_in(folder: Path) -> list[RunSummary]:
    """All runs in a folder that can be read, oldest first; of the others it says why not."""
    found = []
    for run in list_runs(folder):
        try:
            found.append(summarize(run))
        except RewardsmithError as error:
            print(f"{run.id} is left out: {error.message}")
    return found


def design_builtin(behaviours: Sequence[Behaviour], folder: Path, **options: object) -> None:
    """Make the runs of `builtin` that are missing, with the hidden metric as their goal."""
    there = newest(runs_in(folder))
    for behaviour in behaviours:
        if (behaviour.name, "builtin") in there:
            continue
        print(f"designing {behaviour.name} with builtin")
        settings = {"training": {"env_steps": behaviour.env_steps}, **options}
        config = {"env": {"name": behaviour.env}, "words": behaviour.words, "metric": str(behaviour.metric_path)}
        design_reward(DesignConfig.model_validate(config | settings), runs=folder)


def commands(runs: str) -> str:
    """The commands that design every behaviour with a language model."""
    line = "rewardsmith design {} {} --llm NAME --yes --set env_steps={} --runs {}"
    return "\n".join(line.format(b.env, shlex.quote(b.words), b.env_steps, shlex.quote(runs)) for b in BEHAVIOURS)


# --- measuring -----------------------------------------------------------------------------------------------------


def measured(behaviour: Behaviour, kind: Kind, run: RunSummary, environment: Environment, episodes: int) -> Row:
    hidden = load_metric(environment, Goal(kind="metric_file", path=str(behaviour.metric_path)))
    return Row(
        behaviour=behaviour,
        kind=kind,
        run=run.id,
        designer=run.config.model.llm,
        agreement=agreement_of(run, environment, hidden, episodes=episodes) if kind == "model" else None,
        success=success_of(run, environment, hidden, episodes=episodes),
        env_steps=run.spent.env_steps,
    )


def measure_runs(folder: Path, episodes: int) -> list[Row]:
    """A row for every behaviour and kind that has a finished run; runs that cannot be measured are named."""
    runs, rows = newest(runs_in(folder)), []
    for behaviour in BEHAVIOURS:
        for kind in KINDS:
            if run := runs.get((behaviour.name, kind)):
                try:
                    rows.append(measured(behaviour, kind, run, resolve_env(behaviour.env), episodes))
                except RewardsmithError as error:
                    print(f"{run.id} cannot be measured: {error.message}")
    return rows


def figures_of(rows: Sequence[Row]) -> dict[str, float | None]:
    """Every figure by name; None where there is no row."""
    by_name = {(row.behaviour.name, row.kind): row for row in rows}
    found: dict[str, float | None] = {}
    for kind in KINDS:
        for behaviour in BEHAVIOURS:
            name, row = f"novel.{kind}.{behaviour.name}", by_name.get((behaviour.name, kind))
            found[f"{name}.success"] = row.success.point if row else None
            found[f"{name}.env_steps"] = row.env_steps if row else None
            if kind == "model":
                found[f"{name}.auc"] = row.agreement.auc if row and row.agreement else None
        shown = [row for row in rows if row.kind == kind]
        found[f"novel.{kind}.measured"] = len(shown) or None
        found[f"novel.{kind}.solved"] = sum(row.solved for row in shown) if shown else None
    aucs = [row.agreement.auc for row in rows if row.agreement and row.agreement.auc is not None]
    found["novel.model.auc_median"] = statistics.median(aucs) if aucs else None
    return found


def table(rows: Sequence[Row]) -> str:
    columns = "{:22} {:18} {:24} {:24} {:>12}  {:6} {}"
    lines = [columns.format("behaviour", "designer", "agreement", "success", "env steps", "solved", "run")]
    for behaviour in BEHAVIOURS:
        mine = [row for row in rows if row.behaviour == behaviour]
        for row in mine:
            share = f"{row.success.point:.2f} [{row.success.low:.2f}, {row.success.high:.2f}]"
            goal = str(row.agreement) if row.agreement else "given the metric"
            solved = "yes" if row.solved else "no"
            lines.append(
                columns.format(behaviour.name, row.designer[:18], goal, share, f"{row.env_steps:,}", solved, row.run)
            )
        if not mine:
            lines.append(columns.format(behaviour.name, "-", "no finished run", "", "", "", "").rstrip())
    return "\n".join(lines)


# --- the program ---------------------------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [behaviour.name for behaviour in BEHAVIOURS]
    parser.add_argument("--runs", type=Path, metavar="DIR", help="the folder of the runs to measure, or to make")
    parser.add_argument("--design", choices=["builtin"], help="first make the missing runs of this designer")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="design these (default: all)")
    parser.add_argument("--list", action="store_true", help="print the commands for a language model, and stop")
    parser.add_argument("--quick", action="store_true", help="under 5 minutes: builtin alone, two behaviours, briefly")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args()
    if args.quick and (args.runs or args.design):
        parser.error("--quick makes its own runs and reads no earlier ones: leave --runs and --design away")
    if not (args.quick or args.list or args.runs):
        parser.error("give --runs DIR, or --quick")
    return args


def main() -> None:
    args = arguments()
    if args.list:
        print(commands(str(args.runs or "runs")))
        return
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        runs = args.runs or Path(folder)
        if args.quick:
            design_builtin([b for b in BEHAVIOURS if b.name in QUICK_BEHAVIOURS], runs, **QUICK_DESIGN)
        elif args.design:
            design_builtin([b for b in BEHAVIOURS if b.name in args.only], runs)
        rows = measure_runs(runs, QUICK_EPISODES if args.quick else EPISODES)
    print(table(rows))
    print(LEGEND)
    figures.values |= figures_of(rows)
    figures.write(args.json)


if __name__ == "__main__":
    main()
