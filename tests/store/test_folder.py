"""Run folders: ids, paths, locks, versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.errors import RunError
from rewardsmith.store import folder as folder_module
from rewardsmith.store.filesystem import file_system_type, is_local
from rewardsmith.store.folder import ID_PATTERN, RunFolder, find_run, latest_run, list_runs, slug
from rewardsmith.types import Finding, Verdict


def make(runs, env="hopper", **config):
    return RunFolder.create(runs, config, env=env, seeds={"root": 3})


def test_create_then_open(tmp_path):
    made = make(tmp_path, rounds=2)
    found = RunFolder.open(made.root)
    assert found.id == "hopper-001"
    assert found.info == made.info
    assert found.info.config == {"rounds": 2}
    assert found.info.seeds == {"root": 3}
    assert found.info.versions["python"]
    with found.journal() as journal:
        assert journal.keys() == []


def test_ids_count_up_and_survive_deletions(tmp_path):
    assert [make(tmp_path).id for _ in range(3)] == ["hopper-001", "hopper-002", "hopper-003"]
    for file in sorted((tmp_path / "hopper-001").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (tmp_path / "hopper-001").rmdir()
    assert make(tmp_path).id == "hopper-004"
    assert make(tmp_path, env="hopper-v5").id == "hopper-v5-001"


def test_starts_in_the_same_second_do_not_collide(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: make(tmp_path).id, range(16)))
    assert len(set(ids)) == 16


@pytest.mark.parametrize(
    ("env", "expected"),
    [("ALE/Pong-v5", "ale-pong-v5"), ("module:Id-v0", "id-v0"), ("../..", "run"), ("", "run"), ("é", "run")],
)
def test_slug(env, expected):
    assert slug(env) == expected


@given(st.text())
def test_slug_is_always_an_id(env):
    assert ID_PATTERN.fullmatch(f"{slug(env)}-001")


def test_candidate_files(tmp_path):
    run = make(tmp_path)
    candidate = run.candidate("r1-s03")
    candidate.write_reward("def f(): ...\n")
    candidate.write_graph("{}")
    verdict = Verdict(candidate="r1-s03", accepted=False, findings=(Finding(id="a.b", severity="warn", message="m"),))
    candidate.write_verdict(verdict)
    assert candidate.read_verdict() == verdict
    assert candidate.seeds() == []
    assert candidate.seed(10).is_dir()
    assert candidate.seed(2).is_dir()
    assert candidate.seeds() == [2, 10]
    assert run.candidate_ids() == ["r1-s03"]
    assert candidate.root == run.root / "candidates" / "r1-s03"
    with pytest.raises(ValueError, match="negative"):
        candidate.seed(-1)


def test_damaged_verdict(tmp_path):
    candidate = make(tmp_path).candidate("a")
    candidate.verdict_path.write_text("{}")
    with pytest.raises(RunError, match=r"verdict\.json is damaged: candidate"):
        candidate.read_verdict()


@pytest.mark.parametrize("bad", ["", ".", "..", "../x", "a/b", "/etc", "A", "-a", "a\n", "a\0b", "a" * 65, "a b", "é"])
def test_no_id_can_leave_the_run(tmp_path, bad):
    run = make(tmp_path)
    with pytest.raises(RunError, match="is not a candidate id"):
        run.candidate(bad)
    assert run.candidate_ids() == []


# --- lock


def test_second_driver_is_refused_and_told_who_holds_it(tmp_path):
    run = make(tmp_path)
    with run.lock():
        with pytest.raises(RunError, match=f"pid {os.getpid()} on") as caught, RunFolder.open(run.root).lock():
            pass
        assert caught.value.hint
    with run.lock():
        pass


def test_lock_across_processes_ends_with_the_process(tmp_path):
    run = make(tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from rewardsmith.store import RunFolder\n"
        "with RunFolder.open(Path(sys.argv[1])).lock(): print('held', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(run.root)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(RunError, match=f"pid {child.pid} "), run.lock():
        pass
    child.kill()
    child.wait()
    child.stdout.close()
    with run.lock():
        pass


# --- finding, versions, damage


def test_list_latest_find(tmp_path):
    runs = tmp_path / "runs"
    assert list_runs(runs) == []
    with pytest.raises(RunError, match="there is no run"):
        latest_run(runs)
    first, second = make(runs), make(runs, env="ant")
    (runs / "half-made").mkdir()
    (runs / "stray.txt").write_text("x")
    broken = make(runs, env="broken")
    (broken.root / "run.json").write_text("{")
    assert [run.id for run in list_runs(runs)] == [first.id, second.id]
    assert latest_run(runs).id == find_run("latest", runs).id == second.id
    assert find_run("hopper-001", runs).id == first.id
    assert find_run(str(first.root), runs).id == first.id
    with pytest.raises(RunError, match="did you mean hopper-001"):
        find_run("hoper-001", runs)


def test_another_version_cannot_resume_but_can_be_read(tmp_path, monkeypatch):
    run = make(tmp_path)
    run.require_same_version()
    assert run.changed_versions() == {}
    later = {**folder_module.installed_versions(), "rewardsmith": "99.0", "torch": "9"}
    monkeypatch.setattr(folder_module, "installed_versions", lambda: later)
    again = RunFolder.open(run.root)
    assert set(again.changed_versions()) == {"rewardsmith", "torch"}
    with pytest.raises(RunError, match=r"this is 99\.0") as caught:
        again.require_same_version()
    assert "pip install rewardsmith==" in caught.value.hint


def edit(run, **changes):
    file = run.root / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_damage_is_told_apart(tmp_path):
    run = make(tmp_path)
    with pytest.raises(RunError, match="there is no run folder"):
        RunFolder.open(tmp_path / "gone")
    with pytest.raises(RunError, match=r"it has no run\.json"):
        RunFolder.open(tmp_path)
    edit(run, format=folder_module.FORMAT + 1)
    with pytest.raises(RunError, match="a newer rewardsmith"):
        RunFolder.open(run.root)
    edit(run, format=folder_module.FORMAT, id=3)
    with pytest.raises(RunError, match="damaged: id"):
        RunFolder.open(run.root)
    edit(run, id=run.id)
    RunFolder.open(run.root)
    run.journal_path.unlink()
    with pytest.raises(RunError, match="lost its journal"):
        RunFolder.open(run.root)


def test_a_runs_folder_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("x")
    with pytest.raises(RunError, match="cannot write"):
        make(tmp_path / "runs")


# --- file systems


def test_unknown_file_systems_count_as_shared(tmp_path, monkeypatch):
    assert file_system_type(tmp_path / "gone") is None
    assert not is_local(tmp_path / "gone")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not is_local(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="statfs is asked on Linux only")
def test_proc_is_not_local_storage_but_has_a_type():
    assert file_system_type(folder_module.Path("/proc")) == 0x9FA0
    assert not is_local(folder_module.Path("/proc"))


def test_no_torch():
    code = "import sys, rewardsmith.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
