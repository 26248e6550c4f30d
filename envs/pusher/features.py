"""Named features of Pusher-v5."""

from rewardsmith.types import FeatureSpec

FEATURES = (
    FeatureSpec(name="fingertip", shape=(3,), unit="m", about="x, y, z of the arm's tip"),
    FeatureSpec(
        name="object", shape=(3,), unit="m", about="x, y, z of the cylinder, which slides on a table; z stays -0.275"
    ),
    FeatureSpec(name="goal", shape=(3,), unit="m", about="x, y, z of the place to push the cylinder to"),
    FeatureSpec(name="to_object", shape=(3,), unit="m", about="vector from the fingertip to the cylinder"),
    FeatureSpec(name="to_goal", shape=(3,), unit="m", about="vector from the cylinder to the goal"),
    FeatureSpec(name="reach_distance", low=0.0, unit="m", about="from the fingertip to the cylinder"),
    FeatureSpec(
        name="goal_distance", low=0.0, unit="m", about="from the cylinder to the goal; below 0.08 at the end is success"
    ),
    FeatureSpec(
        name="joint_angles",
        shape=(7,),
        unit="rad",
        about="shoulder pan and lift, upper arm roll, elbow, forearm roll, wrist bend and roll",
    ),
    FeatureSpec(name="joint_velocities", shape=(7,), unit="rad/s", about="in the order of joint_angles"),
    FeatureSpec(name="object_velocity", shape=(2,), unit="m/s", about="x and y velocity of the cylinder"),
)


def features(fields):
    tip, object, goal = (fields[f"xpos:{body}"] for body in ("tips_arm", "object", "goal"))
    return {
        "fingertip": tip,
        "object": object,
        "goal": goal,
        "to_object": object - tip,
        "to_goal": goal - object,
        "reach_distance": (object - tip).norm(dim=1),
        "goal_distance": (object - goal).norm(dim=1),
        "joint_angles": fields["qpos"][:, :7],
        "joint_velocities": fields["qvel"][:, :7],
        "object_velocity": fields["qvel"][:, [8, 7]],  # the joint along y comes first
    }
