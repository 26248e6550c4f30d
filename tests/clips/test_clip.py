"""Files of clips: what is written is read, and what others may have written is refused."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle

import numpy as np
import pytest
import safetensors.numpy

from rewardsmith.clips import Clip, load_clip, record_clip, save_clip
from rewardsmith.clips import clip as clip_module
from rewardsmith.clips.clip import FORMAT
from rewardsmith.errors import RunError
from rewardsmith.store import RunFolder
from rewardsmith.train.tensorfile import read_tensors, write_tensors
from tests.clips.players import Effort
from tests.helpers.tiny_world import PointEnvironment
from tests.train.test_evaluate import linear_policy


@pytest.fixture(scope="module")
def clip() -> Clip:
    return record_clip(PointEnvironment(), linear_policy(-3.0), seed=2**64 - 1, program=Effort())


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "runs", {}, env="tiny").candidate("r1-0")


def test_what_is_written_is_read(clip, folder) -> None:
    path = save_clip(folder, clip)
    assert path == folder.clip_path(clip.seed) and folder.clip_seeds() == [2**64 - 1]
    read = load_clip(path, root=folder.run_root)
    for field in dataclasses.fields(Clip):
        wanted, found = getattr(clip, field.name), getattr(read, field.name)
        if isinstance(wanted, np.ndarray):
            wanted, found = {"": wanted}, {"": found}
        if isinstance(wanted, dict):
            assert wanted.keys() == found.keys()
            for name, value in wanted.items():
                assert value.dtype == found[name].dtype and np.array_equal(value, found[name])
        else:
            assert wanted == found
    once = path.read_bytes()
    assert save_clip(folder, clip).read_bytes() == once


def test_times_are_for_people(clip) -> None:
    assert clip.time_at(3) == "0.30 s"
    assert dataclasses.replace(clip, dt=None).time_at(3) == "step 3"


def rewritten(path, change) -> None:
    """The file with other content, its checksum right."""
    arrays, metadata = read_tensors(path, format=FORMAT)
    change(arrays, metadata)
    write_tensors(path, arrays, metadata)


def put(key, value):
    return lambda arrays, metadata: arrays.__setitem__(key, value)


def told(old, new):
    def change(arrays, metadata):
        assert old in metadata["about"]
        metadata["about"] = metadata["about"].replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arrays, metadata: arrays.pop("shown"), "shown"),
        (lambda arrays, metadata: arrays.pop("action"), "action"),
        (lambda arrays, metadata: arrays.pop("total"), "components"),
        (lambda arrays, metadata: metadata.pop("about"), "about"),
        (put("action", np.zeros((3, 1), np.float64)), "actions"),
        (put("action", np.zeros((0, 1), np.float32)), "actions"),
        (put("action", np.zeros((3, 1, 1), np.float32)), "actions"),
        (put("shown", np.array([0, 10**12])), "frames"),
        (put("shown", np.arange(3.0)), "frames"),
        (put("shown", np.zeros((0,), np.int64)), "frames"),
        (put("total", np.zeros(2, np.float32)), "total"),
        (put("component.<script>", np.zeros(2, np.float32)), "<script>"),
        (put("component.\x1b[31m", np.zeros(2, np.float32)), r"x1b\[31m"),
        (put("component.effort", np.zeros(2, np.float32)), "effort"),
        (put("feature.position", np.zeros(2, np.float32)), "position"),
        (put("state.state", np.zeros(2, np.float32)), "state"),
        (put("else", np.zeros(2)), "that no clip has: 'else'"),
        (told('"fps":10.0', '"fps":0.0'), "fps"),
        (told('"fps":10.0', '"fps":"fast"'), "fps"),
        (told('"dt":0.1', '"dt":-1'), "dt"),
        (told('"env":"tiny"', '"env":""'), "env"),
        (told("terminated", "exploded"), "ended"),
        (told("{", '{"more":1,'), "more"),
        (told("{", "["), "JSON"),
    ],
)
def test_files_of_another_make_are_refused(clip, folder, change, said) -> None:
    path = save_clip(folder, clip)
    rewritten(path, change)
    with pytest.raises(RunError, match=said) as caught:
        load_clip(path, root=folder.run_root)
    assert "not a readable clip" in str(caught.value) and "record the clip again" in caught.value.hint
    assert str(caught.value).isprintable() or "\x1b" not in str(caught.value)


def test_damaged_and_foreign_files_are_refused(clip, folder, monkeypatch) -> None:
    path = save_clip(folder, clip)
    whole = path.read_bytes()
    npz = io.BytesIO()
    np.savez(npz, action=np.zeros(3))
    no_metadata = safetensors.numpy.save({"action": np.zeros(3)}, {"rewardsmith": '"text"'})
    damaged = (b"", b"\0", whole[:-1], whole[:100], whole[:-8] + bytes(8), pickle.dumps([1]), npz.getvalue())
    for data in (*damaged, no_metadata):
        path.write_bytes(data)
        with pytest.raises(RunError, match="not a readable clip"):
            load_clip(path, root=folder.run_root)
    path.write_bytes(whole)
    monkeypatch.setattr(clip_module, "MAX_BYTES", len(whole) - 1)
    with pytest.raises(RunError, match="at most"):
        load_clip(path, root=folder.run_root)


def test_nothing_outside_of_the_run_is_read_or_written(clip, folder, tmp_path) -> None:
    path = save_clip(folder, clip)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path.rename(elsewhere / path.name)
    path.symlink_to(elsewhere / path.name)
    with pytest.raises(RunError, match="leads out of the run"):
        load_clip(path, root=folder.run_root)
    path.unlink()
    with pytest.raises(RunError, match="no such file"):
        load_clip(path, root=folder.run_root)
    os.mkfifo(path)
    with pytest.raises(RunError, match="not a regular file"):
        load_clip(path, root=folder.run_root)
    path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(elsewhere)
    with pytest.raises(RunError, match="leads out of the run"):
        save_clip(folder, clip)
    assert [file.name for file in elsewhere.iterdir()] == [path.name]
