# Source: Gymnasium 1.2 InvertedDoublePendulum-v5, https://gymnasium.farama.org/environments/mujoco/inverted_double_pendulum/
def compute_reward(
    obs,
    action,
    next_obs,
    *,
    healthy_reward=10.0,
    offset_cost=0.01,
    height_cost=1.0,
    lower_speed_cost=0.001,
    upper_speed_cost=0.005,
):
    """The published reward: ten for every step not fallen minus costs of the tip's place and the poles' speeds."""
    x, height = next_obs["tip_position"][:, 0], next_obs["tip_position"][:, 1]
    speeds = next_obs["pole_velocities"]
    healthy = healthy_reward * (~next_obs["terminated"]).float()
    place = -(offset_cost * x**2 + height_cost * (height - 2.0) ** 2)
    speed = -(lower_speed_cost * speeds[:, 0] ** 2 + upper_speed_cost * speeds[:, 1] ** 2)
    return healthy + place + speed, {"healthy": healthy, "place": place, "speed": speed}
