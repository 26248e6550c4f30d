"""Rewards in the manner of published systems and environments: what they compute is varied."""

# ruff: noqa: E501 (rewards are kept as they were written)

from __future__ import annotations

PUBLISHED: dict[str, str] = {
    "eureka_temperatures": """
import torch
from typing import Dict, Tuple
from torch import Tensor

@torch.jit.script
def compute_reward(obs: Dict[str, Tensor], action: Tensor, next_obs: Dict[str, Tensor]) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
    # Temperature parameters for the transformed reward components
    velocity_temp: float = 0.5
    height_temp = torch.tensor(2.0, device=action.device)
    velocity_reward = torch.exp(next_obs["velocity"][:, 0] / velocity_temp) - 1
    height_error = torch.abs(next_obs["height"] - 0.8)
    height_reward: torch.Tensor = torch.exp(-height_temp * height_error)
    action_penalty = -0.01 * torch.sum(action ** 2, dim=-1)
    total_reward = velocity_reward + height_reward + action_penalty
    reward_components = {
        "velocity_reward": velocity_reward,
        "height_reward": height_reward,
        "action_penalty": action_penalty,
    }
    return total_reward, reward_components
""",
    "text2reward_stages": """
def compute_reward(obs, action, next_obs):
    # Initialize reward
    reward = 0.0
    # 1. Reach
    dist = torch.linalg.norm(next_obs["position"] - torch.tensor([0.1, 0.2, 0.3], dtype=torch.float32, device=next_obs["position"].device), dim=-1)
    reach_reward = 1 - torch.tanh(5 * dist)
    reward += reach_reward
    # 2. Grasp
    is_grasped = next_obs["contact"].float()
    reward += is_grasped * 2.0
    # 3. static
    static_reward = 1 - torch.tanh(5 * torch.linalg.norm(next_obs["joints"][:, 0], axis=1))
    reward += static_reward * is_grasped
    reward -= 0.05 * torch.norm(action, p=2, dim=-1)
    return reward, {"reach": reach_reward, "grasp": is_grasped, "static": static_reward}
""",
    "quaternions": '''
def quat_mul(a, b):
    """Hamilton product of quaternions (w, x, y, z)."""
    w1, x1, y1, z1 = a.unbind(-1)
    w2, x2, y2, z2 = torch.unbind(b, dim=-1)
    return torch.stack([
        w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
        w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
        w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
        w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
    ], dim=-1)

def quat_conj(q):
    return q * torch.tensor([1.0, -1.0, -1.0, -1.0], device=q.device)

def compute_reward(obs, action, next_obs):
    q = F.normalize(next_obs["joints"][:, 0], p=2, dim=-1)
    g = torch.nn.functional.normalize(next_obs["joints"][:, 1], dim=-1)
    diff = quat_mul(q, quat_conj(g))
    angle = 2.0 * torch.asin(torch.clamp(torch.norm(diff[:, 1:4], p=2, dim=-1), max=1.0))
    rot_rew = 1.0 / (torch.abs(angle) + 0.1)
    rolled = torch.atan2(2 * (q[:, 0] * q[:, 1] + q[:, 2] * q[:, 3]), 1 - 2 * (q[..., 1] ** 2 + q[..., 2] ** 2))
    return rot_rew - 0.1 * rolled, {"rot_rew": rot_rew, "roll": rolled}
''',
    "isaac_where_ones_like": """
def compute_reward(obs, action, next_obs):
    h = next_obs["height"]
    rew = torch.where(h > 0.3, torch.ones_like(h) * 2.0, torch.zeros_like(h))
    rew = torch.where(torch.abs(h) > 2.0, torch.ones_like(rew) * -2.0, rew)
    bonus = torch.where(h < 0.0, torch.tensor(1.0), torch.tensor(0.0))
    return rew + bonus, {"rew": rew, "bonus": bonus}
""",
    "isaac_reset_buffer": '''
def compute_reward(obs, action, next_obs):
    """rew_buf / reset_buf style, as in Isaac Gym tasks."""
    pole_angle = next_obs["joints"][:, 0, 0]
    pole_vel = next_obs["joints"][:, 0, 1]
    cart_vel, cart_pos = next_obs["velocity"][:, 0], next_obs["position"][:, 0]
    reset_dist = 3.0
    reward = 1.0 - pole_angle * pole_angle - 0.01 * torch.abs(cart_vel) - 0.005 * torch.abs(pole_vel)
    reward = torch.where(torch.abs(cart_pos) > reset_dist, torch.ones_like(reward) * -2.0, reward)
    reward = torch.where(torch.abs(pole_angle) > torch.pi / 2, torch.ones_like(reward) * -2.0, reward)
    reset = torch.where(torch.abs(cart_pos) > reset_dist, torch.ones_like(reward), torch.zeros_like(reward))
    return reward, {"reward": reward, "reset": reset}
''',
    "gymnasium_terms": """
def compute_reward(obs, action, next_obs, *, forward_w=1.0, ctrl_w=1e-3, healthy=1.0, z_min=0.2, z_max=1.0):
    x_before, x_after = obs["position"][:, 0], next_obs["position"][:, 0]
    dt = 0.05
    forward_reward = forward_w * (x_after - x_before) / dt
    z = next_obs["height"]
    is_healthy = (z_min <= z) & (z <= z_max)
    healthy_reward = healthy * is_healthy
    ctrl_cost = ctrl_w * torch.sum(action * action, dim=1)
    contact_cost = 5e-4 * next_obs["contact"].to(torch.float32)
    reward = forward_reward + healthy_reward - ctrl_cost - contact_cost
    info = {"reward_forward": forward_reward, "reward_survive": healthy_reward, "reward_ctrl": -ctrl_cost}
    return reward, info
""",
    "mjpc_residuals": '''
def _norm_cost(x, p=0.1):
    """MuJoCo MPC's smooth absolute value."""
    return torch.sqrt(x * x + p * p) - p

def compute_reward(obs, action, next_obs, *, w_height=100, w_vel=10):
    residuals = [
        (w_height, next_obs["height"] - 1.0),
        (w_vel, next_obs["velocity"][..., 0] - 0.5),
    ]
    cost = torch.zeros_like(next_obs["height"])
    terms = {}
    for i, (w, r) in enumerate(residuals):
        term = w * _norm_cost(r)
        terms[f"r{i}"] = -term
        cost = cost + term
    return -cost, terms
''',
    "kernels_as_helpers": """
def gaussian(x, sigma: float = 0.25):
    return torch.exp(-x.pow(2) / (2 * sigma**2))

def rbf(x, y, gamma=1.0):
    return torch.exp(-gamma * ((x - y) ** 2).sum(dim=-1))

def smoothstep(x, lo, hi):
    t = ((x - lo) / (hi - lo)).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)

def compute_reward(obs, action, next_obs, *, sigma=0.25, gamma=2.0, lo=0.0, hi=1.0):
    c = {
        "g": gaussian(next_obs["height"], sigma=sigma),
        "k": rbf(next_obs["position"], obs["position"], gamma),
        "s": smoothstep(next_obs["velocity"][:, 0], lo, hi),
    }
    total = c["g"] * c["k"] + c["s"]
    c["total_product"] = total
    return total, c
""",
    "reward_machine_in_a_loop": """
STAGES = 3
def initial_memory(n):
    return {"stage": torch.zeros(n, dtype=torch.int64), "held": torch.zeros((n,)), "last": torch.zeros(n, 2)}

def compute_reward(obs, action, next_obs, memory, *, stage_bonus=5.0, smooth=0.1):
    stage = memory["stage"]
    conditions = [next_obs["height"] > 0.5, next_obs["contact"], next_obs["height"] < -0.5]
    new_stage = stage.clone()
    for k, condition in enumerate(conditions):
        new_stage = torch.where((stage == k) & condition, torch.full_like(stage, k + 1), new_stage)
    held = torch.where(next_obs["contact"], memory["held"] + 1.0, torch.zeros_like(memory["held"]))
    jerk = (action - memory["last"]).pow(2).sum(-1)
    gain = stage_bonus * (new_stage - stage).float()
    total = gain - smooth * jerk + 0.01 * torch.minimum(held, torch.full_like(held, 50.0))
    memory = {"stage": new_stage, "held": held, "last": action}
    return total, {"gain": gain, "jerk": -smooth * jerk}, memory
""",
    "reward_machine_as_a_table": """
TRANSITIONS = torch.tensor([[0, 1], [1, 2], [2, 2]])

def initial_memory(n):
    return {"state": torch.zeros(n, dtype=torch.int64)}

def compute_reward(obs, action, next_obs, memory):
    event = next_obs["contact"].long()
    state = TRANSITIONS.to(event.device)[memory["state"], event]
    entered = (state == 2) & (memory["state"] != 2)
    shaping = torch.tensor([0.0, 0.1, 0.0])[state]
    return entered.float() * 10.0 + shaping, {"entered": entered.float(), "shaping": shaping}, {"state": state}
""",
    "memory_copied_and_updated": """
def initial_memory(n: int) -> dict:
    return dict(best=torch.full((n,), 100.0), flag=torch.zeros(n, dtype=torch.bool))

def compute_reward(obs, action, next_obs, memory):
    new = dict(memory)
    d = next_obs["position"].norm(dim=-1)
    new["best"] = torch.minimum(memory["best"], d)
    new["flag"] = memory["flag"] | next_obs["contact"]
    r = (memory["best"] - new["best"]).clamp(0, 1) * (~memory["flag"])
    return r, {"improve": r}, new
""",
    "potential_with_docstring": '''
def _distance(state):
    return torch.linalg.vector_norm(state["position"], dim=-1)

def potential(obs, *, shaping=1.0):
    return -shaping * _distance(obs)

def compute_reward(obs, action, next_obs, *, success_bonus=10.0, radius=0.25):
    """Sparse goal with shaping.

    Args:
        obs: features before.

    Returns:
        total (N,), components.
    """
    reached = (_distance(next_obs) < radius).float()
    return success_bonus * reached, {"reached": reached}
''',
    "potential_of_a_sparse_goal": """
GOAL = torch.tensor([1.0, 0.0, 0.0])

def potential(obs: dict, *, scale: float = 3.0):
    return torch.exp(-scale * torch.linalg.norm(obs["position"] - GOAL.to(obs["position"].device), dim=-1))

def compute_reward(obs, action, next_obs, *, tol=0.2):
    done = torch.linalg.norm(next_obs["position"] - GOAL, dim=-1).lt(tol)
    return done.float(), {"done": done.float()}
""",
    "piecewise_stages": """
def compute_reward(obs, action, next_obs):
    d = torch.norm(next_obs["position"], dim=-1)
    stage = (d < 1.0).int() + (d < 0.5).int() + (d < 0.1).int()
    bonus = stage.float() * 0.5
    poly = -1.0 * d ** 3 + 2 * d ** 2 - d + 4
    huber = torch.where(d < 1.0, 0.5 * d ** 2, d - 0.5)
    return bonus + poly - huber, {"bonus": bonus, "poly": poly, "huber": huber}
""",
    "thresholds_in_lists": """
THRESHOLDS = [0.1, 0.25, 0.5, 1.0]
BONUS = [4, 3, 2, 1]
def compute_reward(obs, action, next_obs):
    d = torch.linalg.vector_norm(next_obs["position"], ord=2, dim=-1)
    staged = torch.zeros_like(d)
    for limit, bonus in reversed(list(zip(THRESHOLDS, BONUS))):
        staged = torch.where(d < limit, torch.tensor(float(bonus), device=d.device), staged)
    level = torch.bucketize(d, torch.tensor(THRESHOLDS))
    return staged - level, {"staged": staged, "level": -level.float()}
""",
    "rotation_matrices": """
def compute_reward(obs, action, next_obs):
    yaw = next_obs["joints"][:, 0, 0]
    c, s = torch.cos(yaw), torch.sin(yaw)
    rot = torch.stack([torch.stack([c, -s], dim=-1), torch.stack([s, c], dim=-1)], dim=-2)
    local = torch.matmul(rot, next_obs["position"][:, :2].unsqueeze(-1)).squeeze(-1)
    local2 = (rot @ next_obs["position"][:, :2, None])[..., 0]
    eye = torch.eye(2).unsqueeze(0)
    sym = ((rot - eye) ** 2).sum(dim=(1, 2))
    trace = torch.diagonal(rot, dim1=-2, dim2=-1).sum(-1)
    return local[:, 0] + local2[:, 1] - sym + trace, {"local": local[:, 0]}
""",
    "unit_vectors": """
def compute_reward(obs, action, next_obs, *, eps=1e-6):
    v = next_obs["velocity"]
    unit = v / (v.norm(dim=-1, keepdim=True) + eps)
    goal = torch.tensor([1.0, 0.0, 0.0], device=v.device).view(1, 3).expand_as(v)
    heading = (unit * goal).sum(-1)
    cos = torch.cosine_similarity(v, goal, dim=1)
    cross = torch.cross(unit, goal, dim=-1).norm(dim=-1)
    proj = torch.sum(v * goal, -1, keepdim=True) * goal
    side = (v - proj).norm(dim=-1)
    return heading + cos - cross - side, {"heading": heading, "cos": cos, "side": -side}
""",
    "gaussian_constants": """
import math
SCALE = 1.0 / math.sqrt(2.0 * math.pi)
GOAL = (0.1, -0.2, 0.3)
def compute_reward(obs, action, next_obs):
    sigma = 0.25
    gauss = SCALE / sigma * torch.exp(-0.5 * (next_obs["height"] / sigma) ** 2)
    goal = torch.as_tensor(GOAL)
    d = torch.sqrt(torch.sum((next_obs["position"] - goal) ** 2, dim=-1) + 1e-8)
    return gauss - d, {"gauss": gauss, "d": -d}
""",
    "joint_limits": """
JOINT_LIMITS = [(-1.0, 1.0), (-0.5, 0.5), (-2, 2), (0.0, 1.5)]
def compute_reward(obs, action, next_obs):
    cost = 0.0
    for i, (low, high) in enumerate(JOINT_LIMITS):
        q = next_obs["joints"][:, 0, i]
        cost = cost + F.relu(low - q) + F.relu(q - high)
    tilt = sum(w * next_obs["joints"][:, 1, i] for i, w in zip(range(4), (1.0, 0.5, 0.25, 0.125)))
    return -cost + tilt, {"limits": -cost, "tilt": tilt}
""",
    "values_of_rooms": """
ROOM_VALUE = {0: 0.0, 1: 0.1, 2: 0.5, 3: 1.0, 4: -1.0}
def compute_reward(obs, action, next_obs):
    values = torch.tensor([ROOM_VALUE[k] for k in sorted(ROOM_VALUE)], device=action.device)
    onehot = torch.nn.functional.one_hot(next_obs["room"].long(), num_classes=len(ROOM_VALUE)).to(values.dtype)
    r = (onehot * values).sum(-1)
    r2 = torch.zeros_like(r)
    for k, v in ROOM_VALUE.items():
        r2 = torch.where(next_obs["room"] == k, torch.full_like(r2, v), r2)
    return r + r2, {"room": r}
""",
    "nested_configuration": """
CONFIG = {
    "target": {"height": 0.6, "speed": 1.0},
    "weights": {"height": 1.0, "speed": 0.5},
}
def _term(name, value):
    return -CONFIG["weights"][name] * (value - CONFIG["target"][name]) ** 2
def compute_reward(obs, action, next_obs):
    values = {"height": next_obs["height"], "speed": next_obs["velocity"][:, 0]}
    comps = {n: _term(n, v) for n, v in values.items()}
    comps_sorted = {k: comps[k] for k in sorted(comps)}
    return sum(comps_sorted[k] for k in comps_sorted), comps_sorted
""",
    "positions_over_time": """
def _parts(o):
    return o["position"], o["velocity"], o["height"]
def compute_reward(obs, action, next_obs):
    p, v, h = _parts(next_obs)
    p0, _, h0 = _parts(obs)
    climb = h - h0
    forward = (p - p0)[:, 0] / 0.05
    total = 1.0 * forward + 2.0 * climb - 1e-3 * (v * v).sum(1)
    return total, dict(forward=forward, climb=climb)
""",
    "finite_differences": """
def compute_reward(obs, action, next_obs):
    dt: float = 1 / 60
    max_torque = 3 * 9.81 / 2
    accel = (next_obs["velocity"] - obs["velocity"]) / dt
    jerkiness = accel.norm(dim=-1) ** 0.5
    torque = (max_torque * action).abs().amax(dim=-1)
    r = -1e-2 * jerkiness - 1.0e-3 * torque ** 2 + 2 ** (-next_obs["height"].abs())
    return r, {"jerk": -jerkiness, "torque": -torque}
""",
    "many_functionals": """
def compute_reward(obs, action, next_obs):
    a = F.softplus(next_obs["height"], beta=5.0)
    b = F.hardtanh(next_obs["height"], -1.0, 1.0)
    c = F.mse_loss(next_obs["position"], obs["position"], reduction="none").mean(-1)
    d = F.l1_loss(action, torch.zeros_like(action), reduction="none").sum(dim=1)
    e = F.huber_loss(next_obs["height"], obs["height"], reduction="none", delta=0.5)
    f = F.leaky_relu(next_obs["height"], 0.1) + F.gelu(next_obs["height"]) + F.logsigmoid(next_obs["height"])
    g = F.pairwise_distance(next_obs["position"], obs["position"])
    h = F.softmax(next_obs["joints"][:, 0], dim=-1)[:, 0]
    return a + b + c + d + e + f + g + h, {"a": a}
""",
    "table_of_lambdas": """
SHAPES = {
    "gauss": lambda x, s: torch.exp(-(x / s) ** 2),
    "cauchy": lambda x, s: 1.0 / (1.0 + (x / s) ** 2),
}
def compute_reward(obs, action, next_obs, *, s=0.3):
    comps = {name: f(next_obs["height"], s) for name, f in SHAPES.items()}
    return comps["gauss"] + 0.5 * comps["cauchy"], comps
""",
    "table_of_weights": """
weights = {"a": 1.0, "b": 0.1}
def compute_reward(obs, action, next_obs):
    components = {}
    components["a"] = next_obs["height"]
    components["b"] = -torch.sum(torch.square(action), dim=-1)
    total = torch.zeros(action.shape[0], device=action.device)
    for k, v in components.items():
        total = total + weights[k] * v
    return total, components
""",
    "left_and_right": """
def compute_reward(obs, action, next_obs):
    half = next_obs["joints"].shape[-1] // 2
    left, right = next_obs["joints"][..., :half], next_obs["joints"][..., half:]
    a, b = torch.chunk(next_obs["joints"], 2, dim=-1)
    c, d = next_obs["joints"].split(2, dim=-1)
    e, f = torch.split(next_obs["joints"], [1, 3], dim=-1)
    r = -((left - right) ** 2).sum(dim=(1, 2)) + (a - b).mean((1, 2)) + (c * d).sum([1, 2]) + e.sum((1,2)) + f.sum((1,2))
    return r, {"symmetry": r}
""",
    "linear_in_all_features": """
def compute_reward(obs, action, next_obs):
    state = torch.cat([next_obs["position"], next_obs["velocity"], next_obs["height"].unsqueeze(-1), action], dim=-1)
    W = torch.tensor([0.1, 0.2, -0.3, 1.0, 0.5, 0.25, -1.0, 0.01, 0.01])
    r = state @ W
    r2 = torch.hstack((next_obs["position"], next_obs["velocity"])).abs().amax(dim=1)
    return r - r2, {"linear": r}
""",
    "constants_with_hints": '''"""Reward for the walker.

Terms: forward, alive.
"""
# -------------------------
#  constants
# -------------------------
FORWARD_WEIGHT: float = 1.25
ALIVE_BONUS: float = 1

def compute_reward(obs, action, next_obs):
    'Doc.'
    "another string"
    forward = FORWARD_WEIGHT * next_obs["velocity"][:, 0]
    alive = ALIVE_BONUS * torch.ones_like(forward)
    return (forward + alive), {"forward": forward, "alive": alive}
''',
    "nested_loops_over_joints": """
def compute_reward(obs, action, next_obs):
    penalties = []
    for leg in range(next_obs["joints"].shape[1]):
        for joint in range(next_obs["joints"].size(2)):
            q = next_obs["joints"][:, leg, joint]
            penalties.append(torch.relu(q.abs() - 1.5))
    penalty = torch.stack(penalties, dim=1).sum(dim=1)
    worst = torch.stack(penalties).max(dim=0).values
    weights = torch.linspace(0, 1, steps=len(penalties))
    mixed = torch.stack(penalties, -1) @ weights
    return -penalty - worst + mixed, {"penalty": -penalty, "worst": -worst}
""",
    "nested_helpers": """
def compute_reward(obs, action, next_obs, *, temp=0.2):
    def shaped(x, target=0.0):
        return torch.exp(-torch.square(x - target) / temp)
    def both(a, b):
        return shaped(a) * shaped(b, target=1.0)
    r = both(next_obs["height"], next_obs["velocity"][..., 1])
    return r, {"r": r}
""",
    "controller_lambda": """
def compute_reward(obs, action, next_obs, *, k_p=1.0, k_d=0.1):
    pd = (lambda e, de: -(k_p * e.pow(2) + k_d * de.pow(2)))
    r = pd(next_obs["position"][:, 0], next_obs["velocity"][:, 0])
    return r, {"pd": r}
""",
    "picked_dimensions": """
FORWARD, SIDE = 0, 1
IDX = [0, 2]
def compute_reward(obs, action, next_obs):
    xz = next_obs["position"][:, IDX]
    xz2 = next_obs["position"][:, [0, 2]]
    last = next_obs["position"][:, -1]
    tail = next_obs["position"][:, 1:]
    legs = next_obs["joints"][:, :, ::2]
    jump = torch.diff(next_obs["joints"], dim=-1).abs().sum(dim=(-1, -2))
    picked = torch.index_select(next_obs["position"], 1, torch.tensor([0, 1]))
    return xz.sum(-1) + xz2.sum(-1) + last + tail.norm(dim=-1) + legs.mean(dim=(1, 2)) - jump + picked[:, FORWARD], {"jump": jump}
""",
    "largest_entry": """
def compute_reward(obs, action, next_obs):
    best = torch.argmax(next_obs["velocity"], dim=-1)
    r = (best == next_obs["room"] % 3).float()
    onehot = (torch.arange(3) == best[:, None]).float()
    r = r + (onehot * next_obs["position"]).sum(-1)
    r = r + next_obs["position"].gather(1, best.unsqueeze(-1)).squeeze(-1)
    return r, {"r": r}
""",
    "text_by_letters": """
def compute_reward(obs, action, next_obs):
    message = next_obs["message"]
    words = ("door", "dark", "key")
    r = sum(contains(message, w).float() for w in words)
    first = (message[:, 0] == ord("Y")).float()
    empty = (message.sum(dim=1) == 0).float()
    return r - 0.1 * empty, {"words": r}
""",
    "dot_products": """
def compute_reward(obs, action, next_obs):
    up = torch.tensor([0.0, 0.0, 1.0]).repeat(action.shape[0], 1)
    align = torch.bmm(next_obs["position"].unsqueeze(1), up.unsqueeze(2)).squeeze(-1).squeeze(-1)
    align2 = (next_obs["position"] * up).sum(dim=-1)
    align3 = torch.matmul(next_obs["position"], torch.tensor([0.0, 0.0, 1.0]))
    up2 = torch.tensor([0., 1., 0.]).expand(action.shape[0], 3)
    align4 = torch.einsum("bi,bi->b", next_obs["position"], up2)
    align5 = torch.linalg.vecdot(next_obs["position"], up2)
    return align + align2 + align3 + align4 + align5, {"align": align}
""",
}
