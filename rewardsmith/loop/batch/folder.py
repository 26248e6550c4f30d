"""The folder of an experiment: ordinary run folders, and beside them what became of each cell.

runs/eureka-vs-oneshot/
    plan.json           the cells of the file as it was last read
    cells/<id>.json     the cell's settings, its run, and how it ended
    cells/<id>.lock     held while a process works on the cell
    hopper-001/ ...     the runs
    table.html          the results
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from rewardsmith.errors import RunError, problems_in
from rewardsmith.loop.batch.cells import Cell, Plan
from rewardsmith.store import ID_PATTERN, read_json, write_json
from rewardsmith.store.atomic import write_error
from rewardsmith.types import Record

T = TypeVar("T", bound=Record)

CELL_FILE = re.compile(r"[0-9a-f]{12}\.json")


class CellState(Record):
    """What became of a cell: `open` is not begun or to be resumed; `reason` says why it failed."""

    cell: Cell
    run: str | None = Field(default=None, pattern=f"^{ID_PATTERN.pattern}$")
    state: Literal["open", "finished", "failed"] = "open"
    reason: str = ""
    hardware: tuple[str, ...] = ()  # every machine that worked on it


class ExperimentFolder:
    """An experiment on disk. A cell's state is written only by whoever holds its claim."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.page_path = root / "table.html"
        self._plan_path = root / "plan.json"
        self._cells = root / "cells"

    @classmethod
    def create(cls, runs: Path, plan: Plan) -> ExperimentFolder:
        """The folder of the experiment under `runs`, with this plan; what it held before stays.

        Raises: RunError: it cannot be written, or a run has that name.
        """
        folder = cls(runs / plan.name)
        if (folder.root / "run.json").exists():
            raise RunError(f"{folder.root} is a run", hint="give the experiment another name")
        try:
            folder._cells.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(folder._cells, error) from error
        write_json(folder._plan_path, plan.model_dump(mode="json"))
        return folder

    @classmethod
    def is_one(cls, path: Path) -> bool:
        return (path / "plan.json").is_file()

    def plan(self) -> Plan:
        """Raises: RunError: missing or damaged."""
        return _read(self._plan_path, Plan)

    def state(self, cell: Cell) -> CellState:
        """Raises: RunError: damaged."""
        path = self._cells / f"{cell.id}.json"
        found = _read(path, CellState) if path.exists() else CellState(cell=cell)
        return found.model_copy(update={"cell": cell})  # labels and limits as the file has them now

    def write(self, state: CellState) -> None:
        write_json(self._cells / f"{state.cell.id}.json", state.model_dump(mode="json"))

    def dropped(self, plan: Plan) -> list[CellState]:
        """Cells that an earlier version of the file asked for."""
        wanted = {f"{cell.id}.json" for cell in plan.cells}
        paths = sorted(p for p in self._cells.glob("*.json") if CELL_FILE.fullmatch(p.name) and p.name not in wanted)
        return [_read(path, CellState) for path in paths]

    @contextmanager
    def claim(self, cell: Cell) -> Iterator[bool]:
        """Whether the cell is this process's own within the block; False where another one works on it.

        The lock is the kernel's: it ends with the process, however that dies.
        """
        path = self._cells / f"{cell.id}.lock"
        with path.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield True
            file.truncate(0)

    def left_by(self, pid: int, plan: Plan) -> Cell | None:
        """The cell that this process held when it died, if any."""
        for cell in plan.cells:
            path = self._cells / f"{cell.id}.lock"
            if path.exists() and path.read_text(encoding="utf-8") == str(pid):
                return cell
        return None

    def forget_failures(self, plan: Plan) -> None:
        """Let failed cells be worked on again."""
        for cell in plan.cells:
            with self.claim(cell) as mine:
                if mine and (state := self.state(cell)).state == "failed":
                    self.write(state.model_copy(update={"state": "open", "reason": ""}))


def _read(path: Path, kind: type[T]) -> T:
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        raise RunError(f"{path} is damaged: {problems_in(error)}", hint="restore it from a copy") from None
