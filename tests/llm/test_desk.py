from __future__ import annotations

import json
import os

import pytest

from rewardsmith.errors import ModelServerError, UsageError
from rewardsmith.llm import DeskModel, Message, complete_many

ASK = [Message(role="system", content="be brief"), Message(role="user", content="hello")]
OTHER = [Message(role="user", content="something else")]


class Clock:
    """Fake time; `script` maps a poll number to something that happens then."""

    def __init__(self, script=None):
        self.now, self.polls, self.script = 0.0, 0, script or {}

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.polls += 1
        if self.polls in self.script:
            self.script[self.polls]()


def desk(folder, script=None, **options):
    clock = Clock(script)
    return DeskModel(folder, sleep=clock.sleep, clock=clock, **options), clock


def test_asks_and_waits_until_the_reply_is_stable(tmp_path, caplog):
    reply = tmp_path / "1.reply.md"
    script = {
        2: lambda: reply.write_text("  \n"),  # a blank file is no reply
        4: lambda: reply.write_text("half"),
        5: lambda: reply.write_text("half and whole"),
    }
    caplog.set_level("INFO", logger="rewardsmith")
    model, clock = desk(tmp_path, script)
    completion = model.complete(ASK, step="round-1/propose", sample=3)
    assert completion.text == "half and whole"
    assert completion.usage.estimated
    assert clock.polls == 6
    request = json.loads((tmp_path / "1.request.json").read_text())
    assert (request["step"], request["sample"], request["reply"]) == ("round-1/propose", 3, "1.reply.md")
    assert request["messages"] == [m.model_dump() for m in ASK]
    page = (tmp_path / "1.request.md").read_text()
    assert "hello" in page
    assert "be brief" in page
    assert str(tmp_path / "1.request.md") in caplog.text


def test_conversations_show_who_said_what(tmp_path):
    model, _ = desk(tmp_path, limit_s=1)
    talk = [*ASK, Message(role="assistant", content="hm"), Message(role="user", content="again")]
    model.announce(talk, step="s", sample=0)
    page = (tmp_path / "1.request.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("# ")] == [
        "# system",
        "# user",
        "# assistant",
        "# user",
    ]


def test_a_resumed_run_finds_its_replies_by_key(tmp_path):
    first, _ = desk(tmp_path)
    first.announce(ASK, step="s", sample=1)
    first.announce(ASK, step="s", sample=0)
    (tmp_path / "2.reply.md").write_text("for sample 0")
    again, _ = desk(tmp_path)
    assert again.complete(ASK, step="s", sample=0).text == "for sample 0"
    assert not (tmp_path / "3.request.json").exists()


def test_an_old_answer_to_another_prompt_is_not_used(tmp_path):
    model, _ = desk(tmp_path, limit_s=1)
    model.announce(ASK, step="s", sample=0)
    (tmp_path / "1.reply.md").write_text("old")
    with pytest.raises(ModelServerError, match=r"2\.request\.md"):
        model.complete(OTHER, step="s", sample=0)


def test_no_reply_within_the_limit(tmp_path):
    model, clock = desk(tmp_path, limit_s=30)
    with pytest.raises(ModelServerError, match="within 30 s") as caught:
        model.complete(ASK, step="s", sample=0)
    assert 30 <= clock.now <= 31
    assert "1.reply.md" in caught.value.hint


def test_strange_bytes_do_not_break_the_desk(tmp_path):
    (tmp_path / "1.request.json").write_text("{half")
    (tmp_path / "notes.request.json").write_text("{}")
    model, _ = desk(tmp_path)
    assert model.announce(ASK, step="s", sample=0) == 2
    (tmp_path / "2.reply.md").write_bytes(b"\xef\xbb\xbfok \xff")
    assert model.complete(ASK, step="s", sample=0).text == "ok �"


def test_what_is_not_a_file_is_not_waited_for(tmp_path, caplog):
    for pipe in ("1.request.json", "2.reply.md"):
        os.mkfifo(tmp_path / pipe)
    (tmp_path / "\u00b2.request.json").write_text("{}")  # a digit that is no number
    (tmp_path / "0.request.json").write_text("[" * 100_000)
    model, clock = desk(tmp_path, limit_s=30)
    with pytest.raises(ModelServerError, match="within 30 s"):
        model.complete(ASK, step="s", sample=0)
    assert clock.polls == 60
    assert caplog.text.count("not a regular file") == 1


def test_a_huge_reply_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("rewardsmith.llm.desk.LARGEST_REPLY_BYTES", 1000)
    model, _ = desk(tmp_path)
    (tmp_path / "1.reply.md").write_bytes(b"x" * 999 + "\u00e9".encode() * 9)
    assert model.complete(ASK, step="s", sample=0).text == "x" * 999 + "\ufffd"


def test_all_samples_are_on_the_desk_before_the_first_wait(tmp_path):
    def answer_all():
        assert len(list(tmp_path.glob("*.request.json"))) == 3
        for n in (1, 2, 3):
            (tmp_path / f"{n}.reply.md").write_text(f"reply {n}")

    model, _ = desk(tmp_path, {1: answer_all})
    replies = complete_many(model, dict.fromkeys(range(3), ASK), step="s")
    assert [c.text for c in replies.values()] == ["reply 1", "reply 2", "reply 3"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="desk folder"):
        DeskModel(tmp_path / "file" / "desk")
