"""Forward kinematics in the x-z plane, for the features of planar robots. Positive pitch tips +z towards +x."""

from __future__ import annotations

import torch
from torch import Tensor


def reach(origin: Tensor, pitch: Tensor, offset: tuple[float, float]) -> Tensor:
    """World position (M, 2) of the point `offset` (x, z) in a body at `origin` (M, 2) turned by `pitch` (M,)."""
    x, z = offset
    sin, cos = torch.sin(pitch), torch.cos(pitch)
    return origin + torch.stack([x * cos + z * sin, z * cos - x * sin], 1)


def lowest_point(middle: Tensor, pitch: Tensor, *, half: tuple[float, float], radius: float) -> Tensor:
    """Height (M,) of the lowest point of a capsule: `half` (x, z) goes from `middle` (M, 2) to one cap's centre."""
    ends = torch.stack([reach(middle, pitch, half)[:, 1], reach(middle, pitch, (-half[0], -half[1]))[:, 1]])
    return ends.amin(0) - radius


def ankle(torso: Tensor, pitch: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Ankle (M, 2) and pitch of the foot (M,) of a leg of Hopper-v5 and Walker2d-v5.

    Args:
        torso: its middle, (M, 2).
        pitch: of the torso, (M,).
        joints: angles of thigh, leg and foot, (M, 3).
    """
    thigh, leg, foot = (pitch[:, None] - joints.cumsum(1)).unbind(1)
    knee = reach(reach(torso, pitch, (0.0, -0.2)), thigh, (0.0, -0.45))
    return reach(knee, leg, (0.0, -0.5)), foot
