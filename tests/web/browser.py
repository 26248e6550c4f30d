"""Drives Chromium without a window over the DevTools protocol: just enough to use a page as a person does."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_S = 20.0
SHIFT = 8
CODES = {" ": "Space", "Enter": "Enter", "=": "Equal", "/": "Slash", "Escape": "Escape", "Tab": "Tab"}


class Browser:
    """One Chromium with a profile of its own; a context manager."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self._profile = tempfile.TemporaryDirectory(prefix="rewardsmith-browser-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [
                CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio",
                "--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars",
                "--remote-debugging-port=0", f"--user-data-dir={self._profile.name}", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port_file = Path(self._profile.name) / "DevToolsActivePort"
        until(lambda: port_file.is_file() and port_file.read_text().count("\n") >= 1, "Chromium starts")
        self._port = int(port_file.read_text().split("\n")[0])

    def page(self, url: str = "about:blank", *, width: int = 1280, height: int = 800, **media: str) -> Page:
        """A page in a window of its own: no cookies of others."""
        with Socket(self._version()["webSocketDebuggerUrl"]) as root:
            context = root.call("Target.createBrowserContext")["browserContextId"]
            target = root.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        page = self._opened(target, width, height, media)
        page.context = context
        page.go(url)
        return page

    def tab(self, beside: Page, url: str) -> Page:
        """A further tab of a window: it has the same cookies."""
        with Socket(self._version()["webSocketDebuggerUrl"]) as root:
            target = root.call("Target.createTarget", url="about:blank", browserContextId=beside.context)["targetId"]
        page = self._opened(target, 1280, 800, {})
        page.context = beside.context
        page.go(url)
        return page

    def close(self, page: Page) -> None:
        """Close a window with all its tabs."""
        page.socket.close()
        with Socket(self._version()["webSocketDebuggerUrl"]) as root:
            root.call("Target.disposeBrowserContext", browserContextId=page.context)

    def _opened(self, target: str, width: int, height: int, media: dict[str, str]) -> Page:
        page = Page(Socket(f"ws://127.0.0.1:{self._port}/devtools/page/{target}"))
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.socket.call(f"{domain}.enable")
        page.size(width, height)
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        page.socket.call("Emulation.setEmulatedMedia", features=features)
        return page

    def _version(self) -> dict[str, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/json/version", timeout=WAIT_S) as answer:
            return json.load(answer)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(WAIT_S)
        self._profile.cleanup()


class Socket:
    """A DevTools connection: calls are answered in turn, events are kept."""

    def __init__(self, url: str) -> None:
        from websockets.sync.client import connect

        self._open = ExitStack()
        connecting = connect(url, max_size=None, compression=None, ping_interval=None)
        self._connection = self._open.enter_context(connecting)
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._connection.recv(timeout=WAIT_S))
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self.events.append(message)

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()


class Page:
    def __init__(self, socket: Socket) -> None:
        self.socket, self.context = socket, ""

    def go(self, url: str) -> None:
        self.socket.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def size(self, width: int, height: int) -> None:
        self.socket.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited."""
        found = self.socket.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str, *, timeout_s: float = WAIT_S) -> None:
        until(lambda: self.run(f"Boolean({script})"), script, timeout_s=timeout_s)

    def text(self, selector: str) -> str:
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def centre(self, selector: str, *, scroll: bool = True) -> tuple[float, float]:
        element = f"document.querySelector({json.dumps(selector)})"
        if scroll:
            self.run(f"{element}.scrollIntoView({{block: 'center'}})")
        found = self.run(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2, width])({element}.getBoundingClientRect())"
        )
        assert found[2] > 0, f"{selector} cannot be seen"
        return found[0], found[1]

    def click(self, selector: str, *, times: int = 1) -> None:
        """A real click where the element is; what lies over it would get it instead."""
        x, y = self.centre(selector)
        self._mouse("mouseMoved", x, y)
        for count in range(1, times + 1):
            self._mouse("mousePressed", x, y, count)
            self._mouse("mouseReleased", x, y, count)

    def drag(self, selector: str, target: str) -> None:
        x, y = self.centre(selector)
        to = self.centre(target, scroll=False)
        self._mouse("mousePressed", x, y)
        for part in (0.3, 0.6, 1.0):
            self._mouse("mouseMoved", x + part * (to[0] - x), y + part * (to[1] - y))
        self._mouse("mouseReleased", *to)

    def _mouse(self, kind: str, x: float, y: float, count: int = 1) -> None:
        self.socket.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=count)

    def touch_drag(self, selector: str, target: str) -> None:
        """The same with a finger."""
        x, y = self.centre(selector)
        to = self.centre(target, scroll=False)
        steps = [(x + part * (to[0] - x), y + part * (to[1] - y)) for part in (0.0, 0.3, 0.6, 1.0)]
        for number, (at_x, at_y) in enumerate(steps):
            kind = "touchMove" if number else "touchStart"
            self.socket.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": at_x, "y": at_y}])
        self.socket.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, key: str, *, shift: bool = False, code: str = "") -> None:
        code = (
            code
            or CODES.get(key)
            or (f"Digit{key}" if key.isdecimal() else f"Key{key.upper()}" if len(key) == 1 else key)
        )
        shown = key.upper() if shift and len(key) == 1 else key
        text = {"text": "\r"} if key == "Enter" else {"text": shown} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.socket.call(
                "Input.dispatchKeyEvent", type=kind, key=shown, code=code, modifiers=SHIFT if shift else 0,
                windowsVirtualKeyCode={"Enter": 13, "Tab": 9, " ": 32}.get(key, 0), **(text if kind == "keyDown" else {}),  # noqa: E501
            )  # fmt: skip

    def type(self, text: str) -> None:
        self.socket.call("Input.insertText", text=text)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        found = self.socket.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def faults(self) -> list[str]:
        """What the browser complained of so far: errors of scripts, refusals of the page's policy."""
        self.run("1")
        said = []
        for event in self.socket.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                said.append(str(params["exceptionDetails"]))
            elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
                said.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return said


def until(true, what: str, *, timeout_s: float = WAIT_S) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"it never came to pass: {what}"
        time.sleep(0.03)
