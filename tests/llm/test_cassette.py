from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rewardsmith.errors import ModelServerError, RunError, UsageError
from rewardsmith.llm import (
    Completion,
    DeskModel,
    Message,
    OpenAIModel,
    Prices,
    RecordingModel,
    ReplayModel,
    Usage,
    default_spec,
    open_model,
)
from rewardsmith.llm.cassette import read_cassette

ASK = [Message(role="user", content="hello")]


class Echo:
    name = "echo"
    concurrency = 4

    def complete(self, messages, *, step, sample, **_):
        if sample == 13:
            raise ModelServerError("unlucky")
        return Completion(text=f"{step} {sample} ☃ \x00", usage=Usage(prompt_tokens=3))


@pytest.fixture
def tape(tmp_path):
    path = tmp_path / "deep" / "tape.jsonl"
    model = RecordingModel(Echo(), path)
    for sample in range(3):
        model.complete(ASK, step="round-1/propose", sample=sample)
    return path


def test_replay_returns_what_was_recorded(tape):
    replay = ReplayModel(tape, strict=True)
    recorded = Echo().complete(ASK, step="round-1/propose", sample=2)
    assert replay.complete(ASK, step="round-1/propose", sample=2) == recorded


def test_failures_are_not_recorded(tape):
    before = tape.read_bytes()
    with pytest.raises(ModelServerError):
        RecordingModel(Echo(), tape).complete(ASK, step="s", sample=13)
    assert tape.read_bytes() == before


def test_many_threads_write_whole_lines(tmp_path):
    model = RecordingModel(Echo(), tmp_path / "tape.jsonl")
    assert model.concurrency == 4
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: model.complete(ASK, step="s", sample=100 + i), range(40)))
    replay = ReplayModel(tmp_path / "tape.jsonl")
    assert all(replay.complete(ASK, step="s", sample=100 + i).text for i in range(40))


def test_drift_warns_and_strict_refuses(tape, caplog):
    drifted = [Message(role="user", content="hello!")]
    replay = ReplayModel(tape)
    assert all(replay.complete(drifted, step="round-1/propose", sample=i).text for i in range(3))
    assert caplog.text.count("differs") == 1
    with pytest.raises(ModelServerError, match="differs"):
        ReplayModel(tape, strict=True).complete(drifted, step="round-1/propose", sample=0)


@pytest.mark.parametrize(("step", "word"), [("round-1/propose", "samples \\[0, 1, 2\\]"), ("goal", "round-1/propose")])
def test_a_missing_take_says_what_there_is(tape, step, word):
    with pytest.raises(ModelServerError, match=word):
        ReplayModel(tape).complete(ASK, step=step, sample=9)


def test_a_torn_last_line_is_dropped_and_mended(tape, caplog):
    with tape.open("a") as file:
        file.write('{"step": "round-2/pro')
    with pytest.raises(ModelServerError):
        ReplayModel(tape).complete(ASK, step="round-2/propose", sample=0)
    assert "incomplete" in caplog.text
    RecordingModel(Echo(), tape).complete(ASK, step="round-2/propose", sample=0)
    assert ReplayModel(tape).complete(ASK, step="round-2/propose", sample=0).text.startswith("round-2")


def test_a_damaged_line_is_named(tape):
    lines = tape.read_text().splitlines()
    tape.write_text("\n".join([lines[0], "nonsense", lines[2]]) + "\n")
    with pytest.raises(UsageError, match="line 2"):
        ReplayModel(tape)


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b\u2029", "\x1c\x0b\x0c\r\n\r", "\ufeff", "half \ud83d of a pair"])
def test_any_reply_can_be_replayed(tmp_path, text):
    class Says:
        name = "says"

        def complete(self, messages, *, step, sample, **_):
            return Completion(text=text, model=text, finish=text)

    path = tmp_path / "tape.jsonl"
    model = RecordingModel(Says(), path)
    said = [model.complete(ASK, step=f"round-1/{text}".replace("\ud83d", ""), sample=i) for i in range(2)]
    takes = read_cassette(path)
    assert [take.completion for take in takes.values()] == said
    assert said[0].text == text.replace("\ud83d", "?")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        open_model(f"replay:{tmp_path / 'pipe'}")
    with pytest.raises(UsageError, match="not a regular file"):
        RecordingModel(Echo(), tmp_path / "pipe")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"{}\n{}\n", b"[" * 100_000 + b"\n{}", b"\0\n\n"])
def test_files_that_are_no_cassettes(tmp_path, data):
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        open_model(f"replay:{tmp_path / 't'}")
    assert caught.value.hint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said(tmp_path):
    model = RecordingModel(Echo(), tmp_path / "tape.jsonl")
    (tmp_path / "tape.jsonl").unlink()
    (tmp_path / "tape.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunError, match="disk is full"):
        model.complete(ASK, step="s", sample=0)


def test_an_empty_cassette_holds_nothing(tmp_path):
    (tmp_path / "t.jsonl").touch()
    with pytest.raises(ModelServerError, match="only nothing"):
        ReplayModel(tmp_path / "t.jsonl").complete(ASK, step="s", sample=0)


def test_open_model(tmp_path, tape, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert isinstance(open_model(f"desk:{tmp_path / 'd'}"), DeskModel)
    assert isinstance(open_model("desk", desk_folder=tmp_path / "e"), DeskModel)
    assert (tmp_path / "e").is_dir()
    assert isinstance(open_model(f"replay:{tape}"), ReplayModel)
    named = open_model("qwen2.5-coder:1.5b", base_url="http://127.0.0.1:1/v1")
    assert isinstance(named, OpenAIModel)
    assert named.name == "qwen2.5-coder:1.5b"
    recording = open_model("m", base_url="http://127.0.0.1:1/v1", record=tmp_path / "t.jsonl")
    assert isinstance(recording, RecordingModel)


@pytest.mark.parametrize("spec", ["", " ", "builtin", "replay:", "replay:/no/such/file", "gpt-x"])
def test_specs_that_cannot_work(spec, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(UsageError) as caught:
        open_model(spec)
    assert caught.value.hint


def test_default_spec(monkeypatch):
    monkeypatch.delenv("REWARDSMITH_MODEL", raising=False)
    assert default_spec() is None
    monkeypatch.setenv("REWARDSMITH_MODEL", "tiny")
    assert default_spec() == "tiny"


def test_prices_are_the_persons_own():
    assert Prices(prompt=2.0, completion=10.0).usd(Usage(prompt_tokens=500_000, completion_tokens=100_000)) == 2.0
