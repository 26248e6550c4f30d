"""Named features of LunarLander-v3 in physical units, read from its Box2D bodies (all float32 inside Box2D)."""

import torch

from rewardsmith.types import FeatureSpec

PAD_X = 10.0
PAD_Y = 400 / 30 / 4 + 18 / 30  # helipad height plus leg length: the hull's height when standing on the pad
EDGE = 10.0  # the episode ends when |x| reaches it

FEATURES = (
    FeatureSpec(
        name="position",
        shape=(2,),
        unit="m",
        about="x right and y up from the middle of the landing pad; flags at x = -2 and 2; y = 0 standing on it; "
        "starts at about (0, 9.4)",
    ),
    FeatureSpec(
        name="velocity", shape=(2,), unit="m/s", about="horizontal (right positive) and vertical (up positive)"
    ),
    FeatureSpec(
        name="angle", unit="rad", about="tilt of the hull, 0 upright, positive counter-clockwise (leaning left)"
    ),
    FeatureSpec(name="angular_velocity", unit="rad/s", about="of the hull, positive counter-clockwise"),
    FeatureSpec(
        name="leg_contact", shape=(2,), dtype="bool", about="whether the right and the left leg touch the ground"
    ),
    FeatureSpec(
        name="main_engine", low=0.0, high=1.0, unit="fraction", about="power of the main engine in the last step"
    ),
    FeatureSpec(
        name="side_engine", low=-1.0, high=1.0, unit="fraction", about="side engine in the last step, -1 left, 1 right"
    ),
    FeatureSpec(name="at_rest", dtype="bool", about="the lander has stopped moving for good; this ends the episode"),
    FeatureSpec(
        name="crashed", dtype="bool", about="the hull touched the ground or left the area; this ends the episode"
    ),
    FeatureSpec(
        name="hull_position",
        shape=(2,),
        unit="m",
        about="the same as position, in world coordinates: the pad is at (10, 3.933)",
    ),
)

FIELDS = {
    "body": ((6,), "float64"),  # x, y, vx, vy, angle, angular velocity
    "legs": ((2,), "bool"),
    "engines": ((2,), "float64"),  # main 0..1, side -1..1
    "awake": ((), "bool"),
    "game_over": ((), "bool"),
}


def read(env, info, action):
    lander = env.lander
    position, velocity = lander.position, lander.linearVelocity
    return {
        "body": (position.x, position.y, velocity.x, velocity.y, lander.angle, lander.angularVelocity),
        "legs": (env.legs[0].ground_contact, env.legs[1].ground_contact),
        "engines": (action == 2, {1: -1.0, 3: 1.0}.get(action, 0.0)),
        "awake": lander.awake,
        "game_over": env.game_over,
    }


def features(fields):
    body = fields["body"]
    pad = torch.tensor([PAD_X, PAD_Y], dtype=torch.float64, device=body.device)
    position = body[:, :2] - pad
    # The environment tests the normalized coordinate, computed in this order.
    outside = (position[:, 0] / EDGE).abs() >= 1
    return {
        "position": position,
        "velocity": body[:, 2:4],
        "angle": body[:, 4],
        "angular_velocity": body[:, 5],
        "leg_contact": fields["legs"],
        "main_engine": fields["engines"][:, 0],
        "side_engine": fields["engines"][:, 1],
        "at_rest": ~fields["awake"],
        "crashed": fields["game_over"] | outside,
        "hull_position": body[:, :2],
    }
