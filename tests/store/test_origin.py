"""Which runs this user made."""

from __future__ import annotations

import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rewardsmith.store import RunFolder, made_here
from rewardsmith.store.origin import ORIGIN, key_path, origin_of


@pytest.fixture
def someone(tmp_path, monkeypatch):
    """Calling it with a name makes the process somebody else's."""

    def become(name: str) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / name))

    become("me")
    return become


def test_ones_own_runs_are_known_wherever_they_are_moved(tmp_path, someone):
    root = RunFolder.create(tmp_path / "runs", {}, env="hopper").root
    assert made_here(root)
    assert made_here(root.rename(tmp_path / "moved"))
    assert stat.S_IMODE(key_path().stat().st_mode) == 0o600
    assert [path.name for path in key_path().parent.iterdir()] == ["key"]


def test_others_runs_are_not(tmp_path, someone):
    someone("stranger")
    root = RunFolder.create(tmp_path / "runs", {}, env="hopper").root
    someone("me")
    assert not made_here(root), "there is no key yet"
    mine = RunFolder.create(tmp_path / "runs", {}, env="hopper").root
    assert not made_here(root)
    shutil.copy(mine / ORIGIN, root / ORIGIN)
    assert not made_here(root), "a mark of another run"


@pytest.mark.parametrize("change", [lambda text: text + " ", lambda text: text.replace("hopper", "hoppe/")])
def test_a_changed_run_is_nobodys(tmp_path, someone, change):
    file = RunFolder.create(tmp_path, {}, env="hopper").root / "run.json"
    file.write_text(change(file.read_text()))
    assert not made_here(file.parent)


@pytest.mark.parametrize("mark", [b"", b"\xff\xfe", b"x" * 5000, None])
def test_marks_that_are_none(tmp_path, someone, mark):
    root = RunFolder.create(tmp_path, {}, env="hopper").root
    (root / ORIGIN).unlink()
    if mark is not None:
        (root / ORIGIN).write_bytes(mark)
    assert not made_here(root)


def test_without_a_place_for_the_key_runs_are_made_all_the_same(tmp_path, someone, caplog):
    (tmp_path / "me").write_text("a file where the folder would be")
    root = RunFolder.create(tmp_path / "runs", {}, env="hopper").root
    assert not (root / ORIGIN).exists()
    assert not made_here(root)
    assert "--trust" in caplog.text


def test_two_first_runs_at_once_agree_on_one_key(someone):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: origin_of(b"x"), range(32)))) == 1


def test_relative_state_folders_are_ignored(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    assert key_path() == Path.home() / ".local" / "state" / "rewardsmith" / "key"
