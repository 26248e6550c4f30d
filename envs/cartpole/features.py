"""Named features of CartPole-v1 from its observation."""

from rewardsmith.types import FeatureSpec

FEATURES = (
    FeatureSpec(
        name="cart_position",
        low=-4.8,
        high=4.8,
        unit="m",
        about="0 in the middle of the track, positive to the right; beyond +-2.4 the episode ends",
    ),
    FeatureSpec(name="cart_velocity", unit="m/s", about="positive to the right"),
    FeatureSpec(
        name="pole_angle",
        low=-0.42,
        high=0.42,
        unit="rad",
        about="0 upright, positive leaning to the right; beyond +-0.2095 (12 degrees) the episode ends",
    ),
    FeatureSpec(name="pole_velocity", unit="rad/s", about="positive falling to the right"),
)


def features(fields):
    return {spec.name: column for spec, column in zip(FEATURES, fields["obs"].unbind(1), strict=True)}
