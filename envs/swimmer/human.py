# Source: Gymnasium 1.2 Swimmer-v5, https://gymnasium.farama.org/environments/mujoco/swimmer/
def compute_reward(obs, action, next_obs, *, forward_weight=1.0, control_cost=1e-4):
    """The published reward: forward velocity minus the cost of the torques."""
    forward = forward_weight * next_obs["forward_velocity"]
    control = -control_cost * (action**2).sum(1)
    return forward + control, {"forward": forward, "control": control}
