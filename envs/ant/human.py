# Source: Gymnasium 1.2 Ant-v5, https://gymnasium.farama.org/environments/mujoco/ant/
def compute_reward(
    obs, action, next_obs, *, forward_weight=1.0, healthy_reward=1.0, control_cost=0.5, contact_cost=5e-4
):
    """The published reward: forward velocity and a bonus for every healthy step minus torques and contact forces."""
    forward = forward_weight * next_obs["forward_velocity"]
    healthy = healthy_reward * (~next_obs["terminated"]).float()
    control = -control_cost * (action**2).sum(1)
    contact = -contact_cost * next_obs["contact_force_square"]
    total = forward + healthy + control + contact
    return total, {"forward": forward, "healthy": healthy, "control": control, "contact": contact}
