"""Run folders made by somebody else: nothing they name is executed, read or asked unless the person agrees."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from rich.console import Console

import rewardsmith
from rewardsmith.cli import show
from rewardsmith.config import DesignConfig, ModelConfig
from rewardsmith.errors import RewardsmithError, RunError, UsageError
from rewardsmith.loop.evaluation import evaluate_policies
from rewardsmith.loop.exporting import export_run
from rewardsmith.loop.report import write_report
from rewardsmith.loop.summary import load_run
from rewardsmith.resources import resource_root
from rewardsmith.store import RunFolder, list_runs
from rewardsmith.types import Goal, Proposal, Task, TrainingResult, Verdict
from tests.helpers.model_server import ModelServer
from tests.loop.runs import ENV, SPEED, asking, tiny_config
from tests.loop.test_summary import member

pytestmark = pytest.mark.timeout(60)


def finished_run(runs: Path, config: DesignConfig, goal: Goal | None = None) -> Path:
    """A run that looks finished, without a policy: its best candidate is r1s0."""
    folder = RunFolder.create(runs, config.model_dump(mode="json"), env=ENV, env_about="A car in a valley.")
    task = Task(env=config.env, words="reach the flag", goal=goal or Goal(kind="pack", task="reach"))
    trained = TrainingResult(candidate="r1s0", members=(member(),))
    records = {
        "task": task.model_dump(mode="json"),
        "round-1/proposals": [Proposal(id="r1s0", round=1, sample=0, code="x", origin="model").model_dump(mode="json")],
        "candidate/r1s0/verdict": Verdict(candidate="r1s0", accepted=True).model_dump(mode="json"),
        "round-1/training": {"r1s0": trained.model_dump(mode="json")},
        "cost/bank": {"env_steps": 10},
        "session/1": {"wall_s": 2.0},
        "finished": {"best": "r1s0"},
    }
    with folder.journal() as journal:
        for key, payload in records.items():
            journal.put(key, payload)
    candidate = folder.candidate("r1s0")
    candidate.write_reward("x")
    candidate.write_graph("{}")
    return folder.root


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Makes a run as somebody else would have made it."""

    def make(config: DesignConfig | None = None, goal: Goal | None = None) -> Path:
        with monkeypatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(tmp_path / "their-home"))
            return finished_run(tmp_path / "runs", config or tiny_config(), goal)

    return make


@pytest.fixture
def executed(tmp_path) -> Path:
    """The file that `code` makes when it is executed."""
    return tmp_path / "executed"


@pytest.fixture
def code(executed) -> str:
    return f"open({str(executed)!r}, 'w').close()\n"


@pytest.fixture
def pack(tmp_path, code) -> Path:
    folder = tmp_path / "pack"
    shutil.copytree(resource_root("envs") / ENV, folder)
    for file in folder.glob("*.py"):
        if not file.read_text().lstrip().startswith("def compute_reward"):
            file.write_text(code + file.read_text())
    return folder


# --- what a run names


def evaluated(root: Path, *, trust: bool = False) -> None:
    evaluate_policies(str(root), episodes=1, trust=trust)


def exported(root: Path, *, trust: bool = False) -> None:
    export_run(root, root.parent.parent / "exported", trust=trust)


def resumed(root: Path, *, trust: bool = False) -> None:
    rewardsmith.resume_run(root, trust=trust)


@pytest.mark.parametrize("act", [evaluated, exported, resumed])
def test_the_code_of_an_environment_needs_consent(theirs, pack, executed, act) -> None:
    root = theirs(tiny_config(env={"name": str(pack)}))
    write_report(load_run(root))
    with pytest.raises(UsageError, match="not made here by you") as caught:
        act(root)
    assert "the code of the environment" in caught.value.message
    assert "--trust" in caught.value.hint
    assert not executed.exists()


@pytest.mark.parametrize("name", ["os.path:Hopper-v5", "../pack", "~nobody-here/pack"])
def test_modules_and_folders_are_code(theirs, name) -> None:
    with pytest.raises(UsageError, match="the code of the environment"):
        evaluated(theirs(tiny_config(env={"name": name})))


