"""Any OpenAI-compatible endpoint, through the `openai` SDK with its retries turned off and ours in their place."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from rewardsmith.errors import ModelServerError, UsageError
from rewardsmith.llm.messages import (
    LARGEST_REPLY_BYTES,
    Completion,
    Message,
    TokenLogprob,
    Usage,
    estimate_usage,
    without_surrogates,
)
from rewardsmith.llm.retry import RetryPolicy, is_retried_status, retry_after_s

log = logging.getLogger(__name__)

DEFAULT_BASE_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 15.0
MOST_TOKENS = 10**12  # a server that reports more of them is not believed
SHOWN_CHARACTERS = 300  # of a server's own error message


class _Unusable(Exception):
    """The server answered with something that is not a chat completion; asking again may help (`again`) or not."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again


class OpenAIModel:
    """A chat model behind HTTP. Safe to call from several threads.

    Args:
        model: the name the server knows the model by.
        base_url: the server; default `OPENAI_BASE_URL`, else OpenAI's own.
        api_key: default `OPENAI_API_KEY`; servers given by URL may need none.
        timeout_s: wall time for one attempt, from the first byte sent to the last received (slow drips included).
        seed: sent along, mixed with the sample number, so that local servers repeat themselves; None sends nothing.
        concurrency: how many requests a designer may have in flight.
        sleep, clock: injected by tests.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 600.0,
        retry: RetryPolicy | None = None,
        seed: int | None = None,
        concurrency: int = 4,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        given = base_url or os.environ.get("OPENAI_BASE_URL") or ""
        self.name = model
        self.base_url = given or DEFAULT_BASE_URL
        self.concurrency = concurrency
        self.where = public_url(self.base_url)
        self._told = ""
        self._key = api_key or os.environ.get("OPENAI_API_KEY") or ""
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._seed = seed
        self._sleep, self._clock = sleep, clock
        if not self._key and not given:
            raise UsageError(
                f"no API key for the model {model!r} at {self.where}",
                hint="set OPENAI_API_KEY, name a local server with --base-url, or use --llm desk or --llm builtin",
            )
        self._client = self._open_client()

    def _open_client(self) -> Any:
        import openai  # here, because it costs a second and most commands never ask a model

        parts = urlsplit(self.base_url)  # the SDK appends paths to the URL's end, so a query has to travel apart
        return openai.OpenAI(
            api_key=self._key or "none-needed",
            base_url=urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
            default_query=dict(parse_qsl(parts.query)),
            timeout=openai.Timeout(self._timeout_s, connect=min(CONNECT_TIMEOUT_S, self._timeout_s)),
            max_retries=0,
        )

    def complete(
        self,
        messages: Sequence[Message],
        *,
        step: str,
        sample: int,
        schema: Mapping[str, object] | None = None,
        logprobs: int = 0,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> Completion:
        """One reply; empty text and `finish="length"` are replies too. Raises: ModelServerError: there is none."""
        request: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
        }
        if schema is not None:
            form = {"name": "reply", "schema": dict(schema), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        if logprobs > 0:
            request |= {"logprobs": True, "top_logprobs": logprobs}
        if temperature is not None:
            request["temperature"] = temperature
        if max_tokens is not None:  # OpenAI's newer models refuse the old name, most other servers know only that
            own = urlsplit(self.base_url).hostname == "api.openai.com"
            request["max_completion_tokens" if own else "max_tokens"] = max_tokens
        if self._seed is not None:
            request["seed"] = (self._seed + sample) % 2**31
        body = self._send_patiently(request, f"{step}, sample {sample}")
        return self._completion(body, messages)

    # --- sending ---------------------------------------------------------------------------------------------------

    def _send_patiently(self, request: dict[str, Any], what: str) -> dict[str, Any]:
        """Sends until an answer comes, the policy gives up, or the error is one that repeating cannot mend."""
        import openai

        failures = 0
        while True:
            asked = None
            try:
                return self._send(request)
            except openai.APIStatusError as e:
                problem, again = self._status_problem(e), is_retried_status(e.status_code)
                status, asked = e.status_code, retry_after_s(e.response.headers)
            except openai.APITimeoutError:
                problem, again, status = f"no answer within {self._timeout_s:g} s", True, None
            except openai.APIConnectionError as e:
                problem, again, status = f"cannot connect ({_root_cause(e)})", True, None
            except _Unusable as e:
                problem, again, status = str(e), e.again, None
            except openai.APIError as e:
                problem, again, status = str(e), False, None
            failures += 1
            problem = self._redact(problem)
            wait_s = self._retry.wait_s(failures, asked) if again else None
            if wait_s is None:
                tries = f" after {failures} attempts" if failures > 1 else ""
                raise ModelServerError(
                    f"the model server at {self.where} failed{tries} on {what}: {problem}",
                    hint=self._fix(status, asked),
                ) from None
            level = logging.DEBUG if problem == self._told else logging.WARNING  # not once for every request in flight
            self._told = problem
            log.log(level, "model server at %s: %s; asking again in %.3g s (%s)", self.where, problem, wait_s, what)
            self._sleep(wait_s)

    def _send(self, request: dict[str, Any]) -> dict[str, Any]:
        """One attempt. The body is read in chunks so that a server dripping bytes cannot outlast `timeout_s`."""
        import httpx2

        deadline = self._clock() + self._timeout_s
        body = bytearray()
        try:
            with self._client.chat.completions.with_streaming_response.create(**request) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if self._clock() > deadline:
                        raise _Unusable(f"the answer was not complete within {self._timeout_s:g} s", again=True)
                    if len(body) > LARGEST_REPLY_BYTES:
                        raise _Unusable(f"the answer is over {LARGEST_REPLY_BYTES:,} bytes", again=False)
        except httpx2.TimeoutException:
            raise _Unusable(f"the answer was not complete within {self._timeout_s:g} s", again=True) from None
        except httpx2.HTTPError as e:  # the SDK wraps what happens before the body, not inside it
            raise _Unusable(f"the answer broke off ({type(e).__name__}: {e})", again=True) from None
        try:
            answer = json.loads(bytes(body))
        except RecursionError:
            raise _Unusable("the answer is nested too deeply to be a chat completion", again=False) from None
        except ValueError:
            cut = bytes(body).lstrip().startswith(b"{")
            shown = bytes(body[:80]).decode(errors="replace")
            problem = "the answer broke off inside its JSON" if cut else f"the answer is not JSON: {shown!r}"
            raise _Unusable(problem, again=cut) from None
        if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
            raise _Unusable(
                f"the answer is not a chat completion: {bytes(body[:120]).decode(errors='replace')}", again=False
            )
        return answer

    # --- reading ---------------------------------------------------------------------------------------------------

    def _completion(self, body: dict[str, Any], messages: Sequence[Message]) -> Completion:
        """The first choice as a record. A reply without a choice is an empty reply: the model's failure, not ours."""
        choices = body["choices"]
        if len(choices) != 1:
            log.warning("model server at %s sent %d choices where 1 was asked for", self.where, len(choices))
        choice = choices[0] if choices and isinstance(choices[0], dict) else {}
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        text = _text_of(message.get("content"))
        if not text and isinstance(message.get("refusal"), str):
            text = message["refusal"]
        usage = body.get("usage")
        return Completion(
            text=text,
            finish=_word(choice.get("finish_reason")) or ("stop" if choice else "no_choice"),
            usage=_usage(usage) if isinstance(usage, dict) else estimate_usage(messages, text),
            model=_word(body.get("model")) or self.name,
            logprobs=_logprobs(choice.get("logprobs")),
        )

    def _status_problem(self, error: Any) -> str:
        detail = error.body
        if isinstance(detail, dict):
            detail = detail.get("message") or detail.get("error") or detail
        try:
            told = without_surrogates(str(detail or error.message))
        except RecursionError:
            told = "an error nested too deeply to be shown"
        shown = " ".join(told.split())[:SHOWN_CHARACTERS]
        return f"HTTP {error.status_code}: {shown}"

    def _redact(self, text: str) -> str:
        """`text`, which may quote the server, without the key and without the secrets of the URL."""
        parts = urlsplit(self.base_url)
        secrets = [self._key, parts.password, *(value for _, value in parse_qsl(parts.query))]
        for secret in filter(None, secrets):
            text = text.replace(secret, "[key]")
        return text

    def _fix(self, status: int | None, asked: float | None) -> str:
        match status:
            case 401 | 403:
                return "check the API key (OPENAI_API_KEY or --api-key-file) and that it may use this model"
            case 404:
                return f"check the model name {self.name!r} and the base URL (it usually ends with /v1)"
            case 429 if asked:
                return f"the server asks to wait {asked:g} s; `rewardsmith resume` later, or lower the request rate"
            case 429:
                return "the quota or rate limit is used up; wait and `rewardsmith resume`, or use another model"
            case s if s is not None and s >= 500:
                return "the server has a problem of its own; `rewardsmith resume` continues once it is back"
            case None:
                return (
                    f"check that the server runs and that --base-url {self.where} is right, then `rewardsmith resume`"
                )
            case _:
                return "the server refused this request as it is; check the model name and its options"


