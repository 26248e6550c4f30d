"""Training curves as TensorBoard events, beside whatever else watches the run."""

from __future__ import annotations

from pathlib import Path

from rewardsmith.errors import MissingExtra
from rewardsmith.loop.events import Event, Observer, PointMeasured


def event_writer(folder: Path, observe: Observer) -> Observer:
    """An observer that also writes every measured point below `folder`, one TensorBoard run a member.

    Raises: MissingExtra: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtra("TensorBoard", "tensorboard") from None
    writers: dict[tuple[str, int], SummaryWriter] = {}

    def write(event: Event) -> None:
        if isinstance(event, PointMeasured):
            member, point = (event.candidate, event.seed), event.point
            if member not in writers:
                writers[member] = SummaryWriter(str(folder / event.candidate / f"seed-{event.seed}"))
            scalars = {
                "goal/success": point.success,
                "goal/fitness": point.fitness,
                "goal/episode_length": point.episode_length,
                "reward/total": point.reward,
            } | {f"reward/{name}": value for name, value in point.components.items()}
            for name, value in scalars.items():
                writers[member].add_scalar(name, value, point.env_steps)
            writers[member].flush()
        observe(event)

    return write
