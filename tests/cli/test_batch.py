"""`batch` and `report --compare` as a person meets them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from rewardsmith.cli import main
from rewardsmith.loop.batch import work as working
from rewardsmith.loop.batch.folder import ExperimentFolder
from rewardsmith.loop.batch.pool import Pool
from rewardsmith.store import RunFolder
from tests.loop.batches import SETTINGS, TINY, plan, write_design
from tests.loop.runs import ENV

TWO = TINY + "seeds = 2\nreferences = false\n"
SCORES = [(0.5, 5.0), (0.6, 6.0), (0.7, 7.0)]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """The command in this process and folder, with workers that write runs instead of training them."""

    def work_here(pool: Pool) -> None:
        working.work(pool._folder)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(Pool, "run", work_here)
        monkeypatch.setattr(working, "drive", lambda run, config, **_: write_design(run, config, SCORES))
        monkeypatch.setattr(sys, "argv", ["rewardsmith", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    (tmp_path / "experiment.toml").write_text(TWO + SETTINGS)
    return run


def test_the_table_is_on_stdout_and_on_a_page(call, tmp_path) -> None:
    code, out, _ = call("batch", "experiment.toml", "--json")
    assert code == 0
    table = json.loads(out)
    assert [(r["env"], r["model"], len(r["runs"])) for r in table["rows"]] == [(ENV, "builtin", 2)]
    assert table["rows"][0]["success"]["value"] == pytest.approx(0.6)
    assert "builtin" in (tmp_path / "runs" / "tiny" / "table.html").read_text()

    code, out, _ = call("report", "--compare", "tiny", "--json")
    assert code == 0
    assert json.loads(out) == table

    code, out, _ = call("report", "--compare", *(f"runs/tiny/{r}" for r in table["rows"][0]["runs"]))
    assert code == 0
    assert "cannot tell yet" in out
    assert "compare.html" in out


def test_the_table_for_people_says_why_something_is_missing(call) -> None:
    code, out, _ = call("batch", "experiment.toml")
    assert code == 0
    words = " ".join(re.sub(r"[^\w.\[\] ]", " ", out).split())
    assert "the experiment trains no references" in words
    assert "Linux" in words
    assert "[0.5" in words


def test_a_dry_run_lists_the_runs_and_makes_none(call, tmp_path) -> None:
    code, out, _ = call("batch", "experiment.toml", "--dry-run", "--json")
    assert code == 0
    assert [(cell["env"], cell["seed"]) for cell in json.loads(out)] == [(ENV, 0), (ENV, 1)]
    assert all(cell["env_steps"] > 5 * 1024 for cell in json.loads(out))
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_counts_the_references(call, tmp_path) -> None:
    (tmp_path / "experiment.toml").write_text(TINY + SETTINGS)
    code, out, _ = call("batch", "experiment.toml", "--dry-run", "--json")
    assert code == 0
    references, *designs = json.loads(out)
    assert references["method"] == "reference"
    assert 2 * 3 * 1024 < references["env_steps"] < designs[0]["env_steps"]


def test_a_failed_run_sets_the_exit_code(call, tmp_path) -> None:
    assert call("batch", "experiment.toml")[0] == 0
    found = plan(tmp_path, TWO)
    folder = ExperimentFolder(tmp_path / "runs" / "tiny")
    folder.write(folder.state(found.cells[0]).model_copy(update={"state": "failed", "reason": "the server is away"}))
    code, out, _ = call("batch", "experiment.toml")
    assert code == 1
    assert "the server is away" in out
    assert call("batch", "experiment.toml", "--retry")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["batch", "gone.toml"], "gone.toml"),
        (["batch", "experiment.toml", "--workers", "0"], "--workers"),
        (["report", "--compare"], "nothing to compare"),
        (["report", "--compare", "one"], "unknown run or experiment 'one'"),
        (["report", "--compare", "one", "two"], "unknown run or experiment 'one'"),
        (["report", "--compare", "latest"], "there is no run in runs"),
        (["report", "one", "two"], "--compare"),
    ],
)
def test_mistakes_are_named(call, arguments, says) -> None:
    code, out, err = call(*arguments)
    assert code == 2
    assert says in err
    assert out == ""


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["tinny"], "unknown run or experiment 'tinny'; did you mean tiny?"),
        (["runs/tiny/RUN", "hoper-001"], "unknown run or experiment 'hoper-001'; did you mean hopper-001?"),
        (["tiny", "runs/tiny/RUN"], "tiny is an experiment, which is compared by itself"),
        (["runs/tiny/RUN"], "RUN is one run: there is nothing to compare it with"),
        (["runs/tiny/RUN", "runs/tiny/RUN"], "RUN is one run: there is nothing to compare it with"),
        (["runs/tiny/RUN", "runs/tiny/cells"], "cells is not a run"),
    ],
)
def test_what_cannot_be_compared_is_named(call, tmp_path, names, says) -> None:
    assert call("batch", "experiment.toml")[0] == 0
    RunFolder.create(tmp_path / "runs", {}, env="hopper")
    run = next(path.parent.name for path in sorted((tmp_path / "runs" / "tiny").glob("*/run.json")))
    code, out, err = call("report", "--compare", *(name.replace("RUN", run) for name in names))
    assert (code, out) == (2, "")
    assert says.replace("RUN", run) in " ".join(err.split())


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_leaves_no_process(tmp_path) -> None:
    (tmp_path / "experiment.toml").write_text(TWO + SETTINGS.replace("env_steps = 1024", "env_steps = 10_000_000"))
    command = [sys.executable, "-m", "rewardsmith", "batch", "experiment.toml"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    cells, deadline = tmp_path / "runs" / "tiny" / "cells", time.monotonic() + 120
    while not (begun := list(cells.glob("*.json"))) and time.monotonic() < deadline:
        time.sleep(0.1)
    worker = int(begun[0].with_suffix(".lock").read_text())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "rewardsmith batch experiment.toml" in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert [json.loads(p.read_text())["state"] for p in cells.glob("*.json")] == ["open"]
