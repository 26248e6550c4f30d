"""One file per member from which its training goes on bit-exactly; the one before it is kept as a spare."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from rewardsmith.errors import RunError
from rewardsmith.train.tensorfile import read_tensors, write_tensors
from rewardsmith.types import CurvePoint, Kept, Record

log = logging.getLogger(__name__)

FORMAT = "rewardsmith-checkpoint/5"
NAME = "checkpoint.safetensors"
SPARE = "checkpoint.previous.safetensors"


class Progress(Record):
    """How far a member has come. `identity` hashes everything that its result depends on."""

    identity: str
    iteration: int
    curve: tuple[CurvePoint, ...] = ()
    kept: Kept | None = None
    eval_env_steps: int = 0
    evaluated_episodes: int = 0
    trained_episodes: int = 0
    broken_in_training: int = 0  # episodes, see `VecWorld.diverged`
    broken_in_evaluation: int = 0


class Checkpoint(NamedTuple):
    progress: Progress
    state: dict[str, np.ndarray]


def save_checkpoint(folder: Path, progress: Progress, state: Mapping[str, np.ndarray]) -> None:
    """Write atomically; the checkpoint before becomes the spare.

    Raises: RunError: the disk is full or the folder cannot be written.
    """
    path = folder / NAME
    if path.exists():
        path.replace(folder / SPARE)  # killed here, the spare alone is left, which is as good
    write_tensors(path, state, {"format": FORMAT, "progress": progress.model_dump_json()})


def load_checkpoint(folder: Path, identity: str) -> Checkpoint | None:
    """The newest readable checkpoint, or None if there is none. A damaged one is passed over for the spare.

    Raises: RunError: every checkpoint there is damaged, or it belongs to another training.
    """
    problems = []
    for name in (NAME, SPARE):
        path = folder / name
        try:
            arrays, metadata = read_tensors(path, format=FORMAT)
            progress = Progress.model_validate_json(metadata["progress"])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, ValidationError) as error:
            log.warning("checkpoint %s is unreadable and passed over: %s", path, error)
            problems.append(str(error))
            continue
        if progress.identity != identity:
            raise RunError(
                f"{path} belongs to another training (another reward, environment, goal or configuration)",
                hint=f"remove {folder} or train into another folder",
            )
        return Checkpoint(progress, arrays)
    if problems:
        raise RunError(
            f"no readable checkpoint in {folder}: {'; '.join(problems)}",
            hint=f"remove {folder} to train this member from the start",
        )
    return None
