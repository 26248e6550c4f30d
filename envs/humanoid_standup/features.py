"""Named features of HumanoidStandup-v5."""

from rewardsmith.envs.floating import HUMANOID_FEATURES, axis, humanoid_features
from rewardsmith.types import FeatureSpec

FEATURES = (
    FeatureSpec(
        name="torso_height",
        unit="m",
        about="height of the torso's middle; 0.1 lying on the back at the start, 0.8 kneeling upright, 1.2 standing",
    ),
    FeatureSpec(name="upright", low=-1.0, high=1.0, unit="fraction", about="1 upright, 0 lying, -1 with the head down"),
    *(FeatureSpec(name=name, **words) for name, words in HUMANOID_FEATURES.items()),
)


def features(fields):
    qpos = fields["qpos"]
    return {
        "torso_height": qpos[:, 2],
        "upright": -axis(qpos, 0)[:, 2],  # the head lies in the direction of -x
        **humanoid_features(fields),
    }
