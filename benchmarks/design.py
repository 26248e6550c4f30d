"""Designed rewards against human and sparse ones on many packs: `python benchmarks/design.py --runs DIR`.

On each pack the method `rewardsmith` proposes many rewards, trains few of them (those that rank recorded episodes as
the metric does), and retrains the winner on fresh seeds; the pack's human and sparse rewards train as long beside it.
`builtin`, which is not a language model, always takes part: it is the baseline that a model has to beat. `--llm NAME`
adds a model, `--replay REPLIES` adds recorded replies, one cassette a pack: REPLIES/hopper.jsonl and so on. A cassette
is the file `cassette.jsonl` in the folder of a run that was made with `--llm` and the same settings.

DIR/design is an ordinary experiment (`docs/batch.md`): started again, this goes on where it stopped, and tries failed
runs again; `rewardsmith report --compare DIR/design` shows everything that is known.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from figures import Figures

from rewardsmith.envs import resolve_env
from rewardsmith.loop.batch.cells import Cell, Plan, plan_experiment
from rewardsmith.loop.batch.experiment import EnvEntry, Experiment, ModelEntry
from rewardsmith.loop.batch.folder import ExperimentFolder
from rewardsmith.loop.batch.page import write_page
from rewardsmith.loop.batch.results import Measured, Row, Table
from rewardsmith.loop.batch.table import experiment_table
from rewardsmith.loop.batch.work import work
from rewardsmith.loop.summary import RunSummary, load_run
from rewardsmith.train import PpoConfig
from rewardsmith.types import Measure

PACKS = (  # cheap ones first
    "cartpole",
    "inverted_pendulum",
    "pendulum",
    "reacher",
    "lunar_lander",
    "half_cheetah",
    "inverted_double_pendulum",
    "hopper",
    "swimmer",
    "walker2d",
)
LEFT_OUT = {
    "mountain_car_continuous": "not separable",
    "fetch_reach": "not separable",
    "minihack_room": "not separable",
    "pusher": "a budget of 500,000 env steps in a slow environment",
    "ant": "a budget of 1,000,000 env steps in slow physics",
    "bipedal_walker": "a budget of 1,000,000 env steps in a slow environment",
    "fetch_push": "a budget of 1,000,000 env steps in a slow environment",
    "humanoid": "a budget of 1,000,000 env steps in slow physics",
    "humanoid_standup": "a budget of 1,000,000 env steps in slow physics",
}
QUICK_PACKS = ("cartpole", "pendulum")
BUILTIN, REPLAY = "builtin", "replay"
ENOUGH_PACKS = 8  # below it, a count of packs is no answer
QUARTER = 0.25
NEARLY_ALL = 0.9  # success of a sparse reward that leaves little to gain
PEER_PACK, PEER_STEPS, PEER_SOLVED = "lunar_lander", 8 * 5 * 1_000_000, 200.0  # stable-eureka's; it does not solve it
LEGEND = """
scores      Interquartile mean over fresh seeds, which selection never saw [95 % interval], by the measure that tells
            human from sparse, else success.
normalized  (score - sparse) / |human - sparse|: 0 is the sparse reward, 1 the human one.
env steps   All that the run spent: recording, search, evaluations, and retraining winner and sparse reward.
share       Env steps over those of training all proposals fully, without any evaluation (proposals x search seeds x
            rounds x budget); in brackets the share of the search alone, without the retraining.
