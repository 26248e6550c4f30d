"""Committed before returned, whatever happens to the process."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.errors import RunError
from rewardsmith.store import journal as journal_module
from rewardsmith.store.journal import MIGRATIONS, Journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


def test_once_makes_once(path):
    calls = []

    def make():
        calls.append(1)
        return {"text": "reply", "n": (1, 2)}

    with Journal(path, create=True) as journal:
        first = journal.once("reply/a", make)
        assert journal.once("reply/a", make) == first == {"text": "reply", "n": [1, 2]}
    with Journal(path) as journal:
        assert journal.once("reply/a", make) == first
    assert calls == [1]


def test_once_is_committed_before_it_returns(path):
    with Journal(path, create=True) as journal:
        journal.once("a", lambda: 1)
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT payload FROM records").fetchall() == [("1",)]


def test_once_records_nothing_when_making_fails(path):
    with Journal(path, create=True) as journal:
        with pytest.raises(ZeroDivisionError):
            journal.once("a", lambda: 1 // 0)
        assert journal.get("a") is None
        assert journal.once("a", lambda: None) is None
        assert journal.keys() == ["a"]  # None is a payload like any other


def test_once_from_many_threads_makes_once(path):
    calls, results = [], []

    def make():
        calls.append(1)
        time.sleep(0.05)
        return len(calls)

    with Journal(path, create=True) as journal:
        threads = [threading.Thread(target=lambda: results.append(journal.once("k", make))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert calls == [1]
    assert results == [1] * 8


def test_put_never_rewrites(path):
    with Journal(path, create=True) as journal:
        journal.put("a", float("nan"))
        journal.put("a", float("nan"))
        with pytest.raises(RunError, match="another record for 'a'"):
            journal.put("a", 2)
        with pytest.raises(ValueError, match="empty"):
            journal.put("", 1)
        with pytest.raises(TypeError, match="not JSON"):
            journal.put("b", object())
        assert journal.keys() == ["a"]


def test_keys_and_kinds_in_order_of_commit(path):
    with Journal(path, create=True) as journal:
        for key in ["reply/2", "reply/1", "replyish/1", "verdict/1", "reply"]:
            journal.put(key, key)
        assert journal.keys("reply/") == ["reply/2", "reply/1"]
        assert journal.keys() == ["reply/2", "reply/1", "replyish/1", "verdict/1", "reply"]
        assert [r.key for r in journal.records("reply")] == ["reply/2", "reply/1", "reply"]
        assert journal.records("none") == []
        assert journal.get("gone", 7) == 7


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(min_size=1), json_values, max_size=5))
def test_anything_json_comes_back(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("j") / "journal.sqlite"
    with Journal(path, create=True) as journal:
        for key, value in records.items():
            journal.put(key, value)
    with Journal(path) as journal:
        keys = journal.keys()
        assert {key: journal.get(key) for key in keys} == json.loads(json.dumps(records))


def test_reader_beside_writer(path):
    with Journal(path, create=True) as writer, Journal(path, read_only=True) as reader:
        for n in range(20):
            writer.put(f"a/{n}", n)
            assert reader.get(f"a/{n}") == n
        with pytest.raises(RunError, match="cannot open or write"):
            reader.put("b", 1)


@pytest.mark.parametrize("damage", ["garbage", "truncated", "middle", "emptied"])
def test_damage_is_an_error_with_a_fix(path, damage):
    with Journal(path, create=True) as journal:
        for n in range(200):
            journal.put(f"a/{n}", "x" * 500)
    data = path.read_bytes()
    match damage:
        case "garbage":
            path.write_bytes(b"not a database, not at all" * 100)
        case "truncated":
            path.write_bytes(data[: len(data) // 2])
        case "middle":
            path.write_bytes(data[:5000] + b"\xff" * 20_000 + data[25_000:])
        case "emptied":
            path.write_bytes(b"")
    with pytest.raises(RunError, match="is damaged") as caught, Journal(path) as journal:
        journal.records("a")
    assert str(path) in caught.value.message
    assert "restore" in caught.value.hint


def test_missing_journal(path):
    with pytest.raises(RunError, match="there is no journal"):
        Journal(path)


def test_newer_schema_is_refused(path):
    Journal(path, create=True).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(RunError, match="newer rewardsmith"):
        Journal(path)


def test_old_journals_are_migrated(path, monkeypatch):
    with Journal(path, create=True) as journal:
        journal.put("a", 1)
    added = [*MIGRATIONS, lambda db: db.execute("ALTER TABLE records ADD COLUMN note TEXT NOT NULL DEFAULT ''")]
    monkeypatch.setattr(journal_module, "MIGRATIONS", added)
    for _ in range(2):
        with Journal(path) as journal:
            assert journal.get("a") == 1
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(added)


def test_a_failed_migration_changes_nothing(path, monkeypatch):
    Journal(path, create=True).close()

    def broken(db):
        db.execute("CREATE TABLE half (x)")
        raise ZeroDivisionError

    monkeypatch.setattr(journal_module, "MIGRATIONS", [*MIGRATIONS, broken])
    with pytest.raises(ZeroDivisionError):
        Journal(path)
    monkeypatch.undo()
    with Journal(path) as journal:
        journal.put("a", 1)
    with sqlite3.connect(path) as db:
        assert [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")] == ["records"]


@pytest.mark.parametrize(("local", "mode"), [(True, "wal"), (False, "delete")])
def test_journal_mode_follows_the_file_system(path, monkeypatch, local, mode):
    monkeypatch.setattr(journal_module, "is_local", lambda _path: local)
    with Journal(path, create=True) as journal:
        journal.put("a", 1)
        with sqlite3.connect(path) as other:
            assert other.execute("PRAGMA journal_mode").fetchone()[0] == mode


def test_locked_by_another_process_is_named(path, monkeypatch):
    monkeypatch.setattr(journal_module, "BUSY_TIMEOUT_S", 0.1)
    with Journal(path, create=True) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunError, match="locked by another process"):
            journal.put("a", 1)
        other.close()
        journal.put("a", 1)


def test_full_disk_is_named(path):
    with Journal(path, create=True) as journal:
        journal.put("a", 1)
        journal._db.execute("PRAGMA max_page_count = 4")  # what sqlite reports when a write finds no space
        with pytest.raises(RunError, match="the disk is full") as caught:
            journal.put("b", "x" * 100_000)
        assert "space" in caught.value.hint
        assert journal.keys() == ["a"]


WRITER = """
import sys
from pathlib import Path
from rewardsmith.store.journal import Journal
with Journal(Path(sys.argv[1]), create=True) as journal:
    n = len(journal.keys())
    while True:
        journal.once(f"a/{n}", lambda: {"n": n, "pad": "x" * (n % 7 * 1000)})
        sys.stdout.write(f"{n}\\n"); sys.stdout.flush()
        n += 1
"""


@pytest.mark.parametrize("local", [True, False])
def test_kill_at_random_moments_loses_no_committed_record(path, local):
    rng = random.Random(0)
    code = WRITER if local else "from rewardsmith.store import journal as j; j.is_local = lambda p: False\n" + WRITER
    seen = -1
    for _ in range(12):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        seen = int(child.stdout.readline())  # it is writing now
        time.sleep(rng.uniform(0, 0.08))
        child.kill()
        acknowledged = child.stdout.read().split("\n")
        child.stdout.close()
        child.wait()
        seen = max([seen, *(int(line) for line in acknowledged[:-1])])
        with Journal(path) as journal:
            keys = journal.keys()
            assert keys == [f"a/{n}" for n in range(len(keys))]
            assert len(keys) > seen
            assert journal.get(f"a/{seen}") == {"n": seen, "pad": "x" * (seen % 7 * 1000)}
    assert seen > 12
