"""Named features of InvertedDoublePendulum-v5."""

from rewardsmith.types import FeatureSpec

FEATURES = (
    FeatureSpec(name="cart_position", unit="m", about="0 in the middle of the rail, which ends at +-1"),
    FeatureSpec(name="cart_velocity", unit="m/s", about="of the cart along the rail"),
    FeatureSpec(
        name="pole_angles",
        shape=(2,),
        unit="rad",
        about="of the lower pole, 0 upright, and of the upper pole against the lower one; positive leaning towards "
        "positive positions",
    ),
    FeatureSpec(name="pole_velocities", shape=(2,), unit="rad/s", about="of pole_angles"),
    FeatureSpec(
        name="tip_position",
        shape=(2,),
        unit="m",
        about="of the upper pole's tip along the rail and upward; 1.2 upright, at 1.0 and below the episode ends",
    ),
)


def features(fields):
    qpos, qvel = fields["qpos"], fields["qvel"]
    return {
        "cart_position": qpos[:, 0],
        "cart_velocity": qvel[:, 0],
        "pole_angles": qpos[:, 1:],
        "pole_velocities": qvel[:, 1:],
        "tip_position": fields["site_xpos:tip"][:, ::2],
    }
