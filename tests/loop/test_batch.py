"""Experiments: what a file means, who works on which run, and the table that comes out."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rewardsmith.errors import BudgetSpent, EnvironmentFault, Interrupted, MissingExtra, RunError, UsageError
from rewardsmith.loop.batch import work as working
from rewardsmith.loop.batch.cells import Plan, plan_file
from rewardsmith.loop.batch.folder import ExperimentFolder
from rewardsmith.loop.batch.page import render_page
from rewardsmith.loop.batch.pool import Pool, bound
from rewardsmith.loop.batch.results import Row, Table
from rewardsmith.loop.batch.table import experiment_table, runs_table
from rewardsmith.loop.batch.work import work
from rewardsmith.loop.events import RoundStarted
from rewardsmith.loop.summary import load_run
from rewardsmith.stats import interval
from rewardsmith.store import RunFolder, list_runs
from tests.loop.batches import SETTINGS, TINY, Scores, plan, write_design, write_references
from tests.loop.runs import ENV

ROOT = Path(__file__).parents[2]
TWO = TINY + "seeds = 2\nreferences = false\n"


def good(level: float) -> Scores:
    """Three seeds near a success of `level` and a fitness of ten times that."""
    return [(level + d, 10 * (level + d)) for d in (-0.01, 0.0, 0.01)]


@pytest.fixture
def written(monkeypatch) -> list[str]:
    """Runs are written, not trained: designs of success 0.6, human of 0.5 and sparse of 0.1. The cells driven."""
    driven: list[str] = []

    def drive(run, config, **_) -> None:
        driven.append(run.id)
        if config.method == "given":
            write_references(run, config, human=good(0.5), sparse=good(0.1))
        else:
            write_design(run, config, good(0.6))

    monkeypatch.setattr(working, "drive", drive)
    return driven


def row(table: Table, **labels: str) -> Row:
    found = [r for r in (*table.rows, *table.references) if all(getattr(r, k) == v for k, v in labels.items())]
    assert len(found) == 1
    return found[0]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_example_in_the_documentation_makes_a_plan() -> None:
    found = plan_file(ROOT / "docs" / "examples" / "experiment.toml")
    designs = [cell for cell in found.cells if not cell.is_reference]
    assert len(designs) == 3 * 2 * 3
    assert {cell.labels.env for cell in found.cells if cell.is_reference} == {"hopper", "reacher", "lunar_lander"}
    steps = {cell.labels.env: cell.config.training["env_steps"] for cell in designs}
    assert steps == {"hopper": 200_000, "reacher": 200_000, "lunar_lander": 400_000}
    assert {c.config.feedback for c in designs if c.labels.variant == "scalar feedback"} == {"scalar"}
    assert all(c.config.budget.env_steps == 30_000_000 for c in found.cells)


def test_the_file_in_the_guide_is_understood(tmp_path) -> None:
    guide = (ROOT / "docs" / "batch.md").read_text()
    text = guide.split("```toml")[1].split("```")[0]
    assert {cell.labels.variant for cell in plan(tmp_path, text, "").cells if not cell.is_reference} == {
        "scalar feedback"
    }


def test_an_experiment_is_not_put_into_a_run(tmp_path) -> None:
    found = plan(tmp_path, TWO)
    run = RunFolder.create(tmp_path, {}, env=ENV)
    with pytest.raises(RunError, match="is a run"):
        ExperimentFolder.create(tmp_path, found.model_copy(update={"name": run.id}))


def test_references_train_seeds_of_their_own_as_winners_do(tmp_path) -> None:
    reference, *designs = plan(tmp_path, TINY + "seeds = 2\n").cells
    assert reference.is_reference
    assert reference.config.training == designs[0].config.training
    assert reference.config.seeds == designs[0].config.final_seeds
    assert reference.config.seed not in {cell.config.seed for cell in designs}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "is not TOML"),
        (TINY + "modles = ['x']", "unknown key 'modles'; did you mean models"),
        (TINY.replace("eureka", "eurika"), "unknown method 'eurika'; did you mean eureka"),
        (TINY.replace("eureka", "given"), "given does not design"),
        (TINY.replace("eureka", "refine"), "refine does not design"),
        (TINY.replace(ENV, "mountain_car_continous"), "mountain_car_continuous"),
        (TINY.replace('models = ["builtin"]', ""), "names no models"),
        (TINY.replace('methods = ["eureka"]', ""), "names no methods"),
        (TINY.replace('["builtin"]', '"builtin"'), "models must be a list"),
        (TINY + "[[model]]\nurl = 'x'", "unknown key of [[model]] 'url'; did you mean base_url"),
        (TINY + "[[model]]\ntemperature = 0.5", "llm: Field required"),
        (TINY + "[[model]]\nllm = 'builtin'", "two models are called 'builtin'"),
        (TINY + "[[variant]]\nfeedbak = 'none'", "unknown key of [[variant]] 'feedbak'; did you mean feedback"),
        (TINY + "[[variant]]\nname = 'x'\nfeedback = 'some'", "[[variant]] x: feedback: "),
        (TINY + "[[variant]]\nname = 'x'\n[[variant]]\nname = 'y'", "are the same run"),
        (TINY + "[budget]\nenv_step = 3", "did you mean env_steps"),
        (TINY + "[budget]\nenv_steps = -3", "env_steps: Input should be greater"),
        (TINY + "seeds = 0", "repeats nothing"),
        (TINY + "seeds = [1, 1]", "two seeds are called '1'"),
        (TINY.replace('"tiny"', '"../tiny"'), "name: String should match"),
        (TINY + "[[env]]\nname = 'hopper'\ntask = 'fly'", "unknown task of hopper 'fly'"),
        (TINY + "[[env]]\nname = 'hopper'\nwords = 'fly'", "not a language model"),
        (TINY + "[[env]]\nname = 'hopper'\ntraining = {env_stepz = 3}", "env_stepz"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path, text, says) -> None:
    settings = "" if text == "nonsense" else SETTINGS
    with pytest.raises((UsageError, EnvironmentFault), match=re.escape(says)) as error:
        plan(tmp_path, text, settings)
    assert str(error.value).count("experiment.toml") == 1, "which file it is"


def test_a_missing_extra_is_named_with_its_cells(tmp_path, monkeypatch) -> None:
    def missing(*args: object, **options: object) -> None:
        raise MissingExtra("Stable-Baselines3", "sb3")

    monkeypatch.setattr("rewardsmith.loop.batch.cells.Sb3Config.for_environment", missing)
    with pytest.raises(MissingExtra, match=rf"{ENV} · eureka · builtin: Stable-Baselines3 is not installed"):
        plan(tmp_path, TINY, SETTINGS.replace("[design]\n", '[design]\ntrainer = "sb3"\n'))


def test_goals_that_each_run_would_write_anew_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    head = TINY.replace('"builtin"', '"tiny"') + f"[[env]]\nname = '{ENV}'\nwords = 'dance'\nlabel = 'dance'\n"
    with pytest.raises(UsageError, match="no two could be compared"):
        plan(tmp_path, head)


def test_too_few_fresh_seeds_for_an_interval_are_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="no interval"):
        plan(tmp_path, TINY, SETTINGS.replace("final_seeds = 3", "final_seeds = 2"))


def test_a_cell_is_known_by_what_it_does(tmp_path) -> None:
    def ids(head: str, settings: str = SETTINGS) -> list[str]:
        return [cell.id for cell in plan(tmp_path, head, settings).cells]

    base = ids(TWO)
    assert ids(TWO + "[budget]\nenv_steps = 7\n") == base, "a raised limit goes on with the same runs"
    assert ids(TWO, SETTINGS.replace("candidates = 2", "candidates = 2\nstall_s = 60")) == base
    assert ids(TWO.replace("seeds = 2", "seeds = [1, 0]")) == base[::-1]
    assert not set(ids(TWO, SETTINGS.replace("candidates = 2", "candidates = 3"))) & set(base)
    named = ids(TWO + "[[budget]]\nname = 'small'\nenv_steps = 7\n[[budget]]\nname = 'large'\nenv_steps = 9\n")
    assert len(set(named)) == 4


# --- the work ---------------------------------------------------------------------------------------------------------


def test_finished_runs_are_not_repeated_and_new_ones_are_added(tmp_path, written) -> None:
    folder = ExperimentFolder.create(tmp_path, plan(tmp_path, TWO))
    work(folder)
    assert len(written) == 2
    work(folder)
    assert len(written) == 2
    folder = ExperimentFolder.create(tmp_path, plan(tmp_path, TWO.replace("seeds = 2", "seeds = [1, 2]")))
    work(folder)
    assert len(written) == 3
    table = experiment_table(folder)
    kept = row(table, method="eureka").runs
    assert [load_run(folder.root / run).config.seed for run in kept] == [1, 2]
    assert table.dropped == (f"{ENV} · eureka · builtin · seed 0: {written[0]}",)
    assert len(list_runs(folder.root)) == 3


def test_references_are_trained_from_the_packs_own_rewards(tmp_path, written) -> None:
    folder = ExperimentFolder.create(tmp_path, plan(tmp_path, TINY))
    work(folder)
    rewards = load_run(folder.root / written[0]).config.rewards
    assert set(rewards) == {"human", "sparse"}
    assert all("def compute_reward" in code for code in rewards.values())
    (only,) = experiment_table(folder).rows
    assert only.normalized is not None
    assert only.normalized.value == pytest.approx((0.6 - 0.1) / 0.4)


def test_a_run_that_fails_is_a_row_with_its_reason_and_the_others_go_on(tmp_path, written, monkeypatch) -> None:
    drive, limits = working.drive, []

    def failing(run, config, **options) -> None:
        limits.append(config.budget.env_steps)
        if config.seed == 0 and config.budget.env_steps == 7:
            raise BudgetSpent("env_steps", 0, 7, 9)
        if config.seed == 1:
            raise ZeroDivisionError("a bug")
        drive(run, config, **options)

    monkeypatch.setattr(working, "drive", failing)
    three = TINY + "seeds = 3\nreferences = false\n"
    folder = ExperimentFolder.create(tmp_path, plan(tmp_path, three + "[budget]\nenv_steps = 7\n"))
    work(folder)
    found = row(experiment_table(folder), method="eureka")
    assert (len(found.runs), found.wanted) == (1, 3)
    assert found.failures == (
        "the env steps budget does not reach: 0 used of 7, and the next step may need 9 more",
        "ZeroDivisionError: a bug",
    )
    said: list[str] = []
    work(folder, tell=said.append)
    assert len(limits) == 3, "failed runs are left alone"
    assert sum("--retry" in line for line in said) == 2

    raised = plan(tmp_path, three + "[budget]\nenv_steps = 8\n")
    folder = ExperimentFolder.create(tmp_path, raised)
    folder.forget_failures(raised)
    work(folder)
    assert limits[3:] == [8, 8]
    assert len(row(experiment_table(folder), method="eureka").runs) == 2
    assert len(list_runs(folder.root)) == 3, "the retried run goes on in its own folder"


def test_an_interrupt_stops_the_work_and_the_next_session_resumes_the_run(tmp_path, written, monkeypatch) -> None:
    drive = working.drive

    def interrupted(run, config, **_) -> None:
        raise Interrupted("interrupted")

    folder = ExperimentFolder.create(tmp_path, plan(tmp_path, TWO))
    monkeypatch.setattr(working, "drive", interrupted)
    with pytest.raises(Interrupted):
        work(folder)
    assert row(experiment_table(folder), method="eureka").failures == ("not finished", "not begun")
    monkeypatch.setattr(working, "drive", drive)
    work(folder)
    assert len(list_runs(folder.root)) == 2
    assert row(experiment_table(folder), method="eureka").failures == ()


def test_a_run_that_somebody_resumes_by_hand_is_left_to_them(tmp_path, written) -> None:
    found = plan(tmp_path, TWO)
    folder = ExperimentFolder.create(tmp_path, found)
    run = working._run_of(folder, folder.state(found.cells[0]))
    folder.write(folder.state(found.cells[0]).model_copy(update={"run": run.id}))
    said: list[str] = []
    with run.lock():
        work(folder, tell=said.append)
    assert any("is being driven by" in line for line in said)
    assert folder.state(found.cells[0]).state == "open"
    assert folder.state(found.cells[1]).state == "finished"


def _work_slowly(root: Path, log: Path) -> None:
    def drive(run, config, **_) -> None:
        with log.open("a") as file:
            file.write(f"{os.getpid()} {config.seed}\n")
        time.sleep(0.15)
        write_design(run, config, good(0.6))

    working.drive = drive
    work(ExperimentFolder(root))


def _die_at_work(root: Path) -> None:
    def drive(run, config, **_) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    working.drive = drive
    work(ExperimentFolder(root))


def test_two_processes_share_the_work_and_no_run_is_done_twice(tmp_path) -> None:
    folder = ExperimentFolder.create(tmp_path, plan(tmp_path, TWO.replace("seeds = 2", "seeds = 6")))
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    processes = [context.Process(target=_work_slowly, args=(folder.root, log)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(seed for _, seed in lines) == ["0", "1", "2", "3", "4", "5"]
    assert len({pid for pid, _ in lines}) == 2
    work(folder)  # a process that meets only runs of others ends; another one finds nothing left
    assert len(list_runs(folder.root)) == 6


def test_a_killed_process_frees_its_run(tmp_path, written) -> None:
    found = plan(tmp_path, TWO)
    folder = ExperimentFolder.create(tmp_path, found)
    process = multiprocessing.get_context("fork").Process(target=_die_at_work, args=(folder.root,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert folder.left_by(process.pid or 0, found) == found.cells[0]
    work(folder)
    assert len(list_runs(folder.root)) == 2
    assert folder.left_by(process.pid or 0, found) is None


# --- processes --------------------------------------------------------------------------------------------------------

WORKER = """
import fcntl, json, os, pathlib, signal, sys
cells = sorted(pathlib.Path(sys.argv[1]).glob("*.json"))
for cell in cells:
    lock = open(cell.with_suffix(".lock"), "a+")
    fcntl.flock(lock, fcntl.LOCK_EX)
    state = json.loads(cell.read_text())
    if state["state"] == "open":
        lock.truncate(0); lock.write(str(os.getpid())); lock.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    lock.close()
