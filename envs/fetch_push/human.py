# Source: Gymnasium-Robotics 1.4 FetchPushDense-v4, https://robotics.farama.org/envs/fetch/push/
def compute_reward(obs, action, next_obs, *, distance_weight=1.0):
    """The published dense reward: minus the distance of the block to the goal."""
    distance = -distance_weight * next_obs["goal_distance"]
    return distance, {"distance": distance}
