# Source: Gymnasium 1.2 Humanoid-v5, https://gymnasium.farama.org/environments/mujoco/humanoid/
def compute_reward(
    obs, action, next_obs, *, forward_weight=1.25, healthy_reward=5.0, control_cost=0.1, contact_cost=5e-7
):
    """The published reward: forward velocity and a bonus for every step not fallen minus torques and contact forces."""
    forward = forward_weight * next_obs["forward_velocity"]
    healthy = healthy_reward * (~next_obs["terminated"]).float()
    control = -control_cost * (action**2).sum(1)
    contact = -(contact_cost * next_obs["contact_force_square"]).clamp(max=10.0)
    total = forward + healthy + control + contact
    return total, {"forward": forward, "healthy": healthy, "control": control, "contact": contact}