@pytest.mark.parametrize(("method", "named"), [("their_methods:Own", True), ("eureka", False)])
def test_a_method_of_their_own_is_code(theirs, method, named) -> None:
    with pytest.raises(UsageError, match="not made here by you") as caught:
        resumed(theirs(tiny_config(method=method)))
    assert ("the code of the method 'their_methods:Own'" in caught.value.message) == named


def test_keyword_arguments_of_a_gymnasium_id_need_consent(theirs) -> None:
    with pytest.raises(UsageError, match="the code of the environment"):
        evaluated(theirs(tiny_config(env={"name": "Hopper-v5", "kwargs": {"xml_file": "/etc/passwd"}})))


def test_a_metric_file_needs_consent(theirs, tmp_path, code, executed) -> None:
    file = tmp_path / "metric.py"
    file.write_text(code)
    root = theirs(goal=Goal(kind="metric_file", path=str(file)))
    write_report(load_run(root))
    with pytest.raises(UsageError, match="would use the code in"):
        evaluated(root)
    assert not executed.exists()


def test_a_metric_file_that_run_json_does_not_name_needs_consent_even_in_an_own_run(tmp_path) -> None:
    named = tmp_path / "mine.py"
    config = tiny_config(metric=str(named))
    own = finished_run(tmp_path / "runs", config, Goal(kind="metric_file", path=str(named)))
    with pytest.raises(UsageError, match="no policy"):
        evaluated(own)
    changed = finished_run(tmp_path / "runs", config, Goal(kind="metric_file", path=str(tmp_path / "theirs.py")))
    with pytest.raises(UsageError, match=r"theirs\.py"):
        evaluated(changed)


@pytest.mark.parametrize("trust", [False, True])
def test_a_run_that_names_no_code_is_evaluated_like_ones_own(theirs, trust) -> None:
    with pytest.raises(UsageError, match="no policy of r1s0"):
        evaluated(theirs(), trust=trust)


def test_trust_is_consent(theirs, pack, executed) -> None:
    with pytest.raises(RewardsmithError, match="graph"):
        exported(theirs(tiny_config(env={"name": str(pack)})), trust=True)
    assert executed.exists()


def test_resuming_sends_no_key_to_a_server_that_a_stranger_named(theirs, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with ModelServer([SPEED]) as server:
        with pytest.raises(UsageError, match="with your API key"):
            resumed(theirs(asking(server.url)))
        assert server.requests == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "not made here"),
        ({"allow_unsandboxed": True}, "no jail"),
        ({"model": ModelConfig(llm="desk:/tmp")}, "desk:/tmp"),
        ({"model": ModelConfig(llm="replay:/etc/passwd")}, "replay:/etc/passwd"),
        ({"metric": "/tmp/m.py"}, r"/tmp/m\.py"),
    ],
)
def test_resuming_a_strangers_run_always_needs_consent(theirs, changes, named) -> None:
    with pytest.raises(UsageError, match=named):
        resumed(theirs(tiny_config(**changes)))


def test_a_report_tells_of_an_environment_that_is_not_here(theirs) -> None:
    root = theirs(tiny_config(env={"name": "no_such_module:NoSuch-v0"}))
    assert "A car in a valley." in write_report(load_run(root)).read_text()


# --- files that lead out


@pytest.fixture
def secret(tmp_path) -> Path:
    (tmp_path / "secret").write_text("secret")
    return tmp_path / "secret"


@pytest.mark.parametrize("make", [Path.symlink_to, lambda path, secret: os.mkfifo(path)])
@pytest.mark.parametrize(
    ("file", "act"),
    [
        ("best.mp4", lambda root: write_report(load_run(root))),
        ("run.json", load_run),
        ("journal.sqlite", load_run),
        ("candidates/r1s0/graph.json", exported),
        ("candidates/r1s0/reward.py", exported),
        ("candidates/r1s0/seeds/0/policy.safetensors", exported),
        ("candidates/r1s0/seeds/0/policy.safetensors", evaluated),
    ],
)
def test_no_file_leads_out_or_hangs(theirs, secret, file, act, make) -> None:
    root = theirs()
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path, secret)
    with pytest.raises(RunError, match=r"leads out|not a regular file"):
        act(root)
    assert secret.read_text() == "secret"


def test_a_goals_graph_lies_in_the_run(theirs, secret) -> None:
    root = theirs(goal=Goal(kind="model", path=f"../../{secret.name}"))
    with pytest.raises(RunError, match="leads out"):
        evaluated(root)


