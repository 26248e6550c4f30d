# Success of the task stand_up, per step: 1 while the torso is above 1 m.
def compute_reward(obs, action, next_obs):
    """One while standing, zero elsewhere."""
    standing = (next_obs["torso_height"] > 1.0).float()
    return standing, {"standing": standing}
