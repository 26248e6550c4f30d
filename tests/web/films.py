"""Films for tests: tiny ones that move, each candidate's in a colour of its own."""

from __future__ import annotations

import colorsys
import threading
from pathlib import Path

import numpy as np

from rewardsmith.analyze.video import encode_mp4
from rewardsmith.store import write_bytes


class TestFilms:
    """A ball that crosses the picture, faster for some candidates than for others; some stop early."""

    __test__ = False  # not a test, whatever its name says

    def __init__(self, folder: Path, *, count: int = 2, size: int = 96, seconds: float = 1.0) -> None:
        self._folder, self._count, self._size, self._seconds = folder, count, size, seconds
        self._lock = threading.Lock()
        self.made: list[tuple[str, int]] = []

    def seeds(self, candidate: str) -> list[int]:
        return [7 + n for n in range(self._count)]

    def film(self, candidate: str, seed: int) -> Path:
        path = self._folder / f"{candidate}-{seed}.mp4"
        with self._lock:
            if not path.exists():
                write_bytes(path, self._draw(candidate, seed))
                self.made.append((candidate, seed))
        return path

    def _draw(self, candidate: str, seed: int) -> bytes:
        number = int("".join(c for c in candidate if c.isdecimal()) or 0)
        size, frames = self._size, int(25 * self._seconds) - (8 if number % 4 == 3 else 0)
        colour = np.array(colorsys.hsv_to_rgb((number * 0.17) % 1, 0.65, 0.95)) * 255
        y, x = np.mgrid[:size, :size] / size
        film = []
        for t in range(frames):
            picture = np.full((size, size, 3), 38, dtype=np.uint8)
            picture[y > 0.82] = (70, 66, 60)
            at = (0.1 + (0.5 + 0.15 * (number % 4)) * t / 25 + 0.03 * (seed % 5)) % 1.0
            height = 0.7 - 0.3 * abs(np.sin(t * (0.12 + 0.05 * number)))
            picture[(x - at) ** 2 + (y - height) ** 2 < 0.008] = colour.astype(np.uint8)
            film.append(picture)
        return encode_mp4(film)
