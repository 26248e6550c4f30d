# Success of the task swim_forward, per step: 1 on the step that passes 4 m.
def compute_reward(obs, action, next_obs):
    """One for passing the 4 m mark, zero elsewhere."""
    passed = ((obs["position"][:, 0] < 4.0) & (next_obs["position"][:, 0] >= 4.0)).float()
    return passed, {"passed": passed}
