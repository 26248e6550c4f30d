# Source: Gymnasium 1.2 HalfCheetah-v5, https://gymnasium.farama.org/environments/mujoco/half_cheetah/
def compute_reward(obs, action, next_obs, *, forward_weight=1.0, control_cost=0.1):
    """The published reward: forward velocity minus the cost of the torques."""
    forward = forward_weight * next_obs["forward_velocity"]
    control = -control_cost * (action**2).sum(1)
    return forward + control, {"forward": forward, "control": control}