def test_a_graph_that_is_no_text(theirs) -> None:
    root = theirs()
    (root / "candidates" / "r1s0" / "graph.json").write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match="not UTF-8"):
        exported(root)


# --- damage


def rewrite(root: Path, key: str, payload: str | bytes) -> None:
    with sqlite3.connect(root / "journal.sqlite") as db:
        db.execute("INSERT OR REPLACE INTO records (key, payload, at) VALUES (?, ?, 0)", (key, payload))
    db.close()


NESTED = "[" * 100_000
PROPOSAL = {"id": "r1s0", "round": 1, "sample": 0, "code": "x", "origin": "model"}


@pytest.mark.parametrize(
    ("key", "payload"),
    [
        ("task", "not json"),
        ("task", NESTED),
        ("task", b"\x00\xff"),
        ("task", "[]"),
        ("finished", "[]"),
        ("finished", '{"best": 3}'),
        ("finished", '{"best": "nobody"}'),
        ("finished", '{"best": "../../../outside"}'),
        ("round-1/proposals", "{}"),
        ("round-1/proposals", json.dumps([PROPOSAL, PROPOSAL])),
        ("round-1/proposals", json.dumps([PROPOSAL | {"id": "../x"}])),
        ("round-1/proposals", json.dumps([PROPOSAL | {"id": "a\x1b]0;x\x07"}])),
        (
            "round-1/proposals",
            json.dumps([PROPOSAL | {"failure": "no code"}, PROPOSAL | {"id": "b", "repair_of": "r1s0"}]),
        ),
        ("round-1/training", '{"r1s0": 1}'),
        ("cost/x", '{"env_steps": 1' + "0" * 400 + "}"),
        ("candidate/r1s0/verdict", "3"),
        ("candidate/r1s0/repair", json.dumps(PROPOSAL | {"repair_of": "r1s0"})),
        ("cost/x", '{"env_steps": "many"}'),
        ("session/x", "[]"),
        ("llm/x", "{}"),
    ],
)
def test_a_record_that_is_none_is_named(theirs, key, payload) -> None:
    root = theirs()
    rewrite(root, key, payload)
    with pytest.raises(RunError, match=r"journal\.sqlite is damaged") as caught:
        load_run(root)
    assert caught.value.hint


@pytest.mark.parametrize("content", [NESTED, "{", "3", '{"format": true}', '{"format": 1e999}', '{"format": 1}'])
def test_a_damaged_run_does_not_hide_the_others(theirs, content) -> None:
    root, other = theirs(), theirs()
    (root / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run\.json"):
        load_run(root)
    assert [folder.root for folder in list_runs(root.parent)] == [other]


@pytest.mark.parametrize("id", ["../../x", "a\x1b]0;x\x07", "a\n", ""])
def test_an_id_of_a_run_is_an_id(theirs, id) -> None:
    file = theirs() / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"id": id}))
    with pytest.raises(RunError, match="damaged: id"):
        load_run(file.parent)


@pytest.mark.parametrize(
    "statements",
    [
        "DROP TABLE records; CREATE VIEW records AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
        "SELECT x AS seq, 'llm/' || x AS key, '{}' AS payload, 0 AS at FROM c",
        "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END",
        "ALTER TABLE records ADD COLUMN more TEXT AS (hex(zeroblob(100000000)))",
    ],
)
def test_a_journal_holds_one_plain_table(theirs, statements) -> None:
    root = theirs()
    db = sqlite3.connect(root / "journal.sqlite")
    db.executescript(statements)
    db.close()
    with pytest.raises(RunError, match="tables are not those of a journal"):
        load_run(root)


def test_the_number_of_rounds_asked_for_costs_nothing(theirs) -> None:
    assert load_run(theirs(tiny_config(rounds=10**9))).feedbacks == ()


# --- the terminal


def test_names_that_a_run_chooses_cannot_drive_the_terminal(theirs, monkeypatch) -> None:
    evil = "a\x1b]0;x\x07\u202e[red]"
    root = theirs(tiny_config(env={"name": evil}))
    results = Console(record=True, width=200)
    monkeypatch.setattr(show, "results", results)
    show.show_run(load_run(root))
    shown = results.export_text()
    assert "[red]" in shown
    assert not set("\x1b\x07\u202e") & set(shown)
