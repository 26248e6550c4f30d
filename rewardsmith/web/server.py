"""Serves the page of one run on this machine: in front until Ctrl-C, or in a thread while something else goes on."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from rewardsmith.errors import MissingExtra, RunError, UsageError
from rewardsmith.prefer.votes import VoteBook
from rewardsmith.store import Journal, RunFolder
from rewardsmith.web.films import Films
from rewardsmith.web.links import Links

if TYPE_CHECKING:
    import uvicorn

    from rewardsmith.web.progress import Stage

LOOPBACK = "127.0.0.1"
END_S = 3.0  # for requests that are under way when the server ends

log = logging.getLogger(__name__)


class _Closable(Protocol):
    def close(self) -> None: ...


Closed = TypeVar("Closed", bound=_Closable)


class Site:
    """A run's page, with its address taken: requests wait until it is served. A context manager.

    Args:
        compare: candidates to compare as long as raters like (see `poll.Poll`).
        task: what the agent should do, in words; `words`: what raters look for, in the place of what questions say.
        port: 0 takes a free one.
        public_url: where a tunnel makes it visible; links then name that.

    Raises: MissingExtra: starlette and uvicorn. UsageError: the port is taken, or `public_url` is no address.
        RunError: the votes are damaged, or the folder cannot be written.
    """

    def __init__(
        self,
        folder: RunFolder,
        films: Films,
        *,
        compare: Sequence[str] = (),
        at_a_time: int = 4,
        task: str = "",
        words: str = "",
        port: int = 0,
        public_url: str = "",
    ) -> None:
        try:
            import starlette  # noqa: F401
            import uvicorn
        except ModuleNotFoundError:
            raise MissingExtra("what the page is served with (starlette, uvicorn)", "web") from None
        from rewardsmith.web.app import Entrance, make_app
        from rewardsmith.web.poll import Poll

        public = [origin_of(public_url)] if public_url else []
        self._closing: list[Callable[[], None]] = []
        try:
            self._socket = self._own(_listen(port))
            self.port = self._socket.getsockname()[1]
            origins = [origin_of(f"http://{host}:{self.port}") for host in ("localhost", LOOPBACK)] + public
            self.url = origins[-1]
            self.links = self._own(Links(folder.root))
            self.poll = Poll(
                self._own(VoteBook(folder.votes_path, create=True)),
                films,
                self.links,
                compare=compare,
                at_a_time=at_a_time,
                words=words,
            )
            self.poll.book.votes()  # what is damaged shows now
            app = make_app(
                self.poll,
                self.links,
                films,
                stage=_stages(folder, self._own(folder.journal(read_only=True))),
                entrance=Entrance(folder.id, task),
                origins=origins,
            )
        except BaseException:
            self.close()
            raise
        self.server: uvicorn.Server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=int(END_S),
            )
        )

    def _own(self, thing: Closed) -> Closed:
        self._closing.append(thing.close)
        return thing

    def link(self, rater: str) -> str:
        """A link by which a rater enters, once. Raises: UsageError: that is no name."""
        return f"{self.url}/#{self.links.make(rater)}"

    def run(self) -> None:
        """Serve until Ctrl-C or `stop`. Raises: KeyboardInterrupt."""
        self.server.run(sockets=[self._socket])

    def stop(self) -> None:
        self.server.should_exit = True

    def close(self) -> None:
        while self._closing:
            self._closing.pop()()

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Background:
    """A site that is served by a thread. `link` lets the first rater in; `site.link(name)` makes further ones."""

    def __init__(self, site: Site, rater: str) -> None:
        self.site, self.link = site, site.link(rater)
        self._thread = threading.Thread(target=site.run, name="rewardsmith-web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let requests that are under way come to their end, and stop."""
        self.site.stop()
        self._thread.join(END_S + 2)
        self.site.close()


def serve_in_background(folder: RunFolder, films: Films, *, rater: str = "me", **options) -> Background:
    """Show a run's page while this process does other things. `options` and errors: see `Site`."""
    site = Site(folder, films, **options)
    try:
        return Background(site, rater)
    except BaseException:
        site.close()
        raise


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, as browsers name it: without the port that is usual for the scheme.

    Raises: UsageError: it has other parts, or lacks these.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        parts, valid = urlsplit(""), False
    if not valid or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(f"{url} is no address of a server", hint="such as https://votes.example.org, without a path")
    usual = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(usual)}"


def _listen(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((LOOPBACK, port))
        sock.listen(256)
    except (OSError, OverflowError) as error:
        sock.close()
        raise UsageError(
            f"port {port} cannot be used: {getattr(error, 'strerror', None) or error}",
            hint="leave --port out to take a free one, or name another",
        ) from None
    return sock


def _stages(folder: RunFolder, journal: Journal) -> Callable[[], Stage]:
    from rewardsmith.web.progress import Stage, stage

    def look() -> Stage:
        try:
            return stage(folder, journal)
        except RunError as error:
            log.warning("%s", error.message)
            return Stage("How far the run is cannot be read")

    return look
