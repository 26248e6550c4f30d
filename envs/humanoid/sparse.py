# Success of the task walk_forward, per step: 1 on the step that passes 5 m.
def compute_reward(obs, action, next_obs):
    """One for passing the 5 m mark, zero elsewhere."""
    passed = ((obs["position"][:, 0] < 5.0) & (next_obs["position"][:, 0] >= 5.0)).float()
    return passed, {"passed": passed}
