"""Named features of BipedalWalker-v3 in physical units, read from its Box2D bodies (all float32 inside Box2D)."""

from rewardsmith.types import FeatureSpec

END = 190 * 14 / 30  # where the course ends
JOINTS = "hip and knee of the first leg, hip and knee of the second leg"

FEATURES = (
    FeatureSpec(
        name="position",
        shape=(2,),
        unit="m",
        about="x (forward) and y (up) of the hull; starts at about (4.67, 5.7); the course ends at x = 88.67; x below "
        "0 ends the episode as a fall",
    ),
    FeatureSpec(name="velocity", shape=(2,), unit="m/s", about="of the hull, forward and up"),
    FeatureSpec(name="angle", unit="rad", about="tilt of the hull, 0 level, positive nose up"),
    FeatureSpec(name="angular_velocity", unit="rad/s", about="of the hull, positive nose up"),
    FeatureSpec(
        name="joint_angles",
        shape=(4,),
        unit="rad",
        about=f"{JOINTS}; hips -0.8 to 1.1 (positive forward), knees -1.6 (bent) to -0.1 (straight)",
    ),
    FeatureSpec(name="joint_velocities", shape=(4,), unit="rad/s", about=JOINTS),
    FeatureSpec(name="foot_contacts", shape=(2,), dtype="bool", about="the first and the second leg touch the ground"),
    FeatureSpec(
        name="lidar",
        shape=(10,),
        low=0.0,
        high=1.0,
        unit="fraction",
        about="distance to the ground in 5.33 m along ten rays from the hull, from straight down to ahead",
    ),
    FeatureSpec(
        name="fallen", dtype="bool", about="the hull touched the ground or left the course; this ends the episode"
    ),
    FeatureSpec(name="finished", dtype="bool", about="the end of the course is reached; this ends the episode"),
)

FIELDS = {
    "hull": ((6,), "float64"),  # x, y, vx, vy, angle, angular velocity
    "joints": ((4, 2), "float64"),  # angle, speed
    "feet": ((2,), "bool"),
    "lidar": ((10,), "float64"),
    "game_over": ((), "bool"),
}


def read(env, info, action):
    hull = env.hull
    position, velocity = hull.position, hull.linearVelocity
    return {
        "hull": (position.x, position.y, velocity.x, velocity.y, hull.angle, hull.angularVelocity),
        "joints": [(joint.angle, joint.speed) for joint in env.joints],
        "feet": (env.legs[1].ground_contact, env.legs[3].ground_contact),
        "lidar": [ray.fraction for ray in env.lidar],
        "game_over": env.game_over,
    }


def features(fields):
    hull, joints = fields["hull"], fields["joints"]
    return {
        "position": hull[:, :2],
        "velocity": hull[:, 2:4],
        "angle": hull[:, 4],
        "angular_velocity": hull[:, 5],
        "joint_angles": joints[:, :, 0],
        "joint_velocities": joints[:, :, 1],
        "foot_contacts": fields["feet"],
        "lidar": fields["lidar"],
        "fallen": fields["game_over"] | (hull[:, 0] < 0),
        "finished": hull[:, 0] > END,
    }
