"""The benchmark of designed rewards and the ablation of feedback: their grids, what they count, and what is null."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from rewardsmith.config import DesignConfig
from rewardsmith.envs import resolve_env
from rewardsmith.errors import BudgetSpent, UsageError
from rewardsmith.llm.cassette import Take
from rewardsmith.llm.messages import Completion
from rewardsmith.loop.batch import work as working
from rewardsmith.loop.batch.experiment import ModelEntry
from rewardsmith.loop.batch.results import Cost, Measured, Row, Table, Verdict
from rewardsmith.loop.summary import Candidate
from rewardsmith.store import RunFolder
from rewardsmith.train import PpoConfig
from tests.loop.batches import Scores, write_design, write_references

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from benchmarks import ablation, design  # after that, because they import their neighbours
from benchmarks.design import PACKS, Outcome, Setting, Spending

HUMAN, SPARSE = 0.8, 0.2


def near(level: float, seeds: int = 5) -> Scores:
    """Seeds near a success of `level` and a fitness of ten times that."""
    levels = [level + 0.01 * (i - seeds // 2) for i in range(seeds)]
    return [(level, 10 * level) for level in levels]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[DesignConfig]:
    """Runs are written, not trained: designs between the references, those of a model above. What was driven."""
    driven: list[DesignConfig] = []

    def drive(run: RunFolder, config: DesignConfig, **_: object) -> None:
        driven.append(config)
        if config.method == "given":
            write_references(run, config, human=near(HUMAN), sparse=near(SPARSE))
        else:
            level = 0.5 if config.model.llm == "builtin" else {"none": 0.3, "scalar": 0.6, "full": 0.9}[config.feedback]
            write_design(run, config, near(level), sparse=near(SPARSE))

    monkeypatch.setattr(working, "drive", drive)
    return driven


def run_program(monkeypatch: pytest.MonkeyPatch, main, out: Path, *arguments: str) -> dict[str, float | None]:
    """The figures that a program writes."""
    monkeypatch.setattr(sys, "argv", ["program", *arguments, "--json", str(out)])
    main()
    return json.loads(out.read_text())["figures"]


def cassette(path: Path) -> None:
    reply = Take(step="round-1/propose", sample=0, prompt="", completion=Completion(text="no code", model="recorded"))
    path.parent.mkdir(exist_ok=True)
    path.write_text(reply.model_dump_json() + "\n")


# --- the grid of the benchmark ----------------------------------------------------------------------------------------


def test_at_least_eight_packs_whose_references_can_be_told_apart_and_every_other_one_is_named() -> None:
    everything = {path.parent.name for path in (Path(__file__).parents[2] / "envs").glob("*/pack.toml")}
    assert set(PACKS) | set(design.LEFT_OUT) == everything
    assert not set(PACKS) & set(design.LEFT_OUT)
    assert len(PACKS) >= design.ENOUGH_PACKS
    unclear = {pack for pack in everything - {"minihack_room"} if not resolve_env(pack).separable}
    assert unclear == {p for p, why in design.LEFT_OUT.items() if why == "not separable"} - {"minihack_room"}
    assert set(design.QUICK_PACKS) <= set(PACKS)


def test_the_settings_can_keep_within_a_quarter_of_training_all_proposals() -> None:
    setting = Setting()
    trained = setting.rounds * setting.train * setting.seeds + 2 * setting.final_seeds
    assert trained / (setting.rounds * setting.candidates * setting.seeds) < design.QUARTER
    assert setting.final_seeds >= 5


def test_builtin_always_takes_part_and_all_share_the_references(tmp_path) -> None:
    for pack in ("cartpole", "pendulum"):
        cassette(tmp_path / f"{pack}.jsonl")
    args = argparse.Namespace(llm=None, replay=tmp_path, base_url=None)
    setting = Setting(candidates=6, train=2, env_steps=5000)
    plan = design.plan_of(("cartpole", "pendulum"), design.models_of(args), setting)
    assert [(cell.labels.env, cell.labels.model) for cell in plan.cells] == [
        (pack, model) for pack in ("cartpole", "pendulum") for model in ("", "builtin", "replay")
    ]
    assert [cell.config.model.llm for cell in plan.cells if cell.labels.model == "replay"] == [
        f"replay:{tmp_path}/{pack}.jsonl" for pack in ("cartpole", "pendulum")
    ]
    for cell in plan.cells:
        assert cell.config.training == {"env_steps": 5000}
        if not cell.is_reference:
            assert (cell.config.candidates, cell.config.train, cell.config.final_seeds) == (6, 2, 5)
            assert cell.config.finalist_seeds == cell.config.seeds, "steps that a race frees are saved"


def test_a_live_model_is_asked_where_it_is_served() -> None:
    args = argparse.Namespace(llm="tiny", replay=None, base_url="http://127.0.0.1:9/v1")
    plan = design.plan_of(("cartpole",), design.models_of(args), Setting())
    (model,) = [cell.config.model for cell in plan.cells if cell.labels.model == "tiny"]
    assert (model.llm, model.base_url) == ("tiny", "http://127.0.0.1:9/v1")


def test_a_missing_cassette_is_named_before_anything_is_trained(tmp_path) -> None:
    args = argparse.Namespace(llm=None, replay=tmp_path, base_url=None)
    with pytest.raises(UsageError, match=r"cartpole\.jsonl"):
        design.plan_of(("cartpole",), design.models_of(args), Setting())


# --- what it measures -------------------------------------------------------------------------------------------------


def test_a_batch_is_measured_and_started_again_it_repeats_nothing(tmp_path, written, monkeypatch, capsys) -> None:
    arguments = ("--runs", str(tmp_path / "runs"), "--packs", "cartpole", "lunar_lander")
    found = run_program(monkeypatch, design.main, tmp_path / "figures.json", *arguments)
    assert [(c.env.name, c.method) for c in written] == [
        (pack, method) for pack in ("cartpole", "lunar_lander") for method in ("given", "rewardsmith")
    ]
    for pack in ("cartpole", "lunar_lander"):
        assert found[f"design.{pack}.normalized"] == pytest.approx((0.5 - SPARSE) / (HUMAN - SPARSE))
        low, high = found[f"design.{pack}.normalized_low"], found[f"design.{pack}.normalized_high"]
        assert low is not None and high is not None and low < 0.5 < high
        steps = PpoConfig.for_environment(resolve_env(pack)).trained_steps
        assert found[f"design.{pack}.share"] == pytest.approx(1000 / (2 * 40 * 2 * steps))
        assert found[f"design.{pack}.search_share"] == 0.0, "all that was spent retrained winner and sparse reward"
    assert found["design.lunar_lander.solved"] == 0.0, "a fitness of 5 is no landing"
    assert found["design.lunar_lander.share_of_stable_eureka"] == 1000 / 40_000_000
    assert found["design.packs"] == 2
    assert found["design.hopper.normalized"] is None
    assert found["design.reached_human"] is None, "two packs are no answer about eight"
    told = capsys.readouterr().out
    assert "builtin" in told
    assert "0.5 [0.487, 0.517]" in told

    assert run_program(monkeypatch, design.main, tmp_path / "again.json", *arguments) == found
    assert len(written) == 4


def test_failed_runs_are_tried_again_and_named_meanwhile(tmp_path, written, monkeypatch, capsys) -> None:
    drive = working.drive

    def failing(run: RunFolder, config: DesignConfig, **options: object) -> None:
        if config.method != "given":
            raise BudgetSpent("env_steps", 0, 7, 9)
        drive(run, config, **options)  # type: ignore[arg-type]

    arguments = ("--runs", str(tmp_path / "runs"), "--packs", "cartpole")
    monkeypatch.setattr(working, "drive", failing)
    found = run_program(monkeypatch, design.main, tmp_path / "figures.json", *arguments)
    assert found["design.cartpole.normalized"] is None
    assert found["design.cartpole.share"] is None
    assert "no result: the env steps budget does not reach" in capsys.readouterr().out
    monkeypatch.setattr(working, "drive", drive)
    found = run_program(monkeypatch, design.main, tmp_path / "figures.json", *arguments)
    assert found["design.cartpole.normalized"] == pytest.approx(0.5)


def test_quick_measures_builtin_on_two_packs_and_no_costs(tmp_path, written, monkeypatch) -> None:
    found = run_program(monkeypatch, design.main, tmp_path / "figures.json", "--quick")
    measured = {name for name, value in found.items() if value is not None}
    assert measured == {"design.packs", "design.builtin.packs"} | {
        f"design.{name}"
        for pack in design.QUICK_PACKS
        for name in (
            f"{pack}.normalized",
            f"{pack}.normalized_low",
            f"{pack}.normalized_high",
            f"builtin.{pack}.normalized",
        )
    }
    assert {config.candidates for config in written if config.method != "given"} == {design.QUICK.candidates}


def test_with_a_model_the_unnamed_figures_are_the_models(tmp_path, written, monkeypatch) -> None:
    cassette(tmp_path / "replies" / "cartpole.jsonl")
    arguments = ("--runs", str(tmp_path), "--packs", "cartpole", "--replay", str(tmp_path / "replies"))
    found = run_program(monkeypatch, design.main, tmp_path / "figures.json", *arguments)
    assert found["design.cartpole.normalized"] == pytest.approx((0.9 - SPARSE) / (HUMAN - SPARSE))
    assert found["design.builtin.cartpole.normalized"] == pytest.approx(0.5)


# --- what it counts ---------------------------------------------------------------------------------------------------


def measured(value: float) -> Measured:
    return Measured(value=value, low=value - 0.1, high=value + 0.1, seeds=5)


def outcome(
    pack: str, normalized: float | None, *, share: float = 0.2, sparse: float = 0.2, versus: str = "better"
) -> Outcome:
    def row(variant: str, success: float) -> Row:
        fields = {"env": pack, "method": "rewardsmith", "model": "builtin", "variant": variant, "budget": ""}
        return Row.model_validate({**fields, "group": "x", "runs": ["a"], "wanted": 1, "success": measured(success)})

    ours = row("", 0.5).model_copy(
        update={
            "normalized": None if normalized is None else measured(normalized),
            "versus": {"sparse": Verdict.model_validate({"answer": versus})},
            "cost": Cost(env_steps=1000),
        }
    )
    references = {"human": row("human", 1.0), "sparse": row("sparse", sparse)}
    return Outcome(ours, references, "success", Spending(int(1000 * share), int(500 * share), 1000))


def counts(outcomes: list[Outcome]) -> list[float | None]:
    found = design.figures_of(outcomes)
    names = ("packs", "reached_human", "quarter", "reached_human_within_quarter")
    return [found[f"design.{name}"] for name in names]


def test_packs_that_reach_the_human_reward_and_keep_the_budget_are_counted() -> None:
    eight = [outcome(pack, 1.0) for pack in PACKS[:5]]
    eight += [outcome(PACKS[5], 0.99), outcome(PACKS[6], 2.0, share=0.26), outcome(PACKS[7], -1.0, share=0.25)]
    assert counts(eight) == [8, 6, 7, 5]
    assert counts([*eight, outcome(PACKS[8], None)]) == [8, 6, 7, 5], "what has no normalized score counts for nothing"
    assert counts(eight[1:]) == [7, None, None, None]


def test_builtin_is_held_against_the_sparse_reward() -> None:
    eight = [outcome(pack, 1.0) for pack in PACKS[:4]]
    eight += [
        outcome(PACKS[4], 0.0, versus="cannot tell yet"),
        outcome(PACKS[5], 0.0, sparse=0.95, versus="cannot tell yet"),  # little was left to gain
        outcome(PACKS[6], -1.0, sparse=0.95, versus="worse"),
        outcome(PACKS[7], None, versus="worse"),  # a verdict needs no human reward
    ]
    found = design.figures_of(eight)
    assert found["design.builtin.below_sparse"] == 2
    assert found["design.builtin.not_above_sparse"] == 2
    assert design.figures_of(eight[1:])["design.builtin.below_sparse"] is None


# --- the ablation -----------------------------------------------------------------------------------------------------


def test_the_ablation_compares_feedback_alone(tmp_path, written, monkeypatch, capsys) -> None:
    for feedback in ablation.FEEDBACK:
        for seed in (0, 1):
            cassette(tmp_path / "replies" / f"cartpole-{feedback}-{seed}.jsonl")
    arguments = ("--runs", str(tmp_path), "--packs", "cartpole", "--seeds", "2", "--replay", str(tmp_path / "replies"))
    found = run_program(monkeypatch, ablation.main, tmp_path / "figures.json", *arguments)
    designs = [config for config in written if config.method != "given"]
    assert len(written) == len(designs) + 1, "the references are trained once"
    assert {(c.feedback, c.seed, Path(c.model.llm).name) for c in designs} == {
        (feedback, seed, f"cartpole-{feedback}-{seed}.jsonl") for feedback in ablation.FEEDBACK for seed in (0, 1)
    }
    for pair in ("full_over_scalar", "scalar_over_none", "full_over_none"):
        assert found[f"ablation.{pair}"] == found[f"ablation.{pair}.low"] == 1.0
        assert found[f"ablation.{pair}.packs"] == 1
    levels = {"full": 0.9, "scalar": 0.6, "none": 0.3}
    for feedback, level in levels.items():
        assert found[f"ablation.{feedback}.normalized"] == pytest.approx((level - SPARSE) / (HUMAN - SPARSE))
    assert found["ablation.solved_at_first"] == 0.0
    assert (
        "rewardsmith · replay · full over rewardsmith · replay · scalar: P 1 [1, 1]: better" in capsys.readouterr().out
    )


def in_round_two(candidate: Candidate) -> Candidate:
    return candidate.model_copy(update={"proposal": candidate.proposal.model_copy(update={"round": 2})})


def test_a_first_round_that_solves_the_task_is_told(tmp_path, monkeypatch) -> None:
    def drive(run: RunFolder, config: DesignConfig, **_: object) -> None:
        if config.method == "given":
            write_references(run, config, human=near(HUMAN), sparse=near(SPARSE))
        else:
            write_design(run, config, [(1.0, 1.0)] * 5 if config.feedback == "full" else near(0.9))

    model = ModelEntry(llm="builtin")
    plan = ablation.plan_of(ablation.Size(("cartpole",), 1, ablation.QUICK_DESIGN), lambda *_: model)
    assert len({cell.id for cell in plan.cells}) == len(plan.cells) == 1 + len(ablation.FEEDBACK)
    monkeypatch.setattr(working, "drive", drive)
    folder, table = design.carried_out(plan, tmp_path)
    runs = [design.load_run(folder.root / run) for row in table.rows for run in row.runs]
    assert ablation.solved_at_first(runs) == pytest.approx(1 / 3)
    later = [run.model_copy(update={"candidates": tuple(in_round_two(c) for c in run.candidates)}) for run in runs]
    assert ablation.solved_at_first(later) == 0.0
    assert ablation.solved_at_first([]) is None


def test_without_a_model_the_ablation_is_null_and_says_why(tmp_path, monkeypatch, capsys) -> None:
    found = run_program(monkeypatch, ablation.main, tmp_path / "figures.json", "--quick")
    assert set(found.values()) == {None}
    assert "builtin reads no feedback" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run_program(monkeypatch, ablation.main, tmp_path / "x.json", "--runs", str(tmp_path), "--llm", "builtin")
    assert "builtin reads no feedback" in capsys.readouterr().err


def test_figures_of_an_unfinished_ablation_are_null() -> None:
    table = Table(name="x", rows=(), references=(), aggregates=(), pairs=(), measures={}, excluded={})
    assert ablation.figures_of(table, None) == ablation.figures_of(None, None)
