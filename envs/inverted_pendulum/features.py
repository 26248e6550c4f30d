"""Named features of InvertedPendulum-v5."""

import torch

from rewardsmith.types import FeatureSpec

POLE = 0.6  # metres

FEATURES = (
    FeatureSpec(name="cart_position", unit="m", about="0 in the middle of the rail, which ends at +-1"),
    FeatureSpec(
        name="pole_angle",
        unit="rad",
        about="0 upright, positive leaning towards positive positions; beyond +-0.2 the episode ends",
    ),
    FeatureSpec(name="cart_velocity", unit="m/s", about="of the cart along the rail"),
    FeatureSpec(name="pole_velocity", unit="rad/s", about="positive falling towards positive positions"),
    FeatureSpec(name="tip_position", unit="m", about="of the pole's tip along the rail"),
)


def features(fields):
    (position, angle), (velocity, turn) = fields["qpos"].unbind(1), fields["qvel"].unbind(1)
    return {
        "cart_position": position,
        "pole_angle": angle,
        "cart_velocity": velocity,
        "pole_velocity": turn,
        "tip_position": position + POLE * torch.sin(angle),
    }