"""


def test_a_run_that_takes_its_process_with_it_costs_only_its_own_cell(tmp_path) -> None:
    found = plan(tmp_path, TWO)
    folder = ExperimentFolder.create(tmp_path, found)
    for cell in found.cells:
        folder.write(folder.state(cell))
    (tmp_path / "crashing.py").write_text(WORKER)
    Pool(folder, [sys.executable, str(tmp_path / "crashing.py"), str(folder.root / "cells")], 1).run()
    assert {folder.state(c).state for c in found.cells} == {"failed"}
    assert "SIGSEGV" in folder.state(found.cells[0]).reason


def test_a_worker_that_cannot_even_start_is_told(tmp_path) -> None:
    folder = ExperimentFolder.create(tmp_path, plan(tmp_path, TWO))
    with pytest.raises(RunError, match="exited with 1"):
        Pool(folder, bound("no_such_module_at_all"), 1).run()


# --- the table --------------------------------------------------------------------------------------------------------

FACTORS = TINY.replace(f'"{ENV}"', f'"{ENV}", "reacher"').replace('"builtin"]', '"builtin"]\nseeds = 2') + (
    '[[variant]]\nname = "a"\n[[variant]]\nname = "b"\nfeedback = "none"\n'
)


@pytest.fixture(scope="module")
def factors(tmp_path_factory) -> Plan:
    return plan(tmp_path_factory.mktemp("factors"), FACTORS)


def table_of(tmp_path: Path, found: Plan, scores: dict[tuple[str, str], Scores], references: dict) -> Table:
    """The table of an experiment whose designs came to `scores[env, variant]`, in each repetition."""
    folder = ExperimentFolder.create(tmp_path, found)
    for cell in found.cells:
        run = RunFolder.create(folder.root, cell.config.model_dump(mode="json"), env=cell.config.env.name)
        env, variant = cell.labels.env, cell.labels.variant
        if cell.is_reference:
            write_references(run, cell.config, human=references[env][0], sparse=references[env][1])
        else:
            write_design(run, cell.config, scores[env, variant])
        folder.write(folder.state(cell).model_copy(update={"run": run.id, "state": "finished", "hardware": ("a box",)}))
    return experiment_table(folder)


def test_the_table_says_what_hand_calculation_says(tmp_path, factors) -> None:
    table = table_of(
        tmp_path,
        factors,
        {
            (ENV, "a"): good(0.9),
            (ENV, "b"): good(0.5),
            ("reacher", "a"): good(0.3),
            ("reacher", "b"): good(0.3),
        },
        {ENV: (good(0.5), good(0.1)), "reacher": (good(0.3), good(0.305))},
    )
    a = row(table, env=ENV, variant="a")
    assert a.success is not None
    assert a.success.value == pytest.approx(0.9)
    assert a.success.seeds == 6
    assert a.normalized is not None
    assert a.normalized.value == pytest.approx(2.0)  # (0.9 - 0.1) / 0.4
    assert {name: str(v) for name, v in a.versus.items()} == {"human": "better (success)", "sparse": "better (success)"}
    b = row(table, env=ENV, variant="b")
    assert b.versus["human"].answer == "cannot tell yet"
    assert b.versus["sparse"].answer == "better"
    assert b.normalized is not None
    assert b.normalized.value == pytest.approx(1.0)

    assert table.measures == {ENV: "success"}
    assert table.excluded == {"reacher": "not separable: the intervals of its human and sparse rewards overlap"}
    assert row(table, env="reacher", variant="a").normalized is None
    assert [(x.group, x.envs) for x in table.aggregates] == [
        ("eureka · builtin · a", (ENV,)),
        ("eureka · builtin · b", (ENV,)),
    ]
    assert [x.normalized.value for x in table.aggregates] == pytest.approx([2.0, 1.0])
    (pair,) = table.pairs
    assert pair.probability is not None
    assert pair.probability.value == 1.0
    assert pair.envs == (ENV,)
    assert pair.answer == "better"
    assert {env: v.answer for env, v in pair.answers.items()} == {ENV: "better", "reacher": "cannot tell yet"}

    assert a.cost.model_dump() == {
        "model_calls": 0,
        "tokens": 0,
        "candidates_trained": 2,
        "env_steps": 2000,
        "wall_s": 14.0,
    }
    assert a.hardware == ("a box",)
    human = row(table, env=ENV, variant="human")
    assert human.cost.env_steps == 300
    plain = interval([s for s, _ in good(0.5)])
    assert human.success is not None
    assert human.success.interval == plain
    assert {r.model for r in table.rows} == {"builtin"}


def test_fitness_tells_references_apart_where_success_does_not(tmp_path, factors) -> None:
    none = [(0.0, 1.0), (0.0, 1.1), (0.0, 1.2)]
    more = [(0.0, 5.0), (0.0, 5.1), (0.0, 5.2)]
    envs = dict.fromkeys((ENV, "reacher"), (more, none))
    table = table_of(tmp_path, factors, {(env, v): more for env in envs for v in "ab"}, envs)
    assert set(table.measures.values()) == {"fitness"}
    assert len(table.aggregates[0].envs) == 2
    assert table.aggregates[0].normalized.value == pytest.approx(1.0, abs=0.03)
    (pair,) = table.pairs
    assert pair.probability is not None
    assert pair.probability.value == 0.5
    assert pair.answer == "cannot tell yet"


def test_a_goal_without_success_is_measured_by_fitness_alone(tmp_path, factors) -> None:
    unknown = [(float("nan"), f) for f in (1.0, 2.0, 3.0)]
    envs = dict.fromkeys((ENV, "reacher"), (unknown, unknown))
    table = table_of(tmp_path, factors, {(env, v): unknown for env in envs for v in "ab"}, envs)
    assert all(r.success is None and r.fitness is not None for r in table.rows)
    json.dumps(table.model_dump(mode="json"), allow_nan=False)


def test_runs_are_compared_only_where_they_share_the_goal(tmp_path) -> None:
    runs = []
    for cell in plan(tmp_path, TINY + "seeds = 3\nreferences = false\n").cells:
        seed = cell.config.seed
        run = RunFolder.create(tmp_path, cell.config.model_dump(mode="json"), env=ENV)
        task = "another" if seed == 2 else "reach"
        write_design(run, cell.config, good((0.9, 0.5, 0.2)[seed]), sparse=good(0.4), task=task)
        runs.append(load_run(run.root))
    table = runs_table(runs[:2])
    (pair,) = table.pairs
    assert (pair.a.split()[-1], pair.b.split()[-1]) == (runs[0].id, runs[1].id)
    assert pair.answers[ENV].answer == "better"
    assert {r.variant: r.versus["sparse"].answer for r in table.rows} == {run.id: "better" for run in runs[:2]}
    assert "no scores of the human reward" in table.excluded[ENV]
    assert row(table, variant=runs[0].id).hardware == ("not recorded",)
    assert len(runs_table(runs).pairs) == 1
    assert len({r.env for r in runs_table(runs).rows}) == 2


def test_given_rewards_are_rows_and_human_and_sparse_are_references(tmp_path) -> None:
    config = plan(tmp_path, TINY).cells[0].config
    run = RunFolder.create(tmp_path, config.model_dump(mode="json"), env=ENV)
    write_references(run, config, human=good(0.5), sparse=good(0.1))
    design = plan(tmp_path, TINY).cells[1].config
    other = RunFolder.create(tmp_path, design.model_dump(mode="json"), env=ENV)
    write_design(other, design, good(0.9))
    table = runs_table([load_run(run.root), load_run(other.root)])
    assert [r.variant for r in table.rows] == [other.id]
    assert [r.variant for r in table.references] == ["human", "sparse"]
    assert table.aggregates[0].normalized.value == pytest.approx(2.0)


def test_the_page_escapes_what_others_wrote(tmp_path, written) -> None:
    head = TINY + "references = false\n[[variant]]\nname = '<img src=x>\\u202e'\n".replace("'", '"')
    folder = ExperimentFolder.create(tmp_path, plan(tmp_path, head))
    html = render_page(experiment_table(folder))
    assert "not begun" in html
    work(folder)
    html = render_page(experiment_table(folder))
    assert "no result" not in html
    assert "<img" not in html
    assert "&lt;img src=x&gt;" in html
    assert "\u202e" not in html
    assert "default-src &#39;none&#39;" in html
    assert "no language model" in html


# --- the whole thing --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("one_jail", "training_here")
def test_an_experiment_that_was_interrupted_ends_like_an_undisturbed_one(tmp_path, monkeypatch) -> None:
    found = plan(tmp_path, TINY + "references = false\n")
    calm = ExperimentFolder.create(tmp_path / "calm", found)
    work(calm, cell_workers=1)
    drive = working.drive

    def interrupted(run, config, **options) -> None:
        def observe(event) -> None:
            if isinstance(event, RoundStarted) and event.name.startswith("final"):
                raise KeyboardInterrupt

        drive(run, config, **(options | {"observe": observe}))

    stormy = ExperimentFolder.create(tmp_path / "stormy", found)
    monkeypatch.setattr(working, "drive", interrupted)
    with pytest.raises(Interrupted):
        work(stormy, cell_workers=1)
    monkeypatch.setattr(working, "drive", drive)
    work(stormy, cell_workers=1)
    expected, table = experiment_table(calm), experiment_table(stormy)
    assert [r.scores for r in table.rows] == [r.scores for r in expected.rows]
    assert [r.scores for r in table.references] == [r.scores for r in expected.references]
    assert [r.variant for r in table.references] == ["sparse"], "trained beside the winner"
    (only,) = table.rows
    assert np.shape(only.scores["fitness"]) == (1, 3)
    assert only.cost.candidates_trained == 2
    assert only.cost.env_steps == expected.rows[0].cost.env_steps
    assert only.failures == ()
