"""Named features of Pendulum-v1 from its observation."""

import math

import torch

from rewardsmith.types import FeatureSpec

FEATURES = (
    FeatureSpec(
        name="angle",
        low=-math.pi,
        high=math.pi,
        unit="rad",
        about="0 upright, +-pi hanging, positive counter-clockwise; wrapped",
    ),
    FeatureSpec(
        name="angular_velocity", low=-8.0, high=8.0, unit="rad/s", about="positive counter-clockwise; limited to +-8"
    ),
    FeatureSpec(name="tip_height", low=-1.0, high=1.0, unit="m", about="1 upright, 0 level, -1 hanging"),
    FeatureSpec(name="tip_offset", low=-1.0, high=1.0, unit="m", about="sine of the angle; 0 upright or hanging"),
    FeatureSpec(
        name="energy",
        unit="fraction",
        about="kinetic plus potential energy above hanging at rest; at 1 the pendulum just swings up by itself",
    ),
)


def features(fields):
    height, offset, speed = fields["obs"].double().unbind(1)
    potential = 0.5 * 10.0 * (height + 1.0)  # of a rod of 1 kg and 1 m
    return {
        "angle": torch.atan2(offset, height),
        "angular_velocity": speed,
        "tip_height": height,
        "tip_offset": offset,
        "energy": (speed.square() / 6.0 + potential) / 10.0,
    }
