"""Eight rewards of six components each, of the kind that language models write, for the benchmarks."""

from __future__ import annotations

from rewardsmith.envs import resolve_env
from rewardsmith.reward.compile import compile_reward, reward_jail

RUNNER = """
def compute_reward(obs, action, next_obs, *, speed={a}, upright=0.5, width=0.7, effort=0.1, smooth=0.01, alive=0.5):
    forward = speed * next_obs["forward_velocity"]
    posture = upright * torch.exp(-((next_obs["torso_pitch"] / width) ** 2))
    height = torch.tanh(next_obs["torso_height"] / 0.2)
    cost = -effort * (action**2).sum(dim=-1)
    calm = -smooth * next_obs["joint_velocities"].square().sum(dim=-1)
    living = torch.where(next_obs["terminated"], 0.0, alive)
    total = forward + posture + height + cost + calm + living
    return total, {{
        "forward": forward, "posture": posture, "height": height, "cost": cost, "calm": calm, "living": living
    }}
"""
WALKER = RUNNER.replace('next_obs["torso_pitch"]', '(1 - next_obs["upright"])')
BALANCER = """
def compute_reward(obs, action, next_obs, *, angle_width=0.1, place_width=1.0, alive={a}):
    upright = torch.exp(-((next_obs["pole_angle"] / angle_width) ** 2))
    centred = 0.3 * torch.exp(-((next_obs["cart_position"] / place_width) ** 2))
    calm = -0.01 * next_obs["cart_velocity"].square()
    still = -0.01 * next_obs["pole_velocity"].square()
    living = torch.where(next_obs["terminated"], 0.0, alive)
    turn = -0.01 * (action == 1).float()
    total = upright + centred + calm + still + living + turn
    return total, {{
        "upright": upright, "centred": centred, "calm": calm, "still": still, "living": living, "turn": turn
    }}
"""
CANDIDATES = 8


def graphs(pack: str, template: str) -> dict[str, str]:
    """Graph JSON by candidate id. Raises: AssertionError: a feature of the pack is missing."""
    interface, found = resolve_env(pack).interface, {}
    with reward_jail() as jail:
        for i in range(CANDIDATES):
            result = compile_reward(template.format(a=1.0 + i / 10), interface, jail)
            assert result.program is not None, result.findings
            found[f"c{i}"] = result.program.to_json()
    return found
