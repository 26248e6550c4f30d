# Source: Gymnasium 1.2 HumanoidStandup-v5, https://gymnasium.farama.org/environments/mujoco/humanoid_standup/
def compute_reward(
    obs, action, next_obs, *, height_weight=333.3333333333333, control_cost=0.1, impact_cost=5e-7, alive=1.0
):
    """The published reward: the torso's height (over 3 ms) minus torques and contact forces, plus one."""
    height = height_weight * next_obs["torso_height"].double()
    control = -control_cost * (action**2).sum(1)
    impact = -(impact_cost * next_obs["contact_force_square"]).clamp(max=10.0)
    return height + control + impact + alive, {"height": height, "control": control, "impact": impact}
