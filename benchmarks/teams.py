"""Worker processes that train in turns with those of a peer, so that both rates share the machine's mood."""

from __future__ import annotations

import multiprocessing as mp
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

Work = Callable[[], int]  # does a part of the work and returns how many env steps that was
Prepare = Callable[..., Work]


class Turn(NamedTuple):
    """What a team did in one turn, summed over its workers."""

    rate: float  # env steps per second of wall time
    cpu_us: float  # microseconds of processor time per env step


class Team:
    """Workers that do the same kind of work at the same time. `prepare(**settings)` runs in the worker, once."""

    def __init__(self, prepare: Prepare, settings: Sequence[Mapping[str, Any]]) -> None:
        context = mp.get_context("spawn")
        self._workers, self._ends = [], []
        for setting in settings:
            ours, theirs = context.Pipe()
            worker = context.Process(target=_serve, args=(theirs, prepare, dict(setting)), daemon=True)
            worker.start()
            theirs.close()
            self._workers.append(worker)
            self._ends.append(ours)
        for end in self._ends:
            end.recv()

    def turn(self) -> Turn:
        """Every worker does one part of its work; returns when all are done."""
        for end in self._ends:
            end.send("go")
        parts = [end.recv() for end in self._ends]
        steps = sum(count for count, _, _ in parts)
        return Turn(sum(count / wall for count, wall, _ in parts), 1e6 * sum(cpu for *_, cpu in parts) / steps)

    def close(self) -> None:
        for end in self._ends:
            end.close()
        for worker in self._workers:
            worker.join()


def _serve(end: Connection, prepare: Prepare, setting: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(1)
    work = prepare(**setting)
    work()  # not counted: caches, allocators, the first episodes
    end.send("ready")
    while True:
        try:
            end.recv()
        except EOFError:
            return
        wall, cpu = time.perf_counter(), time.process_time()
        steps = work()
        end.send((steps, time.perf_counter() - wall, time.process_time() - cpu))


def in_turns(teams: Mapping[str, Team], repeats: int) -> dict[str, list[Turn]]:
    """Each team's turns, one after the other, `repeats` times; the order alternates."""
    turns: dict[str, list[Turn]] = {name: [] for name in teams}
    for i in range(repeats):
        for name in list(teams) if i % 2 == 0 else list(teams)[::-1]:
            turns[name].append(teams[name].turn())
    return turns


def median_ratio(ours: Sequence[Turn], theirs: Sequence[Turn]) -> float:
    """The median over repeats of ours against theirs: neighbours in time are compared."""
    return statistics.median(a.rate / b.rate for a, b in zip(ours, theirs, strict=True))


def median_rate(turns: Sequence[Turn]) -> float:
    return statistics.median(turn.rate for turn in turns)


def median_cpu_us(turns: Sequence[Turn]) -> float:
    return statistics.median(turn.cpu_us for turn in turns)
