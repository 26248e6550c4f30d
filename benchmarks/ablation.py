"""What feedback is worth to a language model: `python benchmarks/ablation.py --runs DIR --llm NAME`.

The same design with `feedback` full (curves, what recorded episodes show, history), scalar (a parent's score alone) and
none, on packs where a first round rarely solves the task: only from the second round on can feedback say anything, and
how often the first one was enough is measured, too. `builtin` reads no feedback, so that this says nothing about it. It
takes a model, or cassettes of one (`--replay REPLIES`): for each pack, feedback and seed the file `cassette.jsonl` of a
run that was made with `--llm` and the same settings, as REPLIES/<pack>-<feedback>-<seed>.jsonl.

DIR/ablation is an ordinary experiment (`docs/batch.md`): started again, this goes on where it stopped.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from design import BUILTIN, REPLAY, carried_out, merged
from figures import Figures

from rewardsmith.loop.batch.cells import Plan, plan_experiment
from rewardsmith.loop.batch.experiment import EnvEntry, Experiment, ModelEntry, Variant
from rewardsmith.loop.batch.results import Measured, Table
from rewardsmith.loop.outcome import SOLVED
from rewardsmith.loop.summary import RunSummary, load_run

PACKS = ("lunar_lander", "pusher", "swimmer", "walker2d")
QUICK_PACKS = ("pendulum",)
FEEDBACK = ("full", "scalar", "none")  # the more the earlier
SEEDS = 3  # root seeds: repetitions of the whole design
DESIGN: dict[str, object] = {"rounds": 3, "candidates": 4, "seeds": 2, "final_seeds": 5, "videos": False}
QUICK_DESIGN: dict[str, object] = {
    "rounds": 2,
    "candidates": 2,
    "seeds": 1,
    "final_seeds": 3,
    "videos": False,
    "training": {"env_steps": 20_000},
}
LEGEND = """
normalized       0 is the sparse reward, 1 the human one, over all packs and seeds [95 % interval].
P                The probability that a fresh seed of the first one beats one of the second: 0.5 is no difference.
solved at first  Share of runs whose first round had a reward of complete success: feedback cannot show in them.
"""

ModelOf = Callable[[str, str, int], ModelEntry]
"""The model that designs on this pack, with this feedback and this root seed."""


class Size(NamedTuple):
    """How much is run."""

    packs: Sequence[str]
    seeds: int
    design: dict[str, object]


def plan_of(size: Size, model: ModelOf) -> Plan:
    """Raises: RewardsmithError: a pack or a cassette is missing, or the model's key is not known."""
    return merged(
        "ablation",
        (
            plan_experiment(_experiment(pack, feedback, seed, model(pack, feedback, seed), size.design))
            for pack in size.packs
            for feedback in FEEDBACK
            for seed in range(size.seeds)
        ),
    )


def _experiment(pack: str, feedback: str, seed: int, model: ModelEntry, design: dict[str, object]) -> Experiment:
    return Experiment(
        name="ablation",
        envs=(EnvEntry(name=pack),),
        methods=("rewardsmith",),
        models=(model,),
        variants=(Variant(name=feedback, settings={"feedback": feedback}),),
        seeds=(seed,),
        design=design,
    )


def model_of(args: argparse.Namespace) -> ModelOf:
    if args.llm:
        return lambda *_: ModelEntry(llm=args.llm, base_url=args.base_url)

    def recorded(pack: str, feedback: str, seed: int) -> ModelEntry:
        return ModelEntry(llm=f"replay:{args.replay}/{pack}-{feedback}-{seed}.jsonl", label=REPLAY)

    return recorded


# --- results ----------------------------------------------------------------------------------------------------------


def solved_at_first(runs: Iterable[RunSummary]) -> float | None:
    """Share of runs whose first round had a reward of complete success; None without runs."""
    answers = [
        any(c.proposal.round == 1 and c.score is not None and c.score[0] >= SOLVED for c in run.candidates)
        for run in runs
    ]
    return sum(answers) / len(answers) if answers else None


