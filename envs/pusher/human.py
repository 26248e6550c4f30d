# Source: Gymnasium 1.2 Pusher-v5, https://gymnasium.farama.org/environments/mujoco/pusher/
def compute_reward(obs, action, next_obs, *, goal_weight=1.0, near_weight=0.5, control_cost=0.1):
    """The published reward: minus the distances of the cylinder to the goal and to the fingertip minus torques."""
    goal = -goal_weight * next_obs["goal_distance"]
    near = -near_weight * next_obs["reach_distance"]
    control = -control_cost * (action**2).sum(1)
    return goal + near + control, {"goal": goal, "near": near, "control": control}
