# Success of the task land, per step: 1 on the step that comes to rest on both legs between the flags.
def compute_reward(obs, action, next_obs):
    """One for a landing, zero elsewhere."""
    between_flags = next_obs["position"][:, 0].abs() < 2.0
    standing = next_obs["leg_contact"].all(1)
    landed = (next_obs["at_rest"] & standing & between_flags & ~next_obs["crashed"]).float()
    return landed, {"landed": landed}
