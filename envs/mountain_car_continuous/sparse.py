# Success of the task reach_flag, per step: 1 on the step that reaches the flag.
def compute_reward(obs, action, next_obs):
    """One at the flag, zero elsewhere."""
    reached = ((next_obs["position"] >= 0.45) & (next_obs["velocity"] >= 0)).float()
    return reached, {"reached": reached}
