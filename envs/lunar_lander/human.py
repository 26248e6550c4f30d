# Source: Gymnasium 1.2 LunarLander-v3, https://gymnasium.farama.org/environments/box2d/lunar_lander/
import torch


def shaping(o, distance_weight, speed_weight, angle_weight, leg_bonus):
    # Doubles, as in the source: the reward is a small difference of two large numbers.
    x = (o["hull_position"][:, 0].double() - 10.0) / 10.0
    y = (o["hull_position"][:, 1].double() - (400.0 / 30.0 / 4.0 + 18.0 / 30.0)) / (400.0 / 30.0 / 2.0)
    vx = o["velocity"][:, 0].double() * 10.0 / 50.0
    vy = o["velocity"][:, 1].double() * (400.0 / 30.0 / 2.0) / 50.0
    legs = o["leg_contact"].double().sum(1)
    return (
        -distance_weight * torch.sqrt(x * x + y * y)
        - speed_weight * torch.sqrt(vx * vx + vy * vy)
        - angle_weight * o["angle"].double().abs()
        + leg_bonus * legs
    )


def compute_reward(
    obs,
    action,
    next_obs,
    *,
    distance_weight=100.0,
    speed_weight=100.0,
    angle_weight=100.0,
    leg_bonus=10.0,
    main_fuel=0.3,
    side_fuel=0.03,
    rest_reward=100.0,
    crash_reward=-100.0,
):
    """The published reward: progress towards a slow, upright landing on the pad, minus fuel, and +-100 at the end."""
    after = shaping(next_obs, distance_weight, speed_weight, angle_weight, leg_bonus)
    progress = after - shaping(obs, distance_weight, speed_weight, angle_weight, leg_bonus)
    fuel = -main_fuel * (action == 2).double() - side_fuel * ((action == 1) | (action == 3)).double()
    end = torch.where(next_obs["at_rest"], rest_reward, crash_reward)
    total = torch.where(next_obs["terminated"], end, progress + fuel)
    return total, {"progress": progress, "fuel": fuel, "end": torch.where(next_obs["terminated"], end, 0.0)}
