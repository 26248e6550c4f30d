"""Named features of Hopper-v5, all from joint positions and velocities."""

import torch

from rewardsmith.envs.planar import ankle, lowest_point, reach
from rewardsmith.types import FeatureSpec

DT = 0.008

FEATURES = (
    FeatureSpec(name="torso_x", unit="m", about="forward position of the torso; episodes start at about 0"),
    FeatureSpec(
        name="torso_height",
        low=0.0,
        high=3.0,
        unit="m",
        about="height of the torso's middle; 1.25 standing; below 0.7 the episode ends",
    ),
    FeatureSpec(
        name="torso_pitch",
        low=-3.2,
        high=3.2,
        unit="rad",
        about="0 upright, positive leaning forward; beyond +-0.2 the episode ends",
    ),
    FeatureSpec(name="torso_velocity", shape=(2,), unit="m/s", about="forward and upward, at this instant"),
    FeatureSpec(name="torso_pitch_velocity", unit="rad/s", about="positive falling forward"),
    FeatureSpec(
        name="forward_velocity", unit="m/s", about="forward velocity averaged over the last step (0 at the start)"
    ),
    FeatureSpec(
        name="joint_angles",
        shape=(3,),
        unit="rad",
        about="thigh, leg (knee), foot (ankle); 0 standing straight; thigh and leg bend to -2.6, foot +-0.79",
    ),
    FeatureSpec(name="joint_velocities", shape=(3,), unit="rad/s", about="of thigh, leg, foot"),
    FeatureSpec(
        name="foot_offset",
        unit="m",
        about="horizontal position of the foot's middle minus that of the torso; positive ahead",
    ),
    FeatureSpec(
        name="foot_height", unit="m", about="clearance of the sole's lowest point above the ground; 0 touching"
    ),
    FeatureSpec(name="foot_contact", dtype="bool", about="the foot touches the ground (clearance below 5 mm)"),
)


def features(fields):
    qpos, qvel = fields["qpos"], fields["qvel"]
    pitch = qpos[:, 2]
    joint, foot = ankle(qpos[:, :2], pitch, qpos[:, 3:])
    sole = reach(joint, foot, (0.065, 0.0))  # middle of the foot's capsule, whose half length is 0.195
    foot_height = lowest_point(sole, foot, half=(0.195, 0.0), radius=0.06)
    return {
        "torso_x": qpos[:, 0],
        "torso_height": qpos[:, 1],
        "torso_pitch": pitch,
        "torso_velocity": qvel[:, :2],
        "torso_pitch_velocity": qvel[:, 2],
        "forward_velocity": (qpos[:, 0] - fields["before:qpos"][:, 0]) / DT,
        "joint_angles": qpos[:, 3:],
        "joint_velocities": qvel[:, 3:],
        "foot_offset": sole[:, 0] - qpos[:, 0],
        "foot_height": foot_height,
        "foot_contact": torch.lt(foot_height, 0.005),
    }
