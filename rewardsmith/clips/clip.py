"""`Clip`: one recorded episode, or its first seconds, as numbers; and its file, which holds no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from rewardsmith.errors import RunError, problems_in
from rewardsmith.reward.vocabulary import NAME
from rewardsmith.store import CandidateFolder, folder_inside, inside
from rewardsmith.store.inside import MAX_BYTES
from rewardsmith.train.tensorfile import read_tensors, write_tensors
from rewardsmith.types import Record

FORMAT = "rewardsmith-clip/1"
MAX_FRAMES = 2_000
MAX_COMPONENTS = 256

Ending = Literal["terminated", "time limit", "broke down", "goes on"]
"""How a clip ends. "broke down": the simulation did, see `VecWorld.diverged`; "goes on": the episode is longer."""

_SHOWN, _ACTION, _TOTAL = "shown", "action", "total"
_FEATURE, _STATE, _COMPONENT = "feature.", "state.", "component."
_PLAIN = "biuf"  # kinds of dtype


class _About(Record):
    """The metadata of a clip's file."""

    env: str = Field(min_length=1, max_length=1000)
    seed: int = Field(ge=0, lt=2**64)
    dt: float | None = Field(gt=0, allow_inf_nan=False)
    fps: float = Field(gt=0, le=100, allow_inf_nan=False)
    ended: Ending


@dataclass(frozen=True)
class Clip:
    """T steps of one episode, of which F states are drawn.

    Attributes:
        env: name of the environment.
        seed: reset seed; with `action` it replays the episode exactly.
        dt: seconds per step; None where steps have no length in time.
        fps: frames per second at which it is played.
        ended: how the last step ended.
        shown: (F,) int64, ascending from 0 to T: after how many steps each frame is.
        action: (T, ...) float32 or int64, as applied.
        features: named features, each (T + 1, ...): before every step, and after the last.
        states: what `VecWorld.set_state` needs for each frame, each (F, ...); empty for worlds that cannot restore one,
            whose frames are drawn by replaying the episode.
        total: (T,) float32, the reward of each step without potential shaping; None: recorded without a reward.
        components: the reward's components by name, each (T,) float32.
    """

    env: str
    seed: int
    dt: float | None
    fps: float
    ended: Ending
    shown: np.ndarray
    action: np.ndarray
    features: Mapping[str, np.ndarray]
    states: Mapping[str, np.ndarray]
    total: np.ndarray | None
    components: Mapping[str, np.ndarray]

    @property
    def steps(self) -> int:
        return len(self.action)

    def time_at(self, frame: int) -> str:
        """When a frame is, for people: "2.35 s", or "step 12"."""
        step = int(self.shown[frame])
        return f"step {step}" if self.dt is None else f"{step * self.dt:.2f} s"


def save_clip(folder: CandidateFolder, clip: Clip) -> Path:
    """Write a clip among those of a candidate, in place of an earlier one from the same seed.

    Raises: RunError: the disk is full, or the folder of clips leads out of the run or cannot be written.
    """
    path = folder.clip_path(clip.seed)
    folder_inside(folder.run_root, path.parent)
    arrays: dict[str, np.ndarray] = {_SHOWN: clip.shown, _ACTION: clip.action}
    arrays |= {_FEATURE + name: value for name, value in clip.features.items()}
    arrays |= {_STATE + name: value for name, value in clip.states.items()}
    arrays |= {_COMPONENT + name: value for name, value in clip.components.items()}
    if clip.total is not None:
        arrays[_TOTAL] = clip.total
    about = _About(env=clip.env, seed=clip.seed, dt=clip.dt, fps=clip.fps, ended=clip.ended)
    write_tensors(path, arrays, {"format": FORMAT, "about": about.model_dump_json()})
    return path


def load_clip(path: Path, *, root: Path) -> Clip:
    """Read a clip of the run in `root`, which somebody else may have made.

    Raises: RunError: missing, a link out of the run, too large, damaged, or not a clip.
    """
    try:
        if (size := inside(root, path).stat().st_size) > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes, and at most {MAX_BYTES:,} are read")
        arrays, metadata = read_tensors(path, format=FORMAT)
        about = _About.model_validate_json(metadata["about"])
        clip = Clip(
            **about.model_dump(),
            shown=arrays.pop(_SHOWN),
            action=arrays.pop(_ACTION),
            total=arrays.pop(_TOTAL, None),
            features=_taken(arrays, _FEATURE),
            states=_taken(arrays, _STATE),
            components=_taken(arrays, _COMPONENT),
        )
        if arrays:
            raise ValueError(f"it has arrays that no clip has: {', '.join(sorted(map(ascii, arrays)))[:200]}")
        _check(clip)
    except (OSError, KeyError, TypeError, ValueError) as error:
        said = problems_in(error) if isinstance(error, ValidationError) else error
        raise RunError(f"{path} is not a readable clip: {said}", hint="record the clip again") from error
    return clip


def _taken(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Removes the arrays of that prefix from `arrays`."""
    return {key.removeprefix(prefix): arrays.pop(key) for key in sorted(arrays) if key.startswith(prefix)}


def _check(clip: Clip) -> None:
    """Raises: ValueError: arrays that do not fit together, or are no numbers."""
    shown, action, steps = clip.shown, clip.action, len(clip.action) if clip.action.ndim else 0
    if action.dtype not in (np.float32, np.int64) or action.ndim not in (1, 2) or not steps:
        raise ValueError(f"its actions are {_form(action)}")
    frames = len(shown) if shown.dtype == np.int64 and shown.ndim == 1 else 0
    if not 2 <= frames <= MAX_FRAMES or shown[0] != 0 or shown[-1] != steps or (np.diff(shown) <= 0).any():
        raise ValueError(f"its frames are not those of {steps} steps")
    paid = {} if clip.total is None else {_TOTAL: clip.total, **clip.components}
    if len(paid) < len(clip.components) or len(paid) > MAX_COMPONENTS:
        raise ValueError(f"it has {len(clip.components)} components of a reward")
    for name, value in paid.items():
        if not NAME.fullmatch(name) or value.dtype != np.float32 or value.shape != (steps,):
            raise ValueError(f"its component {ascii(name)[:60]} is {_form(value)}")
    for rows, named in ((steps + 1, clip.features), (frames, clip.states)):
        for name, value in named.items():
            if value.dtype.kind not in _PLAIN or value.shape[:1] != (rows,):
                raise ValueError(f"its {ascii(name)[:60]} is {_form(value)}, where {rows} rows belong")


def _form(value: np.ndarray) -> str:
    return f"{value.dtype} {value.shape}"
