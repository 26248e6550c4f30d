"""Named features of Humanoid-v5."""

from rewardsmith.envs.floating import HUMANOID_FEATURES, axis, humanoid_features
from rewardsmith.types import FeatureSpec

DT = 0.015

FEATURES = (
    FeatureSpec(
        name="torso_height",
        unit="m",
        about="height of the torso's middle; 1.4 at the start; outside 1.0 to 2.0 the episode ends",
    ),
    FeatureSpec(name="upright", low=-1.0, high=1.0, unit="fraction", about="1 upright, 0 lying, -1 with the head down"),
    FeatureSpec(
        name="heading",
        shape=(2,),
        low=-1.0,
        high=1.0,
        unit="fraction",
        about="x and y of the direction in which the torso's front points; 1, 0 straight ahead",
    ),
    FeatureSpec(
        name="forward_velocity",
        unit="m/s",
        about="forward velocity of the centre of mass averaged over the last step (0 at the start)",
    ),
    *(FeatureSpec(name=name, **words) for name, words in HUMANOID_FEATURES.items()),
)


def features(fields):
    qpos = fields["qpos"]
    return {
        "torso_height": qpos[:, 2],
        "upright": axis(qpos, 2)[:, 2],
        "heading": axis(qpos, 0)[:, :2],
        "forward_velocity": (fields["subtree_com:torso"] - fields["before:subtree_com:torso"])[:, 0] / DT,
        **humanoid_features(fields),
    }
