# Source: Gymnasium 1.2 CartPole-v1, https://gymnasium.farama.org/environments/classic_control/cart_pole/
import torch


def compute_reward(obs, action, next_obs, *, step_reward=1.0):
    """The published reward: one for every step, the last one included."""
    alive = step_reward * torch.ones_like(next_obs["pole_angle"])
    return alive, {"alive": alive}
