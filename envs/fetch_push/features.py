"""Named features of FetchPush-v4 from its observation, which holds velocities as displacements per step."""

from rewardsmith.types import FeatureSpec

DT = 0.04

FEATURES = (
    FeatureSpec(
        name="gripper",
        shape=(3,),
        unit="m",
        about="x (away from the robot), y (to its left), z of the shut gripper; starts at about (1.36, 0.75, 0.42)",
    ),
    FeatureSpec(
        name="block", shape=(3,), unit="m", about="x, y, z of the middle of the block, 5 cm wide, on a table at z = 0.4"
    ),
    FeatureSpec(name="goal", shape=(3,), unit="m", about="x, y, z to push the block's middle to, fixed in an episode"),
    FeatureSpec(name="to_block", shape=(3,), unit="m", about="vector from the gripper to the block"),
    FeatureSpec(name="to_goal", shape=(3,), unit="m", about="vector from the block to the goal"),
    FeatureSpec(name="reach_distance", low=0.0, unit="m", about="from the gripper to the block"),
    FeatureSpec(name="goal_distance", low=0.0, unit="m", about="from the block to the goal; below 0.05 is success"),
    FeatureSpec(name="gripper_velocity", shape=(3,), unit="m/s", about="of the gripper"),
    FeatureSpec(name="block_velocity", shape=(3,), unit="m/s", about="of the block"),
    FeatureSpec(name="block_rotation", shape=(3,), unit="rad", about="Euler angles of the block about x, y and z"),
)


def features(fields):
    block, goal, seen = fields["obs.achieved_goal"], fields["obs.desired_goal"], fields["obs.observation"]
    gripper, gripper_moved = seen[:, :3], seen[:, 20:23]
    return {
        "gripper": gripper,
        "block": block,
        "goal": goal,
        "to_block": block - gripper,
        "to_goal": goal - block,
        "reach_distance": (block - gripper).norm(dim=1),
        "goal_distance": (goal - block).norm(dim=1),
        "gripper_velocity": gripper_moved / DT,
        "block_velocity": (seen[:, 14:17] + gripper_moved) / DT,  # observed relative to the gripper
        "block_rotation": seen[:, 11:14],
    }
