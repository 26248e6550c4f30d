"""Robots whose torso moves freely: its orientation, and what the two humanoids have in common.

The free joint comes first: `qpos` is x, y, z, then a quaternion (w, x, y, z), then joints; `qvel` is the velocity in
the world, the angular velocity in the torso's frame, then joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def axis(qpos: Tensor, index: int) -> Tensor:
    """The torso's x, y or z axis (`index` 0 to 2) in the world, (M, 3)."""
    w, x, y, z = torch.nn.functional.normalize(qpos[:, 3:7], dim=1).unbind(1)
    columns = (
        (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)),
        (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)),
        (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(columns[index], 1)


def squared(forces: Tensor) -> Tensor:
    """Sum of the squares of everything in a row: (M,) from (M, ...)."""
    return forces.square().flatten(1).sum(1)


_JOINTS = (
    "abdomen turning, bending, leaning (z, y, x); right hip x (sideways), z (turning), y (swing), right knee; the left "
    "leg alike; right shoulder 1 and 2, elbow; the left arm alike"
)

HUMANOID_FEATURES: dict[str, dict[str, Any]] = {
    "position": {"shape": (2,), "unit": "m", "about": "x (forward) and y (left) of the torso; starts at about 0, 0"},
    "velocity": {"shape": (3,), "unit": "m/s", "about": "of the torso forward, left, up, at this instant"},
    "angular_velocity": {"shape": (3,), "unit": "rad/s", "about": "of the torso about its own x, y and z axis"},
    "joint_angles": {"shape": (17,), "unit": "rad", "about": f"{_JOINTS}; 0 at the start"},
    "joint_velocities": {"shape": (17,), "unit": "rad/s", "about": "in the order of joint_angles"},
    "foot_heights": {
        "shape": (2,),
        "unit": "m",
        "about": "clearance of the right and left foot above the ground; 0 touching",
    },
    "foot_contacts": {
        "shape": (2,),
        "dtype": "bool",
        "about": "right and left foot touch the ground (below 1 cm)",
    },
    "contact_force_square": {
        "low": 0.0,
        "unit": "N^2",
        "about": "squared contact forces and torques summed over all bodies; 0 in the air, 1e5 to 1e7 on the ground",
    },
}
"""What `humanoid_features` returns, as keyword arguments of FeatureSpec."""

_SOLE = 0.075  # radius of the spheres that are the feet


def humanoid_features(fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Features that Humanoid-v5 and HumanoidStandup-v5 share."""
    qpos, qvel = fields["qpos"], fields["qvel"]
    feet = torch.stack([fields["geom_xpos:right_foot"], fields["geom_xpos:left_foot"]], 1)
    heights = feet[:, :, 2] - _SOLE
    return {
        "position": qpos[:, :2],
        "velocity": qvel[:, :3],
        "angular_velocity": qvel[:, 3:6],
        "joint_angles": qpos[:, 7:],
        "joint_velocities": qvel[:, 6:],
        "foot_heights": heights,
        "foot_contacts": heights < 0.01,
        "contact_force_square": squared(fields["cfrc_ext"]),
    }


HUMANOID_FIELDS = ("qpos", "qvel", "geom_xpos:right_foot", "geom_xpos:left_foot", "cfrc_ext")
"""What `humanoid_features` reads."""

HUMANOID_HIDDEN = ("cinert", "cvel", "qfrc_actuator")
"""What else `humanoid_observation` reads."""


def humanoid_observation(fields: Mapping[str, Tensor]) -> Tensor:
    """Policy observation (B, 348) of Humanoid-v5 and HumanoidStandup-v5."""
    bodies = [fields[name][:, 1:].flatten(1) for name in ("cinert", "cvel")]
    forces = [fields["qfrc_actuator"][:, 6:], fields["cfrc_ext"][:, 1:].flatten(1)]
    return torch.cat([fields["qpos"][:, 2:], fields["qvel"], *bodies, *forces], 1)
