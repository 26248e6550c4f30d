"""Named features of HalfCheetah-v5, all from joint positions and velocities."""

import math

import torch

from rewardsmith.envs.planar import lowest_point, reach
from rewardsmith.types import FeatureSpec

DT = 0.05
LEGS = "back thigh, shin, foot, front thigh, shin, foot"

FEATURES = (
    FeatureSpec(name="torso_x", unit="m", about="forward position of the torso; episodes start at about 0"),
    FeatureSpec(name="torso_height", unit="m", about="height of the torso's middle above the ground; 0.7 at the start"),
    FeatureSpec(
        name="torso_pitch",
        unit="rad",
        about="0 level, positive nose down, +-pi on its back; not wrapped: a somersault adds 2 pi",
    ),
    FeatureSpec(name="torso_velocity", shape=(2,), unit="m/s", about="forward and upward, at this instant"),
    FeatureSpec(name="torso_pitch_velocity", unit="rad/s", about="positive nose down"),
    FeatureSpec(
        name="forward_velocity", unit="m/s", about="forward velocity averaged over the last step (0 at the start)"
    ),
    FeatureSpec(name="joint_angles", shape=(6,), unit="rad", about=f"{LEGS}; 0 at rest"),
    FeatureSpec(name="joint_velocities", shape=(6,), unit="rad/s", about=LEGS),
    FeatureSpec(
        name="foot_heights",
        shape=(2,),
        unit="m",
        about="clearance of the back and front foot above the ground; 0 touching",
    ),
    FeatureSpec(
        name="foot_contacts", shape=(2,), dtype="bool", about="back and front foot touch the ground (below 1 cm)"
    ),
)


def foot_height(joint, pitch, middle, tilt, half, radius):
    """Clearance of a foot's capsule that sits at `middle` in the foot's frame, tilted by `tilt`."""
    cap = (half * math.sin(tilt), half * math.cos(tilt))
    return lowest_point(reach(joint, pitch, middle), pitch, half=cap, radius=radius)


def features(fields):
    qpos, qvel = fields["qpos"], fields["qvel"]
    pitch = qpos[:, 2]
    torso = torch.stack([qpos[:, 0], qpos[:, 1] + 0.7], 1)
    back = pitch[:, None] + qpos[:, 3:6].cumsum(1)  # pitch of thigh, shin and foot
    front = pitch[:, None] + qpos[:, 6:9].cumsum(1)
    back_ankle = reach(reach(reach(torso, pitch, (-0.5, 0.0)), back[:, 0], (0.16, -0.25)), back[:, 1], (-0.28, -0.14))
    front_ankle = reach(reach(reach(torso, pitch, (0.5, 0.0)), front[:, 0], (-0.14, -0.24)), front[:, 1], (0.13, -0.18))
    heights = torch.stack(
        [
            foot_height(back_ankle, back[:, 2], (0.03, -0.097), -0.27, 0.094, 0.046),
            foot_height(front_ankle, front[:, 2], (0.045, -0.07), -0.6, 0.07, 0.046),
        ],
        1,
    )
    return {
        "torso_x": qpos[:, 0],
        "torso_height": torso[:, 1],
        "torso_pitch": pitch,
        "torso_velocity": qvel[:, :2],
        "torso_pitch_velocity": qvel[:, 2],
        "forward_velocity": (qpos[:, 0] - fields["before:qpos"][:, 0]) / DT,
        "joint_angles": qpos[:, 3:],
        "joint_velocities": qvel[:, 3:],
        "foot_heights": heights,
        "foot_contacts": heights < 0.01,
    }
