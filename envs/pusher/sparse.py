# Success of the task push, per step: 1 while the cylinder is on the goal's disc.
def compute_reward(obs, action, next_obs):
    """One while the cylinder is on the goal, zero elsewhere."""
    there = (next_obs["goal_distance"] < 0.08).float()
    return there, {"there": there}
