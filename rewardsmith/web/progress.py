"""What a run is doing, for people who wait: read from its journal and files, without holding anything."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from rewardsmith.store import Journal, RunFolder

TAIL_BYTES = 4096  # more than a line of a metrics file
T = TypeVar("T")


class Stage(NamedTuple):
    """Where a run is. `text` is for people, and names no candidate; `share` is of the training at hand, 0 to 1."""

    text: str
    share: float | None = None
    finished: bool = False


def stage(folder: RunFolder, journal: Journal) -> Stage:
    """Raises: RunError: the journal is damaged."""
    if journal.get("finished") is not None:
        return Stage("The run is finished", finished=True)
    keys = set(journal.keys("round-")) | set(journal.keys("final/"))
    rounds = [int(found[1]) for key in keys if (found := re.fullmatch(r"round-([0-9]{1,9})/proposals", key))]
    final = folder.root / "jobs" / "final"
    if final.is_dir() and "final/training" not in keys:
        return Stage("Training the best reward with fresh seeds", _share(folder.root, final))
    if not rounds:
        return Stage("Round 1: rewards are being designed")
    now = max(rounds)
    if f"round-{now}/training" in keys:
        if f"round-{now}/judgement" in keys:
            return Stage(f"Round {now} is judged")
        waits = folder.info.config.get("feedback") == "human"
        return Stage(f"Round {now} waits for votes" if waits else f"Round {now} is trained")
    jobs = folder.root / "jobs" / f"round-{now}"
    if not jobs.is_dir():
        return Stage(f"Round {now}: rewards are being checked")
    return Stage(f"Round {now} trains", _share(folder.root, jobs))


def _share(root: Path, jobs: Path) -> float | None:
    """How far the members of the newest jobs have come, on average; None where the files do not say."""
    latest, members, budget = -1, [], 0.0
    for path in jobs.glob("*.json"):
        until = path.name.split("-")[0]
        if path.name.endswith(".result.json") or not until.isdecimal() or int(until) < latest:
            continue
        try:
            job = json.loads(path.read_bytes())["job"]
            found, budget = [(str(c), int(seed)) for c, seed in job["members"]], float(job["ppo"]["env_steps"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        members = found + (members if int(until) == latest else [])
        latest = int(until)
    if not members or budget <= 0:
        return None
    done = [_steps(root / "candidates" / candidate / "seeds" / str(seed)) for candidate, seed in members]
    return min(1.0, sum(done) / len(done) / budget)


def _steps(member: Path) -> float:
    """Env steps at the last point of a metrics file, which may be being written."""
    try:
        with (member / "metrics.jsonl").open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - TAIL_BYTES))
            whole = stream.read().rsplit(b"\n", 1)[0]
        return float(json.loads(whole.rsplit(b"\n", 1)[-1])["env_steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


class Fresh(Generic[T]):
    """A value that is made anew when somebody wants it and it is older than `age_s`, however many want it."""

    def __init__(self, make: Callable[[], T], age_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._age_s, self._clock = make, age_s, clock
        self._kept: tuple[float, T] | None = None
        self._making = threading.Lock()

    def get(self) -> T:
        """While one thread makes a new value, others get the old one."""
        kept = self._kept
        if kept is not None and (self._clock() - kept[0] <= self._age_s or self._making.locked()):
            return kept[1]
        with self._making:
            if self._kept is kept:
                self._kept = self._clock(), self._make()
            assert self._kept is not None
            return self._kept[1]
