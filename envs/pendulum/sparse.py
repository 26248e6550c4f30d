# Success of the task swing_up, per step: 1 while the pendulum is upright and still.
def compute_reward(obs, action, next_obs):
    """One while balanced, zero elsewhere."""
    balanced = ((next_obs["angle"].abs() < 0.1) & (next_obs["angular_velocity"].abs() < 0.5)).float()
    return balanced, {"balanced": balanced}
