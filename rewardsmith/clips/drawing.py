"""Clips as frames, as films, and side by side as contact sheets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from rewardsmith.analyze.video import Frame, VideoError, encode_mp4, encode_png
from rewardsmith.clips.clip import Clip
from rewardsmith.clips.panel import Panel, caption
from rewardsmith.engine import alive
from rewardsmith.envs import Environment, VecWorld
from rewardsmith.errors import RunError

SIZE = 256  # pixels of a frame's longer side
SHEET_SIZE = 128
HOLD_S = 1.0  # for which a film shows the last state of an episode that ended
LINE = 16  # pixels for a line of text on a contact sheet
GAP = 4
WHITE = 255

_ROW = np.zeros(1, np.int64)


def frames(environment: Environment, clip: Clip, *, size: int = SIZE, overlay: bool = False) -> Iterator[Frame]:
    """The clip's F frames, (H, W, 3) uint8, all of one shape, drawn while they are asked for.

    Args:
        size: of a picture's longer side, in pixels.
        overlay: add a panel below the picture: the time, and the reward's components.

    Raises:
        EnvironmentFault: the environment cannot be drawn here.
        RunError: the clip is of another environment, or of another version of it.
    """
    panel = Panel(clip) if overlay else None
    for number, picture in enumerate(_pictures(environment, clip, range(len(clip.shown)), size=size)):
        yield picture if panel is None else panel.below(picture, number)


def film(environment: Environment, clip: Clip, *, size: int = SIZE, overlay: bool = False) -> bytes:
    """The clip as mp4 (H.264, faststart), as fast as it happened. An episode's last state stays for a second.

    Raises:
        EnvironmentFault: as `frames`; VideoError: ffmpeg is missing or fails.
        RunError: as `frames`.
    """
    drawn = list(frames(environment, clip, size=size, overlay=overlay))
    if clip.ended != "goes on":
        drawn += drawn[-1:] * round(HOLD_S * clip.fps)
    return encode_mp4(drawn, fps=clip.fps)


def contact_sheet(
    environment: Environment, clips: Mapping[str, Clip], *, columns: int = 8, size: int = SHEET_SIZE
) -> bytes:
    """A PNG with a row for each clip under its label: up to `columns` frames, evenly spaced from first to last.

    Raises:
        EnvironmentFault, RunError: as `frames`; VideoError: there is no clip.
    """
    if not clips:
        raise VideoError("a contact sheet of no clips cannot be made", hint="record a clip first")
    rows = [_sheet_row(environment, label, clip, columns=columns, size=size) for label, clip in clips.items()]
    width = max(row.shape[1] for row in rows)
    return encode_png(np.concatenate([_filled(row, width) for row in rows]))


def replay(
    environment: Environment, seed: int, action: torch.Tensor, shown: Sequence[int], *, size: int = SIZE
) -> Iterator[Frame]:
    """Play an episode again and draw it after each of `shown` steps, which ascend.

    Args:
        seed: reset seed of the episode.
        action: (T, ...), as it was applied.

    Raises: EnvironmentFault: the environment cannot be drawn here.
    """
    world = environment.make_world(1)
    try:
        yield from _replayed(world, seed, action, shown, size=size)
    finally:
        world.close()


def _pictures(environment: Environment, clip: Clip, chosen: Sequence[int], *, size: int) -> Iterator[Frame]:
    """Pictures of the `chosen` frames of a clip, ascending."""
    if clip.env != environment.name:
        raise RunError(
            f"the clip was recorded in {clip.env!r}, and this is {environment.name!r}",
            hint="draw it with the environment it was recorded in",
        )
    world = environment.make_world(1)
    try:
        _require_fit(clip, world)
        if clip.states and world.can_restore:
            yield from _restored(world, clip, chosen, size=size)
        else:
            shown = [int(clip.shown[frame]) for frame in chosen]
            yield from _replayed(world, clip.seed, torch.from_numpy(clip.action), shown, size=size)
    finally:
        world.close()


def _require_fit(clip: Clip, world: VecWorld) -> None:
    """Raises: RunError: the clip's states or actions are not those of this world."""
    form = lambda arrays: {name: (value.dtype, value.shape[1:]) for name, value in arrays.items()}
    action = world.action
    fits = str(clip.action.dtype) == action.dtype and clip.action.shape[1:] == action.shape
    if clip.states and world.can_restore:
        world.reset(_ROW, np.array([clip.seed], np.uint64))
        fits &= form(clip.states) == form(world.get_state(_ROW))
    if not fits:
        raise RunError(f"the clip of {clip.env} was recorded with another version of it", hint="record the clip again")


def _restored(world: VecWorld, clip: Clip, chosen: Sequence[int], *, size: int) -> Iterator[Frame]:
    for frame in chosen:
        state = {name: value[frame : frame + 1] for name, value in clip.states.items()}
        try:
            world.set_state(_ROW, state)
        except (ValueError, OverflowError, IndexError) as error:
            raise RunError(
                f"the clip of {clip.env} holds a state that is none: {error}", hint="record the clip again"
            ) from error
        yield world.render(0, size=size)
        alive()


def _replayed(world: VecWorld, seed: int, action: torch.Tensor, shown: Sequence[int], *, size: int) -> Iterator[Frame]:
    world.reset(_ROW, np.array([seed], np.uint64))
    done = 0
    for step in shown:
        while done < step:
            world.step(action[done : done + 1])
            done += 1
            alive()
        yield world.render(0, size=size)


def _sheet_row(environment: Environment, label: str, clip: Clip, *, columns: int, size: int) -> Frame:
    count = max(1, min(columns, len(clip.shown)))
    chosen = [round(at) for at in np.linspace(0, len(clip.shown) - 1, count)]
    cells = []
    for frame, picture in zip(chosen, _pictures(environment, clip, chosen, size=size), strict=True):
        below = caption(clip.time_at(frame), picture.shape[1], LINE)
        cells += [np.concatenate([picture, below]), np.full((len(picture) + LINE, GAP, 3), WHITE, np.uint8)]
    row = np.concatenate(cells[:-1], axis=1)
    return np.concatenate([caption(f"{label}: {clip.ended}", row.shape[1], LINE, bold=True), row])


def _filled(row: Frame, width: int) -> Frame:
    """`row` on white that is `width` wide, and `GAP` higher."""
    whole = np.full((len(row) + GAP, width, 3), WHITE, np.uint8)
    whole[: len(row), : row.shape[1]] = row
    return whole
