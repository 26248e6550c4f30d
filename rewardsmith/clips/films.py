"""`ClipFilms`: the films of a run's clips as files, drawn when first asked for and kept in the run's cache."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rewardsmith.analyze.video import VideoError
from rewardsmith.clips.drawing import SIZE
from rewardsmith.clips.painter import Order, Painter
from rewardsmith.engine.local import available_cores
from rewardsmith.errors import RunError, unknown
from rewardsmith.store import CandidateFolder, RunFolder, folder_inside, inside, read_inside
from rewardsmith.types import EnvSpec, content_id

LOOK = 1  # of films; raised when the same clip is drawn differently
FILM_TIMEOUT_S = 180.0
_CLOSED = "no films are drawn any more: whoever drew them was told to stop"


class FilmRequest(NamedTuple):
    """A film of the clip that a candidate has from a reset seed."""

    candidate: str
    seed: int
    overlay: bool = False


class ClipFilms:
    """Films of one run. A context manager; its methods may be called from several threads.

    Drawing happens in processes of its own, at most `workers` of them: contexts of OpenGL belong to one thread, and an
    environment or a driver that crashes or hangs takes nothing else along.
    """

    def __init__(
        self,
        folder: RunFolder,
        env: EnvSpec,
        *,
        size: int = SIZE,
        workers: int | None = None,
        timeout_s: float = FILM_TIMEOUT_S,
    ) -> None:
        """Args:
        env: the environment of the clips. Its code will run: of somebody else's run, ask whether it is trusted first.
        size: of a picture's longer side, in pixels.
        workers: default: as many as there are cores for this process.
        timeout_s: after which drawing one film counts as hung.
        """
        self._folder, self._env, self._size, self._timeout_s = folder, env, size, timeout_s
        self._threads = ThreadPoolExecutor(workers or available_cores(), thread_name_prefix="films")
        self._own = threading.local()  # each thread has a painter, which the system ends with that thread
        self._painters: list[Painter] = []
        self._begun: dict[Path, Future[Path]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> ClipFilms:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def seeds(self, candidate: str) -> list[int]:
        """Reset seeds of a candidate's clips, ascending; candidates that have one in common start it alike.

        Raises: RunError: there is no such candidate.
        """
        return self._candidate(candidate).clip_seeds()

    def film(self, candidate: str, seed: int, *, overlay: bool = False) -> Path:
        """The mp4 of a candidate's clip; drawn now if there is none, or if the clip has changed since.

        Threads that ask for the same film wait for one drawing. After a failure the next request tries again.

        Raises:
            RunError: there is no such candidate or clip, or it is damaged.
            EnvironmentFault: the environment cannot be drawn here, or ffmpeg is missing.
            VideoError: the process that drew it died, or needed too long.
        """
        try:
            return self._begin(FilmRequest(candidate, seed, overlay)).result()
        except CancelledError:
            raise VideoError(_CLOSED) from None

    def prepare(self, requests: Iterable[FilmRequest]) -> None:
        """Begin to draw films that will be asked for soon, several at once, and do not wait for them.

        Raises: RunError: as `film`; what fails in drawing is raised by `film`.
        """
        for request in requests:
            self._begin(request)

    def close(self) -> None:
        """End the processes. Who still waits for a film gets a `VideoError`."""
        with self._lock:
            self._closed = True
            painters = list(self._painters)
        self._threads.shutdown(wait=False, cancel_futures=True)
        for painter in painters:
            painter.close()
        self._threads.shutdown(wait=True)
        for painter in painters:
            painter.release()

    def _begin(self, request: FilmRequest) -> Future[Path]:
        clip = inside(self._folder.root, self._candidate(request.candidate).clip_path(request.seed))
        name = f"{request.seed}{'-overlay' if request.overlay else ''}"
        about = [
            LOOK,
            self._size,
            self._env.model_dump(),
            hashlib.sha256(read_inside(self._folder.root, clip)).hexdigest(),
        ]
        folder = folder_inside(self._folder.root, self._folder.cache_root / "clips" / request.candidate)
        target = folder / f"{name}.{content_id(about)}.mp4"
        with self._lock:
            if target in self._begun:
                return self._begun[target]
            if target.exists():
                done: Future[Path] = Future()
                done.set_result(inside(self._folder.root, target))
                return done
            if self._closed:
                raise VideoError(_CLOSED)
            order = Order(
                env=self._env,
                root=str(self._folder.root.resolve()),
                clip=str(clip.resolve()),
                target=str(target.resolve()),
                size=self._size,
                overlay=request.overlay,
            )
            begun = self._begun[target] = self._threads.submit(self._draw, order, target, name)
        return begun

    def _candidate(self, candidate: str) -> CandidateFolder:
        known = self._folder.candidate_ids()
        if candidate not in known:
            raise RunError(unknown("candidate", candidate, known))
        return self._folder.candidate(candidate)

    def _draw(self, order: Order, target: Path, name: str) -> Path:
        """In a thread of the pool."""
        try:
            self._painter().draw(order, timeout_s=self._timeout_s)
            for old in target.parent.glob(f"{name}.*.mp4"):  # of the clip that was there before
                if old != target:
                    old.unlink(missing_ok=True)
            return target
        finally:
            with self._lock:
                del self._begun[target]

    def _painter(self) -> Painter:
        if not hasattr(self._own, "painter"):
            with self._lock:
                if self._closed:
                    raise VideoError(_CLOSED)
                self._own.painter = Painter()
                self._painters.append(self._own.painter)
        return self._own.painter
