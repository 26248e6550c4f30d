"""Named features of Ant-v5. Its first leg points ahead and to the left, the others follow counter-clockwise."""

import math

import torch

from rewardsmith.envs.floating import axis, squared
from rewardsmith.types import FeatureSpec

DT = 0.05
LEGS = "front left, back left, back right, front right"
OUTWARD = ((1, 1), (-1, 1), (-1, -1), (1, -1))  # of each leg in the torso's plane, times sqrt(2)
DOWN = (1, -1, -1, 1)  # sign with which an ankle's angle lowers the foot
HIP, THIGH, SHIN, RADIUS = 0.2 * math.sqrt(2), 0.2 * math.sqrt(2), 0.4 * math.sqrt(2), 0.08  # in metres

FEATURES = (
    FeatureSpec(
        name="position", shape=(2,), unit="m", about="x (forward) and y (left) of the torso; starts at about 0, 0"
    ),
    FeatureSpec(
        name="torso_height",
        unit="m",
        about="height of the torso's middle; 0.75 at the start; outside 0.2 to 1.0 the episode ends",
    ),
    FeatureSpec(name="upright", low=-1.0, high=1.0, unit="fraction", about="1 level, 0 on its side, -1 on its back"),
    FeatureSpec(
        name="heading",
        shape=(2,),
        low=-1.0,
        high=1.0,
        unit="fraction",
        about="x and y of the direction in which the torso's front points; 1, 0 straight ahead",
    ),
    FeatureSpec(name="velocity", shape=(3,), unit="m/s", about="of the torso forward, left, up, at this instant"),
    FeatureSpec(name="angular_velocity", shape=(3,), unit="rad/s", about="of the torso about its own x, y and z axis"),
    FeatureSpec(
        name="forward_velocity", unit="m/s", about="forward velocity averaged over the last step (0 at the start)"
    ),
    FeatureSpec(
        name="joint_angles",
        shape=(8,),
        unit="rad",
        about=f"hip, then ankle, of each leg: {LEGS}; hips +-0.52, ankles 0.52 to 1.22 on the front left and front "
        "right, -1.22 to -0.52 on the other legs; the larger an ankle's angle the lower the foot",
    ),
    FeatureSpec(name="joint_velocities", shape=(8,), unit="rad/s", about="in the order of joint_angles"),
    FeatureSpec(name="foot_heights", shape=(4,), unit="m", about=f"clearance above the ground; 0 touching; {LEGS}"),
    FeatureSpec(
        name="foot_contacts", shape=(4,), dtype="bool", about=f"the foot touches the ground (below 1 cm); {LEGS}"
    ),
    FeatureSpec(
        name="contact_force_square",
        low=0.0,
        unit="N^2",
        about="squared contact forces and torques, each clipped to +-1, summed over all bodies; 0 in the air",
    ),
)


def foot_heights(qpos):
    """Clearance (M, 4) of the lowest point of each lower leg."""
    forward, left, up = (axis(qpos, index)[:, 2] for index in range(3))  # how far each axis of the torso rises
    heights = []
    for leg, ((x, y), down) in enumerate(zip(OUTWARD, DOWN, strict=True)):
        hip, ankle = qpos[:, 7 + 2 * leg], down * qpos[:, 8 + 2 * leg]
        turned = hip + math.atan2(y, x)
        rise = torch.cos(turned) * forward + torch.sin(turned) * left  # of a metre along the thigh
        knee = qpos[:, 2] + HIP * (x * forward + y * left) / math.sqrt(2) + THIGH * rise
        foot = knee + SHIN * (torch.cos(ankle) * rise - torch.sin(ankle) * up)
        heights.append(torch.minimum(knee, foot) - RADIUS)
    return torch.stack(heights, 1)


def features(fields):
    qpos, qvel = fields["qpos"], fields["qvel"]
    heights = foot_heights(qpos)
    return {
        "position": qpos[:, :2],
        "torso_height": qpos[:, 2],
        "upright": axis(qpos, 2)[:, 2],
        "heading": axis(qpos, 0)[:, :2],
        "velocity": qvel[:, :3],
        "angular_velocity": qvel[:, 3:6],
        "forward_velocity": (fields["xpos:torso"] - fields["before:xpos:torso"])[:, 0] / DT,
        "joint_angles": qpos[:, 7:],
        "joint_velocities": qvel[:, 6:],
        "foot_heights": heights,
        "foot_contacts": heights < 0.01,
        "contact_force_square": squared(fields["cfrc_ext"].clamp(-1, 1)),
    }