"""


class Setting(NamedTuple):
    """How a reward is designed. Steps that a race frees are saved (`finalist_seeds`), so that a quarter may do.

    Two rounds of 40 ask a model as often as Eureka does, 16 times in each of 5.
    """

    candidates: int = 40  # K', proposed in each round
    train: int = 4  # K, of which so many are trained
    rounds: int = 2
    seeds: int = 2
    final_seeds: int = 5
    env_steps: int | None = None  # of each training; None is the pack's own budget

    @property
    def design(self) -> dict[str, object]:
        """As `[design]` of an experiment file has it."""
        settings = {key: value for key, value in self._asdict().items() if key != "env_steps"}
        training = {} if self.env_steps is None else {"env_steps": self.env_steps}
        return settings | {"finalist_seeds": self.seeds, "videos": False, "training": training}


QUICK = Setting(candidates=8, train=2, rounds=1, seeds=1, final_seeds=3)


# --- the experiment ---------------------------------------------------------------------------------------------------

ModelOn = Callable[[str], ModelEntry]
"""The model that designs on the pack of this name."""


def merged(name: str, plans: Iterable[Plan]) -> Plan:
    """One experiment of several; what they share, such as references, is in it once."""
    plans = list(plans)
    cells: dict[str, Cell] = {cell.id: cell for plan in plans for cell in plan.cells}
    unreferenced = {env: why for plan in plans for env, why in plan.unreferenced.items()}
    return Plan(name=name, cells=tuple(cells.values()), unreferenced=unreferenced)


def plan_of(packs: Sequence[str], models: Sequence[ModelOn], setting: Setting) -> Plan:
    """Raises: RewardsmithError: a pack or a cassette is missing, or no model's key is known."""
    return merged("design", (plan_experiment(_experiment(pack, models, setting)) for pack in packs))


def _experiment(pack: str, models: Sequence[ModelOn], setting: Setting) -> Experiment:
    return Experiment(
        name="design",
        envs=(EnvEntry(name=pack),),
        methods=("rewardsmith",),
        models=tuple(model(pack) for model in models),
        seeds=(0,),
        design=setting.design,
    )


def models_of(args: argparse.Namespace) -> list[ModelOn]:
    """`builtin`, and the model or the cassettes that the person named."""
    models: list[ModelOn] = [lambda _: ModelEntry(llm=BUILTIN)]
    if args.llm:
        models.append(lambda _: ModelEntry(llm=args.llm, base_url=args.base_url))
    if args.replay:
        models.append(lambda pack: ModelEntry(llm=f"replay:{args.replay / pack}.jsonl", label=REPLAY))
    return models


def carried_out(plan: Plan, runs: Path) -> tuple[ExperimentFolder, Table]:
    """Bring all runs of the experiment to their end, beside those that are there."""
    folder = ExperimentFolder.create(runs, plan)
    folder.forget_failures(plan)
    work(folder, tell=partial(print, file=sys.stderr))
    table = experiment_table(folder)
    write_page(table, folder.page_path)
    return folder, table


# --- results ----------------------------------------------------------------------------------------------------------


class Spending(NamedTuple):
    """Env steps of finished runs."""

    in_all: int
    search: int  # without retraining winner and sparse reward
    fully: int  # of training all proposals fully

    @property
    def share(self) -> float:
        return self.in_all / self.fully

    @property
    def search_share(self) -> float:
        return self.search / self.fully


class Outcome(NamedTuple):
    """What a designer reached on a pack. `spending` is None where no run came to its end."""

    row: Row
    references: dict[str, Row]  # human and sparse, as far as there are any
    measure: Measure  # by which the references are told apart, else success
    spending: Spending | None

    @property
    def reached_human(self) -> bool:
        return self.row.normalized is not None and self.row.normalized.value >= 1

    @property
    def within_quarter(self) -> bool:
        return self.spending is not None and self.spending.share <= QUARTER

    @property
    def below_sparse(self) -> bool:
        return self.row.versus["sparse"].answer == "worse"

    @property
    def misses_sparse(self) -> bool:
        """Whether it is not above a sparse reward that left something to gain."""
        success = self.references["sparse"].success
        to_gain = success is not None and success.value < NEARLY_ALL
        return to_gain and self.row.versus["sparse"].answer != "better"


def spending_of(runs: Sequence[RunSummary]) -> Spending | None:
    """None without runs."""
    if not runs:
        return None
    in_all = sum(run.spent.env_steps for run in runs)
    members = [m for run in runs for result in run.final.values() for m in result.members]
    final = sum(m.env_steps + m.eval_env_steps for m in members)
    return Spending(in_all, in_all - final, sum(_fully(run) for run in runs))


