# Source: Gymnasium 1.2 BipedalWalker-v3, https://gymnasium.farama.org/environments/box2d/bipedal_walker/
import torch


def shaping(o, progress_weight, tilt_cost):
    # Doubles, as in the source: the reward is a small difference of two large numbers.
    return progress_weight * o["position"][:, 0].double() / 30.0 - tilt_cost * o["angle"].double().abs()


def compute_reward(
    obs, action, next_obs, *, progress_weight=130.0, tilt_cost=5.0, torque_cost=0.028, fall_reward=-100.0
):
    """The published reward: progress with a level hull minus the cost of the motors, and -100 for a fall."""
    walking = shaping(next_obs, progress_weight, tilt_cost) - shaping(obs, progress_weight, tilt_cost)
    torque = -torque_cost * action.double().abs().clamp(max=1.0).sum(1)
    fall = torch.where(next_obs["fallen"], fall_reward, 0.0)
    total = torch.where(next_obs["fallen"], fall, walking + torque)
    return total, {"walking": walking, "torque": torque, "fall": fall}