def figures_of(table: Table | None, solved: float | None) -> dict[str, float | None]:
    """Every figure by name; None where it was not measured. Without a model there is no table."""
    feedback = {row.group: row.variant for row in table.rows} if table else {}
    scores = {feedback[a.group]: a.normalized for a in (table.aggregates if table else ())}
    pairs = {(feedback[pair.a], feedback[pair.b]): pair for pair in (table.pairs if table else ())}
    found: dict[str, float | None] = {"ablation.solved_at_first": solved}
    for name in FEEDBACK:
        found |= _named(f"ablation.{name}.normalized", scores.get(name))
    for more, less in combinations(FEEDBACK, 2):
        pair = pairs.get((more, less))
        found |= _named(f"ablation.{more}_over_{less}", pair.probability if pair else None)
        found[f"ablation.{more}_over_{less}.packs"] = len(pair.envs) if pair else None
    return found


def _named(name: str, value: Measured | None) -> dict[str, float | None]:
    return {
        name: value.value if value else None,
        f"{name}.low": value.low if value else None,
        f"{name}.high": value.high if value else None,
    }


def shown(table: Table, solved: float | None) -> str:
    """The table as text, and what is not in it."""
    lines = ["{:16} {:20} {:8} {:28} {:28} {}".format("pack", "model", "feedback", "success", "fitness", "normalized")]
    for row in table.rows:
        scores = [str(m or "not measured") for m in (row.success, row.fitness, row.normalized)]
        lines.append("{:16} {:20} {:8} {:28} {:28} {}".format(row.env, row.model[:20], row.variant, *scores))
        lines += [f"  no result: {why}" for why in row.failures]
    lines += [f"{row.env}, {row.variant}: no result: {why}" for row in table.references for why in row.failures]
    lines += [f"{env} has no normalized score: {why}" for env, why in table.excluded.items()]
    lines += [f"{a.group}: normalized {a.normalized} over {', '.join(a.envs)}" for a in table.aggregates]
    lines += [f"{p.a} over {p.b}: P {p.probability or 'not measured'}: {p.answer}" for p in table.pairs]
    return "\n".join([*lines, f"solved at first: {'not measured' if solved is None else f'{solved:.0%}'}"])


# --- the program ------------------------------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, metavar="DIR", help="the experiment's folder is DIR/ablation")
    parser.add_argument("--packs", nargs="+", default=PACKS, metavar="PACK", help=f"default: {', '.join(PACKS)}")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="repetitions of the whole design (%(default)s)")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--llm", metavar="NAME", help="the language model (or desk:DIR)")
    model.add_argument("--replay", type=Path, metavar="REPLIES", help="a folder of cassettes")
    parser.add_argument("--base-url", metavar="URL", help="the model's OpenAI-compatible endpoint")
    parser.add_argument("--quick", action="store_true", help="one pack and seed, briefly; all null without a model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args()
    if args.llm == BUILTIN:
        parser.error("builtin reads no feedback, so that the ablation says nothing about it: name a model")
    if args.quick and args.runs:
        parser.error("--quick makes its own runs and reads no earlier ones: leave --runs away")
    if not args.quick and not (args.runs and (args.llm or args.replay)):
        parser.error("give --runs DIR, and a model with --llm or cassettes with --replay (builtin reads no feedback)")
    return args


def main() -> None:
    args = arguments()
    figures = Figures()
    size = Size(QUICK_PACKS, 1, QUICK_DESIGN) if args.quick else Size(args.packs, args.seeds, DESIGN)
    table, solved = None, None
    if args.llm or args.replay:
        with tempfile.TemporaryDirectory() as scratch:
            folder, table = carried_out(plan_of(size, model_of(args)), args.runs or Path(scratch))
            solved = solved_at_first(load_run(folder.root / run) for row in table.rows for run in row.runs)
        print(shown(table, solved))
        print(LEGEND)
    else:
        print("nothing is measured: builtin reads no feedback, and no model was named with --llm or --replay")
    figures.values |= figures_of(table, solved)
    figures.write(args.json)


if __name__ == "__main__":
    main()
