"""`rewardsmith prefer`: served in front, as a packet, and its errors."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rewardsmith.cli import main
from rewardsmith.loop import driver
from rewardsmith.loop.goal import accept_any_goal
from rewardsmith.loop.summary import load_run
from rewardsmith.prefer.votes import VoteBook
from rewardsmith.store import RunFolder, find_run
from tests.loop.runs import ENV, TINY_TRAINING, tiny_config
from tests.loop.test_strangers import finished_run
from tests.web.browser import CHROMIUM, Browser
from tests.web.conftest import Client, vote_id
from tests.web.films import TestFilms

LONG_S = 180.0  # for what trains or draws
ASKED = "!document.querySelector('#ask').hidden"
READY = f"{ASKED} && document.querySelectorAll('.clip video').length && !document.querySelector('.clip.loading')"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with one finished run of two candidates."""
    runs = tmp_path_factory.mktemp("runs")
    config = tiny_config()
    folder = driver.start(config, runs)
    driver.drive(folder, config, observe=lambda event: None, approve_goal=accept_any_goal)
    return runs


@pytest.fixture
def prefer(runs: Path, tmp_path: Path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """The verb in this process, with films that cost nothing."""
    (tmp_path / "films").mkdir()
    films = TestFilms(tmp_path / "films")
    monkeypatch.setattr("rewardsmith.web.recorded.ClipFilms", lambda folder, env: _NoClips())
    monkeypatch.setattr("rewardsmith.web.recorded.RecordedFilms.film", lambda self, *clip: films.film(*clip))

    def call(*arguments: str, run: str = "latest", folder: Path = runs) -> tuple[int, str, str]:
        command = ["rewardsmith", "prefer", run, "--runs", str(folder), *arguments]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:  # anything else would be a traceback
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


class _NoClips:
    def seeds(self, candidate: str) -> list[int]:
        return []

    def close(self) -> None:
        pass


def test_a_packet_goes_out_and_its_votes_come_back(prefer, tmp_path) -> None:
    page = tmp_path / "packet.html"
    code, _, told = prefer("--packet", str(page), "--rater", "ann", "--look-for", "Is it quick?")
    assert code == 0 and "--import votes.json" in told
    found = re.search(r'id="packet">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    packet = json.loads(found[1])
    assert packet["rater"] == "ann" and packet["sets"][0]["words"] == "Is it quick?"
    vote = {"id": vote_id(1), "asked": packet["sets"][0]["handle"], "form": "best_worst", "order": [[0], [1]]}
    file = tmp_path / "votes.json"
    file.write_text(json.dumps({"packet": packet["id"], "rater": "ann", "votes": [vote | {"comment": ""}]}))
    code, out, told = prefer("--import", str(file), "--json")
    assert code == 0 and "1 new vote of 1" in told
    shown = json.loads(out)
    assert shown["votes"] == 1 and shown["raters"] == {"ann": 1} and len(shown["ranking"]) == 2
    assert shown["ranking"][0]["utility"] > shown["ranking"][1]["utility"]
    code, out, told = prefer("--import", str(file), "--json")
    assert code == 0 and "0 new votes of 1" in told and json.loads(out)["votes"] == 1
    code, out, _ = prefer("--standing")
    assert code == 0 and "By 1 vote of 1 rater" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--packet", "out.pdf"], "written as .html"),
        (["--packet", "out.html", "--rater", "a", "--rater", "b"], "for one rater"),
        (["--import", "nowhere.json"], "cannot read nowhere.json"),
        (["--import", __file__], "is not JSON"),
        (["--rater", "x" * 41], "no name of a rater"),
        (["--public-url", "votes.example.org"], "no address of a server"),
    ],
)
def test_what_cannot_work_is_said(prefer, arguments: list[str], said: str) -> None:
    code, _, told = prefer(*arguments)
    assert code == 2 and said in told and "Fix:" in told


def test_a_run_without_trained_candidates(prefer, tmp_path) -> None:
    root = finished_run(tmp_path / "runs", tiny_config())
    code, _, told = prefer(run=root.name, folder=root.parent)
    assert code == 2 and "there is nothing to compare" in told and "rewardsmith resume" in told


def test_the_run_of_a_stranger_needs_consent(prefer, tmp_path) -> None:
    root = finished_run(tmp_path / "runs", tiny_config(env={"name": str(tmp_path)}))
    (root / "origin").unlink()
    code, _, told = prefer(run=root.name, folder=root.parent)
    assert code == 2 and "not made here by you" in told and "--trust" in told


