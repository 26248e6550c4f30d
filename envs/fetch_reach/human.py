# Source: Gymnasium-Robotics 1.4 FetchReachDense-v4, https://robotics.farama.org/envs/fetch/reach/
def compute_reward(obs, action, next_obs, *, distance_weight=1.0):
    """The published dense reward: minus the distance of the gripper to the goal."""
    distance = -distance_weight * next_obs["distance"]
    return distance, {"distance": distance}
