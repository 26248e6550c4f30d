"""A small HTTP server on 127.0.0.1 that speaks the OpenAI chat completions protocol, well or badly.

    with ModelServer(["first reply", Fault("rate_limit", retry_after=2), "second reply"]) as server:
        model = OpenAIModel("tiny", base_url=server.url, api_key="k")

Each request takes the next item of the script; the last item repeats. An item is a reply text, a whole body (bytes), a
`Fault`, or a function of the request's JSON that returns one of them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, cast

FaultKind = Literal[
    "unauthorized",  # 401, echoing the key as real servers do
    "forbidden",  # 403
    "not_found",  # 404
    "bad_request",  # 400
    "rate_limit",  # 429, with Retry-After if given
    "server_error",  # 500
    "overloaded",  # 503
    "truncated_body",  # Content-Length promises more than comes
    "truncated_json",  # a complete HTTP answer whose JSON stops in the middle
    "slow_drip",  # one byte at a time, `delay_s` apart
    "silence",  # the answer never starts
    "hang_up",  # the connection is closed without an answer
    "html",  # 200 with a web page
    "not_a_completion",  # 200 with other JSON
    "no_choices",
    "many_choices",
    "empty_content",
    "null_content",
    "cut_off",  # finish_reason "length"
    "no_usage",
]
STATUS = {
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "bad_request": 400,
    "rate_limit": 429,
    "server_error": 500,
    "overloaded": 503,
}


@dataclass(frozen=True)
class Fault:
    kind: FaultKind
    retry_after: float | str | None = None
    delay_s: float = 0.05
    text: str = "half a reply"


Scripted = str | bytes | Fault
Script = Sequence[Scripted | Callable[[dict], Scripted]]


@dataclass
class ModelServer:
    script: Script
    requests: list[dict] = field(default_factory=list)  # JSON bodies, in order of arrival
    headers: list[dict[str, str]] = field(default_factory=list)  # names in lower case
    paths: list[str] = field(default_factory=list)

    def __enter__(self) -> ModelServer:
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.model_server = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def next_item(self, request: dict, headers: dict[str, str]) -> Scripted:
        with self._lock:
            item = self.script[min(len(self.requests), len(self.script) - 1)]
            self.requests.append(request)
            self.headers.append(headers)
        return item(request) if callable(item) else item

    def wait(self, seconds: float) -> bool:
        """Sleeps; true if the server is closing."""
        return self._closing.wait(seconds)


def completion(text: str | None, *, finish: str = "stop", choices: int = 1, usage: bool = True) -> dict:
    message = {"role": "assistant", "content": text}
    body: dict = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": "tiny-1",
        "choices": [{"index": i, "message": message, "finish_reason": finish} for i in range(choices)],
    }
    if usage:
        body["usage"] = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = cast(ModelServer, self.server.model_server)  # type: ignore[attr-defined]
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.split("?")[0].endswith("/chat/completions"):
            return self._json(404, {"error": {"message": f"no route {self.path}"}})
        server.paths.append(self.path)
        item = server.next_item(request, {k.lower(): v for k, v in self.headers.items()})
        if isinstance(item, str):
            return self._json(200, completion(item))
        if isinstance(item, bytes):
            return self._bytes(200, item)
        try:
            self._fail(server, item)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        return None

    def _fail(self, server: ModelServer, fault: Fault) -> None:
        match fault.kind:
            case "unauthorized":
                self._json(401, {"error": {"message": f"Incorrect API key: {self.headers['Authorization']}"}})
            case kind if kind in STATUS:
                self._json(STATUS[kind], {"error": {"message": f"scripted {kind}"}}, retry_after=fault.retry_after)
            case "truncated_body" | "slow_drip":
                data = json.dumps(completion("a whole reply")).encode()
                self._head(200, len(data))
                if fault.kind == "truncated_body":
                    self.wfile.write(data[: len(data) // 2])
                else:
                    for i in range(len(data)):
                        self.wfile.write(data[i : i + 1])
                        self.wfile.flush()
                        if server.wait(fault.delay_s):
                            break
                self.close_connection = True
            case "truncated_json":
                self._bytes(200, json.dumps(completion("a whole reply")).encode()[:60])
            case "silence":
                server.wait(fault.delay_s)
                self.close_connection = True
            case "hang_up":
                self.close_connection = True
            case "html":
                self._bytes(200, b"<html>Welcome to the proxy</html>", kind="text/html")
            case "not_a_completion":
                self._json(200, {"hello": "world"})
            case "no_choices":
                self._json(200, completion(None, choices=0))
            case "many_choices":
                self._json(200, completion(fault.text, choices=3))
            case "empty_content":
                self._json(200, completion(""))
            case "null_content":
                self._json(200, completion(None))
            case "cut_off":
                self._json(200, completion(fault.text, finish="length"))
            case "no_usage":
                self._json(200, completion(fault.text, usage=False))

    def _json(self, status: int, body: dict, *, retry_after: float | str | None = None) -> None:
        self._bytes(status, json.dumps(body).encode(), retry_after=retry_after)

    def _bytes(
        self, status: int, data: bytes, *, kind: str = "application/json", retry_after: float | str | None = None
    ) -> None:
        self._head(status, len(data), kind=kind, retry_after=retry_after)
        self.wfile.write(data)

    def _head(
        self, status: int, length: int, *, kind: str = "application/json", retry_after: float | str | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass
