"""Named features of FetchReach-v4 from its observation, which holds velocities as displacements per step."""

from rewardsmith.types import FeatureSpec

DT = 0.04

FEATURES = (
    FeatureSpec(
        name="gripper",
        shape=(3,),
        unit="m",
        about="x (away from the robot), y (to its left) and z of the gripper; starts at about (1.34, 0.75, 0.53)",
    ),
    FeatureSpec(
        name="goal", shape=(3,), unit="m", about="x, y, z of the goal, fixed in an episode, within 0.15 of the start"
    ),
    FeatureSpec(name="to_goal", shape=(3,), unit="m", about="vector from the gripper to the goal"),
    FeatureSpec(name="distance", low=0.0, unit="m", about="from the gripper to the goal; below 0.05 is success"),
    FeatureSpec(name="gripper_velocity", shape=(3,), unit="m/s", about="of the gripper"),
)


def features(fields):
    gripper, goal = fields["obs.achieved_goal"], fields["obs.desired_goal"]
    return {
        "gripper": gripper,
        "goal": goal,
        "to_goal": goal - gripper,
        "distance": (goal - gripper).norm(dim=1),
        "gripper_velocity": fields["obs.observation"][:, 5:8] / DT,
    }
