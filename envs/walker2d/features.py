"""Named features of Walker2d-v5, all from joint positions and velocities."""

import torch

from rewardsmith.envs.planar import ankle, lowest_point, reach
from rewardsmith.types import FeatureSpec

DT = 0.008
LEGS = "right thigh, leg (knee), foot (ankle), then the left leg alike"

FEATURES = (
    FeatureSpec(name="torso_x", unit="m", about="forward position of the torso; episodes start at about 0"),
    FeatureSpec(
        name="torso_height",
        low=0.0,
        high=3.0,
        unit="m",
        about="height of the torso's middle; 1.25 standing; outside 0.8 to 2.0 the episode ends",
    ),
    FeatureSpec(
        name="torso_pitch",
        low=-3.2,
        high=3.2,
        unit="rad",
        about="0 upright, positive leaning forward; beyond +-1 the episode ends",
    ),
    FeatureSpec(name="torso_velocity", shape=(2,), unit="m/s", about="forward and upward, at this instant"),
    FeatureSpec(name="torso_pitch_velocity", unit="rad/s", about="positive falling forward"),
    FeatureSpec(
        name="forward_velocity", unit="m/s", about="forward velocity averaged over the last step (0 at the start)"
    ),
    FeatureSpec(
        name="joint_angles",
        shape=(6,),
        unit="rad",
        about=f"{LEGS}; 0 standing straight; thighs and legs bend to -2.6, feet +-0.79",
    ),
    FeatureSpec(name="joint_velocities", shape=(6,), unit="rad/s", about=LEGS),
    FeatureSpec(
        name="foot_offsets",
        shape=(2,),
        unit="m",
        about="horizontal position of the right and left foot's middle minus that of the torso; positive ahead",
    ),
    FeatureSpec(
        name="foot_heights",
        shape=(2,),
        unit="m",
        about="clearance of the right and left sole's lowest point above the ground; 0 touching",
    ),
    FeatureSpec(
        name="foot_contacts",
        shape=(2,),
        dtype="bool",
        about="right and left foot touch the ground (clearance below 5 mm)",
    ),
)


def features(fields):
    qpos, qvel = fields["qpos"], fields["qvel"]
    offsets, heights = [], []
    for joints in (qpos[:, 3:6], qpos[:, 6:9]):
        joint, foot = ankle(qpos[:, :2], qpos[:, 2], joints)
        sole = reach(joint, foot, (0.1, 0.0))  # middle of the foot's capsule, whose half length is 0.1
        offsets.append(sole[:, 0] - qpos[:, 0])
        heights.append(lowest_point(sole, foot, half=(0.1, 0.0), radius=0.06))
    foot_heights = torch.stack(heights, 1)
    return {
        "torso_x": qpos[:, 0],
        "torso_height": qpos[:, 1],
        "torso_pitch": qpos[:, 2],
        "torso_velocity": qvel[:, :2],
        "torso_pitch_velocity": qvel[:, 2],
        "forward_velocity": (qpos[:, 0] - fields["before:qpos"][:, 0]) / DT,
        "joint_angles": qpos[:, 3:],
        "joint_velocities": qvel[:, 3:],
        "foot_offsets": torch.stack(offsets, 1),
        "foot_heights": foot_heights,
        "foot_contacts": foot_heights < 0.005,
    }
