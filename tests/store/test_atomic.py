"""Whole files or no files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewardsmith.errors import RunError
from rewardsmith.store.atomic import read_json, write_bytes, write_json, write_text


def test_write_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("data", [b"", b"\x00", b"x" * 1_000_000])
def test_bytes_survive(tmp_path, data):
    write_bytes(tmp_path / "f", data)
    assert (tmp_path / "f").read_bytes() == data


def test_lone_surrogates_do_not_stop_a_write(tmp_path):
    write_text(tmp_path / "f", "a\ud800b")
    assert (tmp_path / "f").read_text() == "a?b"


@pytest.mark.parametrize("value", [None, [], {"a": 1.5, "b": [True, None, "ü"]}, 3])
def test_json_round_trip(tmp_path, value):
    write_json(tmp_path / "f.json", value)
    assert read_json(tmp_path / "f.json") == value


def test_json_keeps_nan_and_infinity(tmp_path):
    write_json(tmp_path / "f.json", [float("nan"), float("inf")])
    nan, inf = read_json(tmp_path / "f.json")
    assert nan != nan and inf == float("inf")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "f.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"f\.json is damaged") as caught:
        read_json(path)
    assert caught.value.hint


def test_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match=r"cannot read .*gone\.json"):
        read_json(tmp_path / "gone.json")


@pytest.mark.parametrize("fails", ["fsync", "write"])
def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch, fails):
    path = tmp_path / "f"
    write_text(path, "old")

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    if fails == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RunError, match="the disk is full") as caught:
        write_text(path, "new")
    assert str(path) in caught.value.message
    assert "space" in caught.value.hint
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_real_write_that_stops_half_way_leaves_the_old_file(tmp_path):
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from rewardsmith.store.atomic import write_bytes; from rewardsmith.errors import RunError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = Path(sys.argv[1]); write_bytes(path, b'old')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: write_bytes(path, b'x' * 1_000_000)\n"
        "except RunError as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "f")], capture_output=True, text=True, check=True)
    assert "the disk is full" in done.stdout
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_missing_folder_is_an_error_with_a_fix(tmp_path):
    with pytest.raises(RunError, match="cannot write") as caught:
        write_text(tmp_path / "no" / "f", "x")
    assert caught.value.hint
