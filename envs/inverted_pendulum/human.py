# Source: Gymnasium 1.2 InvertedPendulum-v5, https://gymnasium.farama.org/environments/mujoco/inverted_pendulum/
def compute_reward(obs, action, next_obs, *, healthy_reward=1.0):
    """The published reward: one for every step that does not end the episode."""
    healthy = healthy_reward * (~next_obs["terminated"]).float()
    return healthy, {"healthy": healthy}
