from __future__ import annotations

import logging
import socket
import time
from types import SimpleNamespace

import pytest

from rewardsmith.errors import EXIT_MODEL, ModelServerError, UsageError
from rewardsmith.llm import Completion, Message, OpenAIModel, RetryPolicy, complete_many
from rewardsmith.llm.openai_model import public_url
from tests.helpers.model_server import Fault, ModelServer

KEY = "sk-very-secret-0123456789"
ASK = [Message(role="system", content="be brief"), Message(role="user", content="hello")]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "REWARDSMITH_MODEL"):
        monkeypatch.delenv(name, raising=False)


class Waits(list):
    """A fake `sleep` that remembers."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def ask(server: ModelServer, *, sleep=None, sample=0, timeout_s=10.0, **options):
    model = OpenAIModel(
        "tiny", base_url=server.url, api_key=KEY, sleep=Waits() if sleep is None else sleep, timeout_s=timeout_s
    )
    return model.complete(ASK, step="round-1/propose", sample=sample, **options)


def test_a_reply_with_its_usage():
    with ModelServer(["hi there"]) as server:
        reply = ask(server, temperature=0.5, max_tokens=99)
    assert (reply.text, reply.finish, reply.model) == ("hi there", "stop", "tiny-1")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.estimated) == (11, 7, False)
    sent = server.requests[0]
    assert sent["messages"] == [m.model_dump() for m in ASK]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("tiny", 0.5, 99)


def test_unset_options_are_not_sent():
    with ModelServer(["hi"]) as server:
        ask(server)
    assert set(server.requests[0]) == {"model", "messages"}


def test_schema_seed_and_logprobs_are_sent():
    with ModelServer(["{}"]) as server:
        model = OpenAIModel("tiny", base_url=server.url, seed=5)
        model.complete(ASK, step="s", sample=2, schema={"type": "object"}, logprobs=3)
    sent = server.requests[0]
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (sent["seed"], sent["logprobs"], sent["top_logprobs"]) == (7, True, 3)


@pytest.mark.parametrize(
    ("script", "waits"),
    [
        ([Fault("rate_limit", retry_after=7), "ok"], [7.0]),
        ([Fault("rate_limit"), "ok"], [1.0]),
        ([Fault("server_error"), Fault("server_error"), "ok"], [1.0, 2.0]),
        ([Fault("overloaded", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), "ok"], [0.0]),
        ([Fault("truncated_body"), "ok"], [1.0]),
        ([Fault("truncated_json"), "ok"], [1.0]),
        ([Fault("hang_up"), "ok"], [1.0]),
    ],
)
def test_passing_faults_are_waited_out(script, waits):
    slept = Waits()
    with ModelServer(script) as server:
        assert ask(server, sleep=slept).text == "ok"
    assert slept == waits
    assert len(server.requests) == len(script)


def test_a_problem_is_told_once_until_it_changes(caplog):
    faults = [Fault("server_error"), Fault("server_error"), Fault("hang_up")]
    with ModelServer([*faults, "ok"]) as server:
        ask(server, sleep=Waits())
    told = [r.getMessage() for r in caplog.records if r.name.startswith("rewardsmith") and r.levelno >= logging.WARNING]
    assert len(told) == 2
    assert "HTTP 500" in told[0]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("bad_request", "HTTP 400"),
        ("unauthorized", "HTTP 401"),
        ("forbidden", "HTTP 403"),
        ("not_found", "HTTP 404"),
        ("html", "not JSON"),
        ("not_a_completion", "not a chat completion"),
    ],
)
def test_lasting_faults_are_not_repeated(kind, word):
    slept = Waits()
    with ModelServer([Fault(kind)]) as server:
        with pytest.raises(ModelServerError, match=word) as caught:
            ask(server, sleep=slept)
        assert server.url in caught.value.message
    assert (len(server.requests), slept) == (1, [])
    assert caught.value.hint
    assert caught.value.exit_code == EXIT_MODEL


def test_the_key_appears_nowhere(caplog):
    caplog.set_level(logging.DEBUG, logger="rewardsmith")
    with ModelServer([Fault("server_error"), Fault("unauthorized")]) as server:
        model = OpenAIModel("tiny", base_url=server.url + "?token=abcdef", api_key=KEY, sleep=Waits())
        with pytest.raises(ModelServerError, match="HTTP 401") as caught:
            model.complete(ASK, step="s", sample=0)
        assert KEY in server.headers[1]["authorization"]
        assert server.paths[1] == "/v1/chat/completions?token=abcdef"
    told = str(caught.value) + caplog.text
    assert "[key]" in told
    for secret in (KEY, "abcdef"):
        assert secret not in told
    assert caught.value.__cause__ is None


def test_giving_up_says_how_often_it_tried():
    slept = Waits()
    with ModelServer([Fault("server_error")]) as server, pytest.raises(ModelServerError, match="after 5 attempts"):
        ask(server, sleep=slept)
    assert slept == [1.0, 2.0, 4.0, 8.0]


def test_a_server_that_asks_for_an_hour_is_given_up_on():
    slept = Waits()
    server = ModelServer([Fault("rate_limit", retry_after=3600)])
    with server, pytest.raises(ModelServerError, match="HTTP 429") as caught:
        ask(server, sleep=slept)
    assert slept == []
    assert "3600" in caught.value.hint


@pytest.mark.parametrize("kind", ["slow_drip", "silence"])
def test_a_stalling_server_cannot_outlast_the_timeout(kind):
    start = time.monotonic()
    with ModelServer([Fault(kind, delay_s=0.1 if kind == "slow_drip" else 20.0)]) as server:
        model = OpenAIModel("tiny", base_url=server.url, timeout_s=0.4, retry=RetryPolicy(attempts=1), sleep=Waits())
        with pytest.raises(ModelServerError, match=r"within 0\.4 s"):
            model.complete(ASK, step="s", sample=0)
    assert time.monotonic() - start < 8


def test_a_refused_connection_names_the_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    slept = Waits()
    model = OpenAIModel("tiny", base_url=f"http://127.0.0.1:{port}/v1", sleep=slept)
    with pytest.raises(ModelServerError, match=f"127.0.0.1:{port}") as caught:
        model.complete(ASK, step="s", sample=0)
    assert len(slept) == 4
    assert "--base-url" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "text", "finish"),
    [
        ("empty_content", "", "stop"),
        ("null_content", "", "stop"),
        ("no_choices", "", "no_choice"),
        ("many_choices", "half a reply", "stop"),
        ("cut_off", "half a reply", "length"),
    ],
)
def test_poor_replies_are_replies(kind, text, finish):
    with ModelServer([Fault(kind)]) as server:
        reply = ask(server)
    assert (reply.text, reply.finish) == (text, finish)
    assert reply.truncated == (finish == "length")


def body(**more: str) -> bytes:
    """A completion whose fields are written as they are, JSON or not."""
    parts = {"choices": '[{"message": {"content": "hi"}, "finish_reason": "stop"}]'} | more
    return ("{" + ", ".join(f'"{key}": {value}' for key, value in parts.items()) + "}").encode()


NESTED = "[" * 100_000


@pytest.mark.parametrize(
    "raw", [NESTED.encode(), b'{"choices": ' + NESTED.encode(), b'{"choices": []}' + b"}" * 9, b""]
)
def test_a_body_that_is_no_json_is_a_server_error(raw):
    with ModelServer([raw]) as server, pytest.raises(ModelServerError, match=r"nested too deeply|not JSON|broke off"):
        ask(server)


def test_an_error_message_may_nest_too():
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    error = SimpleNamespace(body={"error": nested}, status_code=400, message="")
    assert "nested" in OpenAIModel("tiny", base_url="http://127.0.0.1:1/v1")._status_problem(error)


@pytest.mark.parametrize(
    "more",
    [
        {"usage": '{"prompt_tokens": 1e999, "completion_tokens": NaN}'},
        {"usage": '{"prompt_tokens": -5, "completion_tokens": ' + "9" * 4000 + "}"},
        {"usage": '{"prompt_tokens": "7", "completion_tokens": [7]}'},
    ],
)
def test_impossible_counts_of_tokens_count_nothing(more):
    with ModelServer([body(**more)]) as server:
        usage = ask(server).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (0, 0)


@pytest.mark.parametrize(
    "content",
    [
        "[7]",
        "[{}]",
        '[{"token": "a"}]',
        '[{"token": "a", "logprob": "x"}]',
        '[{"token": 1, "logprob": 0}]',
        '[{"token": "a", "logprob": NaN}]',
        '[{"token": "a", "logprob": 0, "top_logprobs": [3]}]',
        '[{"token": "a", "logprob": 0, "top_logprobs": 3}]',
    ],
)
def test_logprobs_that_cannot_be_read_are_left_out(content):
    choice = '[{"message": {"content": "hi"}, "finish_reason": ["stop"], "logprobs": {"content": ' + content + "}}]"
    with ModelServer([body(choices=choice, model=NESTED[:400] + "]" * 400)]) as server:
        reply = ask(server)
    assert (reply.text, reply.finish, reply.model, reply.logprobs) == ("hi", "stop", "tiny", None)


def test_halves_of_surrogates_can_be_written_afterwards():
    choice = (
        r'[{"message": {"content": "a\ud83d b"}, "finish_reason": "\udc00", "logprobs": {"content":'
        r' [{"token": "\ud800", "logprob": -1, "top_logprobs": [{"token": "\udfff", "logprob": -2}]}]}}]'
    )
    with ModelServer([body(choices=choice, model=r'"m\ud800"')]) as server:
        reply = ask(server, logprobs=1)
    assert (reply.text, reply.finish, reply.model) == ("a? b", "?", "m?")
    assert Completion.model_validate_json(reply.model_dump_json()) == reply


def test_missing_usage_is_estimated_and_says_so():
    with ModelServer([Fault("no_usage", text="x" * 40)]) as server:
        usage = ask(server).usage
    assert usage.estimated
    assert usage.completion_tokens == 10
    assert usage.prompt_tokens > 0


def test_settings_from_the_environment(monkeypatch):
    with ModelServer(["hi"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        OpenAIModel("tiny").complete(ASK, step="s", sample=0)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_no_key_and_no_server_is_a_usage_error():
    with pytest.raises(UsageError, match="no API key"):
        OpenAIModel("gpt-x")


@pytest.mark.parametrize("url", ["ftp://host/v1", "127.0.0.1:8080", "http://", "http://host:notaport/v1"])
def test_bad_base_urls_are_usage_errors(url):
    with pytest.raises(UsageError, match="base URL"):
        OpenAIModel("tiny", base_url=url)


def test_public_url_hides_secrets():
    assert public_url("https://me:pw@host:8443/v1?key=s#f") == "https://host:8443/v1"
    assert public_url("http://[::1]:80/v1") == "http://[::1]:80/v1"


def test_many_samples_keep_their_numbers():
    with ModelServer([lambda request: request["messages"][0]["content"].upper()]) as server:
        model = OpenAIModel("tiny", base_url=server.url, concurrency=3)
        prompts = {i: [Message(role="user", content=f"sample {i}")] for i in range(7)}
        replies = complete_many(model, prompts, step="s")
    assert {i: c.text for i, c in replies.items()} == {i: f"SAMPLE {i}" for i in range(7)}
    assert list(replies) == list(range(7))


def test_many_samples_stop_at_a_failure():
    with ModelServer([Fault("unauthorized")]) as server:
        model = OpenAIModel("tiny", base_url=server.url, concurrency=2)
        prompts = dict.fromkeys(range(20), ASK)
        with pytest.raises(ModelServerError):
            complete_many(model, prompts, step="s")
    assert len(server.requests) < 20


def test_no_samples_need_no_server():
    assert complete_many(OpenAIModel("tiny", base_url="http://127.0.0.1:1/v1"), {}, step="s") == {}
