"""Named features of Reacher-v5."""

import torch

from rewardsmith.types import FeatureSpec

UPPER, LOWER = 0.1, 0.11  # lengths of the links, in metres

FEATURES = (
    FeatureSpec(
        name="fingertip",
        shape=(2,),
        low=-0.21,
        high=0.21,
        unit="m",
        about="x, y of the fingertip; the shoulder is at 0, 0",
    ),
    FeatureSpec(
        name="target", shape=(2,), low=-0.2, high=0.2, unit="m", about="x, y of the target, fixed in an episode"
    ),
    FeatureSpec(name="to_target", shape=(2,), low=-0.41, high=0.41, unit="m", about="vector from fingertip to target"),
    FeatureSpec(
        name="distance", low=0.0, high=0.41, unit="m", about="from fingertip to target; at the end 0.02 is success"
    ),
    FeatureSpec(
        name="joint_angles", shape=(2,), unit="rad", about="shoulder (any turn) and elbow (-3 to 3, 0 is straight)"
    ),
    FeatureSpec(name="joint_velocities", shape=(2,), unit="rad/s", about="shoulder and elbow"),
    FeatureSpec(name="fingertip_velocity", shape=(2,), unit="m/s", about="x, y velocity of the fingertip"),
)


def features(fields):
    angles, speeds = fields["qpos"][:, :2], fields["qvel"][:, :2]
    vector = fields["xpos:target"] - fields["xpos:fingertip"]
    shoulder, forearm = angles[:, 0], angles.sum(1)
    turn, sweep = speeds[:, 0], speeds.sum(1)
    return {
        "fingertip": fields["xpos:fingertip"][:, :2],
        "target": fields["xpos:target"][:, :2],
        "to_target": vector[:, :2],
        "distance": vector.norm(dim=1),
        "joint_angles": angles,
        "joint_velocities": speeds,
        "fingertip_velocity": torch.stack(
            [
                -UPPER * turn * torch.sin(shoulder) - LOWER * sweep * torch.sin(forearm),
                UPPER * turn * torch.cos(shoulder) + LOWER * sweep * torch.cos(forearm),
            ],
            1,
        ),
    }
