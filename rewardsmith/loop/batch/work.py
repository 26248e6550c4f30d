"""Working through the cells of an experiment; any number of processes may do so at the same time."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch

from rewardsmith.errors import Interrupted, RewardsmithError, RunError
from rewardsmith.loop.batch.cells import with_reference_rewards
from rewardsmith.loop.batch.folder import CellState, ExperimentFolder
from rewardsmith.loop.driver import drive, start
from rewardsmith.loop.events import Event, Observer, RoundStarted
from rewardsmith.loop.goal import accept_any_goal
from rewardsmith.loop.summary import config_of, summarize
from rewardsmith.loop.trust import require_trust
from rewardsmith.store import RunFolder

Tell = Callable[[str], None]

log = logging.getLogger(__name__)


def work(folder: ExperimentFolder, *, cell_workers: int | None = None, tell: Tell = log.info) -> None:
    """Bring every cell that nobody else works on to its end: start it, or resume it. Failed ones are left alone.

    Args:
        cell_workers: training processes of each run; None is one a core.

    Raises: Interrupted: Ctrl-C.
    """
    for cell in folder.plan().cells:
        with folder.claim(cell) as mine:
            if not mine:
                continue
            state = folder.state(cell)
            if state.state == "failed":
                tell(f"{cell}: failed before, --retry tries again: {state.reason}")
            elif state.state == "open":
                _bring_to_its_end(folder, state, cell_workers, tell)


def _bring_to_its_end(folder: ExperimentFolder, state: CellState, cell_workers: int | None, tell: Tell) -> None:
    cell = state.cell
    here = hardware()
    if here not in state.hardware:
        state = state.model_copy(update={"hardware": (*state.hardware, here)})
    tell(f"{cell}: {'resumed' if state.run else 'started'}")
    try:
        run = _run_of(folder, state)
        state = state.model_copy(update={"run": run.id})
        folder.write(state)
        if driver := _driven_by_somebody(run):
            tell(f"{cell}: {driver}")
            return
        config = config_of(run).model_copy(
            update={"workers": cell_workers, "budget": cell.config.budget, "stall_s": cell.config.stall_s}
        )
        drive(run, config, observe=_telling(str(cell), tell), approve_goal=accept_any_goal)
    except Interrupted:
        raise
    except RewardsmithError as error:
        _fail(folder, state, error.message, tell)
    except Exception as error:  # a bug must not take the other cells with it
        log.exception("%s failed", cell)
        _fail(folder, state, f"{type(error).__name__}: {error}", tell)
    else:
        folder.write(state.model_copy(update={"state": "finished", "reason": ""}))
        tell(f"{cell}: finished")


def _run_of(folder: ExperimentFolder, state: CellState) -> RunFolder:
    """The cell's run: the one begun before, or a new one."""
    if state.run is not None and (folder.root / state.run).is_dir():
        run = RunFolder.open(folder.root / state.run)
        run.require_same_version()
        require_trust(summarize(run), "resume", trust=False)
        return run
    config = state.cell.config
    return start(with_reference_rewards(config) if state.cell.is_reference else config, folder.root)


def _driven_by_somebody(run: RunFolder) -> str:
    """Who drives the run, as by `rewardsmith resume`; empty where nobody does."""
    try:
        with run.lock():
            return ""
    except RunError as error:
        return error.message


def _fail(folder: ExperimentFolder, state: CellState, reason: str, tell: Tell) -> None:
    folder.write(state.model_copy(update={"state": "failed", "reason": reason}))
    tell(f"{state.cell}: failed: {reason}")


def _telling(cell: str, tell: Tell) -> Observer:
    """An observer that tells a run's rounds; the run's own report has the rest."""

    def observe(event: Event) -> None:
        if isinstance(event, RoundStarted):
            tell(f"{cell}: {event.name}")

    return observe


def hardware() -> str:
    """This machine in a line: system, processor, cores, accelerator."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    parts = [f"{platform.system()} {platform.machine()}", *names[:1], f"{os.cpu_count()} cores"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name(0))
    return ", ".join(parts)
