"""Named features of Swimmer-v5."""

import torch

from rewardsmith.types import FeatureSpec

DT = 0.04

FEATURES = (
    FeatureSpec(
        name="position", shape=(2,), unit="m", about="x (forward) and y of the front link; starts at about 0, 0"
    ),
    FeatureSpec(
        name="front_angle",
        unit="rad",
        about="0 pointing forward (+x), positive counter-clockwise; not wrapped: a full turn adds 2 pi",
    ),
    FeatureSpec(name="velocity", shape=(2,), unit="m/s", about="x and y of the front link, at this instant"),
    FeatureSpec(name="front_angular_velocity", unit="rad/s", about="positive counter-clockwise"),
    FeatureSpec(
        name="forward_velocity", unit="m/s", about="forward velocity averaged over the last step (0 at the start)"
    ),
    FeatureSpec(
        name="joint_angles",
        shape=(2,),
        unit="rad",
        about="of the front and the rear joint, 0 straight, limited to about +-1.75",
    ),
    FeatureSpec(name="joint_velocities", shape=(2,), unit="rad/s", about="of the front and the rear joint"),
    FeatureSpec(
        name="heading",
        shape=(2,),
        low=-1.0,
        high=1.0,
        unit="fraction",
        about="x and y of the direction in which the front link points; 1, 0 straight ahead",
    ),
)


def features(fields):
    qpos, qvel = fields["qpos"], fields["qvel"]
    return {
        "position": qpos[:, :2],
        "front_angle": qpos[:, 2],
        "velocity": qvel[:, :2],
        "front_angular_velocity": qvel[:, 2],
        "forward_velocity": (qpos[:, 0] - fields["before:qpos"][:, 0]) / DT,
        "joint_angles": qpos[:, 3:],
        "joint_velocities": qvel[:, 3:],
        "heading": torch.stack([torch.cos(qpos[:, 2]), torch.sin(qpos[:, 2])], 1),
    }