def _fully(run: RunSummary) -> int:
    config = run.config
    ppo = PpoConfig.for_environment(resolve_env(config.env.name), **config.training)
    return config.rounds * config.candidates * config.seeds * ppo.trained_steps


def outcomes_of(table: Table, root: Path) -> list[Outcome]:
    """An outcome for every row of the table, whose runs lie in `root`."""
    return [
        Outcome(
            row=row,
            references={r.variant: r for r in table.references if r.env == row.env},
            measure=table.measures.get(row.env, "success"),
            spending=spending_of([load_run(root / run) for run in row.runs]),
        )
        for row in table.rows
    ]


def designer_of(outcomes: Sequence[Outcome]) -> str:
    """Whose results the figures without a name are: the model's where there is one, else `builtin`'s."""
    return next((o.row.model for o in outcomes if o.row.model != BUILTIN), BUILTIN)


def figures_of(outcomes: Sequence[Outcome], *, quick: bool = False) -> dict[str, float | None]:
    """Every figure by name; None where it was not measured. With `quick` the settings are no measure of the costs."""
    designer = designer_of(outcomes)
    by_name = {(o.row.model, o.row.env): o for o in outcomes}
    found: dict[str, float | None] = {}
    for pack in PACKS:
        outcome = by_name.get((designer, pack))
        found |= {f"design.{pack}.{name}": value for name, value in _of_pack(outcome, quick=quick).items()}
        baseline = by_name.get((BUILTIN, pack))
        found[f"design.builtin.{pack}.normalized"] = _value(baseline.row.normalized) if baseline else None
    return found | _peer(by_name.get((designer, PEER_PACK)), quick=quick) | _counts(outcomes, designer)


def _of_pack(outcome: Outcome | None, *, quick: bool) -> dict[str, float | None]:
    normalized = outcome.row.normalized if outcome else None
    spending = outcome.spending if outcome and not quick else None
    cost = outcome.row.cost if outcome and spending else None
    return {
        "normalized": _value(normalized),
        "normalized_low": normalized.low if normalized else None,
        "normalized_high": normalized.high if normalized else None,
        "share": spending.share if spending else None,
        "search_share": spending.search_share if spending else None,
        "env_steps": spending.in_all if spending else None,
        "wall_s": cost.wall_s if cost else None,
        "model_calls": cost.model_calls if cost else None,
    }


def _peer(outcome: Outcome | None, *, quick: bool) -> dict[str, float | None]:
    """Against stable-eureka's published setting, which does not solve the lander."""
    spending = outcome.spending if outcome and not quick else None
    fitness = _value(outcome.row.fitness) if outcome and spending else None
    return {
        f"design.{PEER_PACK}.solved": None if fitness is None else float(fitness >= PEER_SOLVED),
        f"design.{PEER_PACK}.share_of_stable_eureka": spending.in_all / PEER_STEPS if spending else None,
    }


def _counts(outcomes: Sequence[Outcome], designer: str) -> dict[str, float | None]:
    """Of packs. Below eight of them a count is None: it could only mislead."""
    ours = [o for o in outcomes if o.row.model == designer and o.row.normalized is not None]
    builtin = [o for o in outcomes if o.row.model == BUILTIN and "sparse" in o.row.versus and o.row.runs]
    return {
        "design.packs": len(ours),
        "design.reached_human": _count(o.reached_human for o in ours),
        "design.quarter": _count(o.within_quarter for o in ours),
        "design.reached_human_within_quarter": _count(o.reached_human and o.within_quarter for o in ours),
        "design.builtin.packs": len(builtin),
        "design.builtin.below_sparse": _count(o.below_sparse for o in builtin),
        "design.builtin.not_above_sparse": _count(o.misses_sparse for o in builtin),
    }


