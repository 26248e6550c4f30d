# Source: Gymnasium 1.2 Walker2d-v5, https://gymnasium.farama.org/environments/mujoco/walker2d/
def compute_reward(obs, action, next_obs, *, forward_weight=1.0, healthy_reward=1.0, control_cost=0.001):
    """The published reward: forward velocity plus a bonus for not having fallen minus the cost of the torques."""
    forward = forward_weight * next_obs["forward_velocity"]
    healthy = healthy_reward * (~next_obs["terminated"]).float()
    control = -control_cost * (action**2).sum(1)
    return forward + healthy + control, {"forward": forward, "healthy": healthy, "control": control}
