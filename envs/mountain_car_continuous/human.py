# Source: Gymnasium 1.2 MountainCarContinuous-v0, https://gymnasium.farama.org/environments/classic_control/mountain_car_continuous/
def compute_reward(obs, action, next_obs, *, goal_reward=100.0, control_cost=0.1):
    """The published reward: a bonus at the flag minus the cost of the engine."""
    goal = goal_reward * next_obs["terminated"].float()
    control = -control_cost * action[:, 0] ** 2
    return goal + control, {"goal": goal, "control": control}