def public_url(url: str) -> str:
    """`url` without user name, password, query and fragment: fit for logs. Raises: UsageError: not an http(s) URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(
            "the model server's base URL is not an http(s) URL", hint="for example http://127.0.0.1:8080/v1"
        )
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path, "", ""))


def _text_of(content: object) -> str:
    """Text of a message's content: a string, or a list of typed parts of which the text ones count."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    return ""


def _word(value: object) -> str:
    return value[:SHOWN_CHARACTERS] if isinstance(value, str) else ""


def _usage(raw: dict[str, Any]) -> Usage:
    def count(name: str) -> int:
        value = raw.get(name)
        return int(value) if isinstance(value, int | float) and 0 <= value <= MOST_TOKENS else 0

    return Usage(prompt_tokens=count("prompt_tokens"), completion_tokens=count("completion_tokens"))


def _logprobs(raw: object) -> tuple[TokenLogprob, ...] | None:
    """What the server says of its tokens; None where it says nothing, or nothing that can be read."""
    content = raw.get("content") if isinstance(raw, dict) else None
    if not isinstance(content, list):
        return None
    try:
        return tuple(
            TokenLogprob(
                token=item["token"],
                logprob=item["logprob"],
                top={t["token"]: t["logprob"] for t in item.get("top_logprobs") or []},
            )
            for item in content
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def _root_cause(error: BaseException) -> str:
    """The innermost exception, where the useful words are ("Connection refused")."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
