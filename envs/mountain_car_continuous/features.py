"""Named features of MountainCarContinuous-v0 from its observation (position, velocity)."""

import torch

from rewardsmith.types import FeatureSpec

FLAG = 0.45

FEATURES = (
    FeatureSpec(
        name="position", low=-1.2, high=0.6, unit="m", about="along the track; valley bottom -0.524, flag 0.45"
    ),
    FeatureSpec(name="velocity", low=-0.07, high=0.07, unit="m/step", about="positive to the right"),
    FeatureSpec(
        name="height", low=0.1, high=1.0, unit="m", about="height of the hill under the car; 0.1 valley, 0.99 flag"
    ),
    FeatureSpec(
        name="flag_distance", low=-0.15, high=1.65, unit="m", about="flag minus position; zero or less: reached"
    ),
    FeatureSpec(
        name="energy",
        low=0.0,
        high=3.0,
        unit="fraction",
        about="kinetic plus potential above rest in the valley; at 1 the car rolls up to the flag without engine",
    ),
)


def features(fields):
    position, velocity = fields["obs"].double().unbind(1)
    hill = torch.sin(3 * position)
    potential = 0.0025 / 3 * (hill + 1)
    needed = 0.0025 / 3 * (torch.sin(torch.tensor(3 * FLAG, dtype=torch.float64)) + 1)
    return {
        "position": position,
        "velocity": velocity,
        "height": 0.45 * hill + 0.55,
        "flag_distance": FLAG - position,
        "energy": (0.5 * velocity**2 + potential) / needed,
    }
