"""Files of a run folder that somebody else may have made: nothing outside of it is read, and nothing is waited for."""

from __future__ import annotations

import os

import pytest

from rewardsmith.errors import RunError
from rewardsmith.store import read_inside, read_text_inside


def test_files_of_the_folder_are_read(tmp_path):
    run = tmp_path / "run"
    (run / "a").mkdir(parents=True)
    (run / "a" / "f").write_text("é", encoding="utf-8")
    (run / "link").symlink_to("a/f")
    (tmp_path / "elsewhere").symlink_to(run)  # the folder itself may be a link
    assert read_text_inside(run, run / "a" / "f") == read_text_inside(run, run / "link") == "é"
    assert read_inside(tmp_path / "elsewhere", tmp_path / "elsewhere" / "link") == "é".encode()


def outside(run):
    (run.parent / "secret").write_text("secret")
    (run / "f").symlink_to(run.parent / "secret")


def outside_folder(run):
    (run.parent / "other").mkdir()
    (run.parent / "other" / "f").write_text("secret")
    (run / "f").symlink_to(run.parent / "other" / "f")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (outside, "leads out"),
        (outside_folder, "leads out"),
        (lambda run: os.mkfifo(run / "f"), "not a regular file"),
        (lambda run: (run / "f").mkdir(), "not a regular file"),
        (lambda run: (run / "f").symlink_to("/dev/zero"), "leads out"),
        (lambda run: (run / "f").symlink_to("f"), "cannot read"),
        (lambda run: None, "no such file"),
        (lambda run: (run / "f").write_bytes(b"x" * 11), "larger than 10 bytes"),
    ],
)
@pytest.mark.timeout(20)
def test_anything_else_is_an_error_at_once(tmp_path, make, said):
    run = tmp_path / "run"
    run.mkdir()
    make(run)
    with pytest.raises(RunError, match=said) as caught:
        read_inside(run, run / "f", max_bytes=10)
    assert caught.value.hint


def test_names_that_climb_out_or_cannot_be(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "f").write_text("x")
    with pytest.raises(RunError, match="leads out"):
        read_inside(run, run / ".." / "f")
    with pytest.raises(RunError, match="cannot read"):
        read_inside(run, run / "a\0b")


def test_text_has_to_be_utf8(tmp_path):
    (tmp_path / "f").write_bytes(b"ab\xff")
    with pytest.raises(RunError, match=r"not UTF-8 text \(byte 2\)"):
        read_text_inside(tmp_path, tmp_path / "f")
