# Source: Gymnasium 1.2 Reacher-v5, https://gymnasium.farama.org/environments/mujoco/reacher/ (weights as in its code)
def compute_reward(obs, action, next_obs, *, distance_weight=1.0, control_weight=1.0):
    """The published reward: minus the distance to the target minus the cost of the torques."""
    distance = -distance_weight * next_obs["distance"]
    control = -control_weight * (action**2).sum(1)
    return distance + control, {"distance": distance, "control": control}
