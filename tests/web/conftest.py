"""A run with candidates to compare, its films, and a client that speaks to a served page as a browser does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rewardsmith.prefer.votes import Question, VoteBook
from rewardsmith.store import RunFolder
from rewardsmith.web import Background, serve_in_background
from tests.web.films import TestFilms

ITEMS = tuple(f"round-1-{n}" for n in range(4))
QUESTION = Question(id="round-1", items=ITEMS, words="Does it hop?")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", {}, env="Hopper-v5")


@pytest.fixture(scope="session")
def film_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.fixture
def films(film_folder: Path) -> TestFilms:
    return TestFilms(film_folder)


def put(run: RunFolder, *questions: Question) -> None:
    with VoteBook(run.root / "votes.sqlite", create=True) as book:
        for question in questions:
            book.ask(question)


def votes(run: RunFolder) -> list:
    with VoteBook(run.root / "votes.sqlite", read_only=True) as book:
        return book.votes()


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One rater's browser, without the browser."""

    def __init__(self, port: int) -> None:
        self.port, self.cookie = port, ""

    def call(
        self,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str | None] | None = None,
        raw: bytes | None = None,
        timeout: float = 30,
    ) -> Answered:
        """A GET, or with a body a POST as the page sends it; `headers` replace those, None takes one away."""
        sent: dict[str, str | None] = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie or None}
        if body is not None or raw is not None:
            sent |= {"Origin": f"http://127.0.0.1:{self.port}", "Content-Type": "application/json"}
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            final = {name: value for name, value in (sent | (headers or {})).items() if value is not None}
            connection.request("GET" if data is None else "POST", path, data, final)
            answer = connection.getresponse()
            return Answered(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def enter(self, link: str) -> Answered:
        answer = self.call("/api/enter", {"token": link.split("#")[1]})
        self.cookie = answer.headers.get("set-cookie", self.cookie).split(";")[0]
        return answer

    def next(self) -> Any:
        answer = self.call("/api/next")
        assert answer.status == 200, answer.body
        return answer.json

    def vote(self, handle: str, id: str, order=((0,), (1,)), form: str = "best_worst", comment: str = "") -> Answered:
        return self.call("/api/vote", {"id": id, "asked": handle, "form": form, "order": order, "comment": comment})


def vote_id(number: int) -> str:
    return f"{number:016x}"


Serve = Callable[..., Background]


@pytest.fixture
def serve(run: RunFolder, films: TestFilms) -> Iterator[Serve]:
    """Serves the run's page; what is still served when the test ends is closed."""
    with ExitStack() as stack:

        def start(**options) -> Background:
            served = serve_in_background(run, options.pop("films", films), **options)
            stack.callback(served.close)
            return served

        yield start


@pytest.fixture
def enter() -> Callable[..., Client]:
    def as_rater(served: Background, name: str = "ann") -> Client:
        client = Client(served.site.port)
        assert client.enter(served.site.link(name)).status == 200
        return client

    return as_rater