def test_without_the_extra(prefer, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    code, _, told = prefer()
    assert code == 3 and "rewardsmith[web]" in told


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.timeout(600)
def test_a_design_waits_for_a_person_shows_its_page_and_goes_on_after_a_restart(tmp_path) -> None:
    """The whole way: design starts, asks, is interrupted, resumed, is answered, asks once more, ends."""
    settings = [f"{key}={value}" for key, value in TINY_TRAINING.items()]
    design = ["design", ENV, "--method", "icpl", "--candidates", "2", "--rounds", "2", "--final-seeds", "0"]
    design += ["--workers", "1", "--runs", str(tmp_path), "--no-videos"] + [
        part for one in settings for part in ("--set", one)
    ]
    with Browser() as browser:
        with running(*design) as (server, line_with):
            page = browser.page(line_with(r"http://\S+#\S+"))
            page.wait(READY, timeout_s=LONG_S)
            page.wait("document.querySelector('#stage').innerText.startsWith('Round 1')")
            page.key("a")
            server.send_signal(signal.SIGINT)  # before the vote is sent
            assert server.wait(60) == 130
        with running("resume", str(find_run("latest", tmp_path).root)) as (server, line_with):
            page = browser.page(line_with(r"http://\S+#\S+"))
            page.wait(READY, timeout_s=LONG_S)
            page.key("b")
            page.key("/")
            page.type("B gets up the hill")
            page.key("Escape")
            page.key("Enter")
            page.wait("!document.querySelector('#wait').hidden")
            page.wait("document.querySelector('#stage').innerText.startsWith('Round 2')", timeout_s=LONG_S)
            page.wait(READY, timeout_s=LONG_S)  # round 2 is asked about by itself
            assert page.run("document.querySelectorAll('.clip').length") == 3  # the best so far stands beside them
            page.key("c")
            page.key("a", shift=True)
            page.key("Enter")
            assert server.wait(LONG_S) == 0
    run = load_run("latest", runs=tmp_path)
    assert run.finished and run.best is not None
    with VoteBook(run.root / "votes.sqlite", read_only=True) as book:
        first, second = book.votes()
    assert first.ballot.comment == "B gets up the hill"
    assert first.ballot.order == tuple((clip,) for clip in reversed(first.ballot.shown))
    assert run.best == second.ballot.order[0][0]
    assert any("B gets up the hill" in told.text for told in run.feedbacks[1])  # the designer of round 2 read it


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Callable[[str], str]]]:
    """The command in a process of its own, and a function that waits until it tells something."""
    command = [sys.executable, "-m", "rewardsmith", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told = process.stderr

    def line_with(pattern: str) -> str:
        said = []
        for line in told:
            said.append(line)
            if found := re.search(pattern, line):
                threading.Thread(target=told.read, daemon=True).start()  # a full pipe would stop it
                return found[0]
        raise AssertionError("".join(said))

    try:
        yield process, line_with
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_served_with_real_clips_until_ctrl_c(runs: Path) -> None:
    folder: RunFolder = find_run("latest", runs)
    command = [sys.executable, "-m", "rewardsmith", "prefer", str(folder.root), "--rater", "ann", "--rater", "bob"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout and server.stderr
    try:
        links: list[str] = []
        while len(links) < 2:
            line = server.stderr.readline()
            assert line, "the server ended"
            links += re.findall(r"http://\S+#\S+", line)
        client = Client(int(re.findall(r":(\d+)/", links[0])[0]))
        assert client.enter(links[1]).json == {"rater": "bob"}
        asked = client.next()["asked"]
        assert asked["clips"] == 2 and asked["episodes"] == 3
        film = client.call(f"/film/{asked['handle']}/0/2", timeout=200)
        assert film.status == 200 and film.body[4:8] == b"ftyp"
        assert client.vote(asked["handle"], vote_id(7)).status == 200
        server.send_signal(signal.SIGINT)
        out, told = server.communicate(timeout=30)
    finally:
        server.kill()
    assert server.returncode == 130 and "Traceback" not in told
    assert "better than the next" in out
    with VoteBook(folder.root / "votes.sqlite", read_only=True) as book:
        assert vote_id(7) in {vote.id for vote in book.votes()}
