# Source: Gymnasium 1.2 Pendulum-v1, https://gymnasium.farama.org/environments/classic_control/pendulum/
def compute_reward(obs, action, next_obs, *, speed_cost=0.1, control_cost=0.001):
    """The published reward: minus the squared angle, speed and torque, the first two from before the step."""
    angle = -(obs["angle"] ** 2)
    speed = -speed_cost * obs["angular_velocity"] ** 2
    control = -control_cost * action[:, 0] ** 2
    return angle + speed + control, {"angle": angle, "speed": speed, "control": control}