def _count(answers: Iterable[bool]) -> int | None:
    answers = list(answers)
    return sum(answers) if len(answers) >= ENOUGH_PACKS else None


def _value(found: Measured | None) -> float | None:
    return found.value if found else None


def shown(outcomes: Sequence[Outcome], table: Table) -> str:
    """The table as text, and what is not in it."""
    columns = "{:25} {:16} {:8} {:22} {:22} {:22} {:22} {:25} {:25} {:>12} {:>12} {:>6} {:>7}"
    heads = ("pack", "designer", "measure", "designed", "human", "sparse", "normalized", "vs human", "vs sparse")
    lines = [columns.format(*heads, "env steps", "share", "calls", "wall s")]
    for o in outcomes:
        scores = [_score(row, o.measure) for row in (o.row, o.references.get("human"), o.references.get("sparse"))]
        versus = [str(o.row.versus.get(name, "")) for name in ("human", "sparse")]
        normalized = str(o.row.normalized or "not measured")
        cost, calls = o.row.cost, str(o.row.cost.model_calls)
        share = f"{o.spending.share:.0%} ({o.spending.search_share:.0%})" if o.spending else ""
        spent = (f"{cost.env_steps:,}", share, calls, f"{cost.wall_s:,.0f}")
        lines.append(columns.format(o.row.env, o.row.model[:16], o.measure, *scores, normalized, *versus, *spent))
        lines += [f"  no result: {why}" for why in o.row.failures]
    lines += [f"{row.env}, {row.variant}: no result: {why}" for row in table.references for why in row.failures]
    lines += [f"{env} has no normalized score: {why}" for env, why in table.excluded.items()]
    return "\n".join(lines)


def _score(row: Row | None, measure: Measure) -> str:
    return str((getattr(row, measure) if row else None) or "not measured")


# --- the program ------------------------------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    left_out = "".join(f"\n  {pack}: {why}" for pack, why in LEFT_OUT.items())
    about, defaults = f"{__doc__}\nLeft out:{left_out}", Setting()
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, metavar="DIR", help="the experiment's folder is DIR/design")
    parser.add_argument("--packs", nargs="+", choices=PACKS, default=PACKS, metavar="PACK", help=", ".join(PACKS))
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--llm", metavar="NAME", help="a language model beside builtin (or desk:DIR)")
    model.add_argument("--replay", type=Path, metavar="REPLIES", help="a folder of cassettes, one a pack")
    parser.add_argument("--base-url", metavar="URL", help="the model's OpenAI-compatible endpoint")
    for name, what in (
        ("candidates", "rewards proposed a round"),
        ("train", "of which so many are trained"),
        ("rounds", "turns of the loop"),
    ):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name), help=f"{what} (%(default)s)")
    parser.add_argument("--env-steps", type=int, metavar="N", help="budget of each training (default: the pack's own)")
    parser.add_argument("--quick", action="store_true", help="under 5 minutes: builtin alone, two packs, few rewards")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args()
    if args.quick and (args.runs or args.llm or args.replay):
        parser.error("--quick makes its own runs, of builtin alone: leave --runs, --llm and --replay away")
    if not (args.quick or args.runs):
        parser.error("give --runs DIR, or --quick")
    return args


def main() -> None:
    args = arguments()
    setting = Setting(args.candidates, args.train, args.rounds, env_steps=args.env_steps)
    figures = Figures()
    with tempfile.TemporaryDirectory() as scratch:
        packs, setting = (QUICK_PACKS, QUICK) if args.quick else (args.packs, setting)
        folder, table = carried_out(plan_of(packs, models_of(args), setting), args.runs or Path(scratch))
        outcomes = outcomes_of(table, folder.root)
    print(shown(outcomes, table))
    print(LEGEND)
    print(f"Figures without the name of a designer are those of {designer_of(outcomes)}.")
    figures.values |= figures_of(outcomes, quick=args.quick)
    figures.write(args.json)


if __name__ == "__main__":
    main()
