# Success of the task run_forward, per step: 1 on the step that passes 10 m.
def compute_reward(obs, action, next_obs):
    """One for passing the 10 m mark, zero elsewhere."""
    passed = ((obs["position"][:, 0] < 10.0) & (next_obs["position"][:, 0] >= 10.0)).float()
    return passed, {"passed": passed}
