"""Rewards in the many styles that models write them. All must be accepted and mean exactly what Python means."""

# ruff: noqa: E501 (tables read better with one case a line)

from __future__ import annotations

from tests.reward.corpus.benign_habits import HABITS
from tests.reward.corpus.benign_published import PUBLISHED

_FIRST: dict[str, str] = {
    "docstring_and_parameters": '''
def compute_reward(obs, action, next_obs, *, speed_weight=1.0, upright_temperature=0.1):
    """One line: what this reward wants."""
    forward = speed_weight * next_obs["velocity"][:, 0]
    upright = torch.exp(-(next_obs["height"] - 1.25) ** 2 / upright_temperature)
    return forward + upright, {"forward": forward, "upright": upright}
''',
    "imports_and_hints": """
from __future__ import annotations
import math
import torch
from torch import Tensor
from torch.nn import functional as F
from typing import Dict, Tuple

@torch.jit.script
def compute_reward(
    obs: Dict[str, Tensor], action: Tensor, next_obs: Dict[str, Tensor]
) -> Tuple[Tensor, Dict[str, Tensor]]:
    # squared distance, softened — Größe egal
    d: Tensor = F.softplus(next_obs["position"].pow(2).sum(dim=-1)) / math.pi
    return -d, {"distance": -d}
""",
    "no_grad": """
import torch
@torch.no_grad()
def compute_reward(obs, action, next_obs):
    with torch.no_grad():
        r = -torch.norm(next_obs["position"] - obs["position"], dim=-1)
    return r, {"move": r}
""",
    "helpers_before_main": """
import torch as th

def _close(a, b, scale=2.0):
    gap = th.linalg.norm(a - b, dim=-1)
    return th.exp(-scale * gap)

def _bonus(x):
    return (x > 0).float()

def compute_reward(obs, action, next_obs):
    near = _close(next_obs["position"], obs["position"])
    return near + _bonus(near - 0.5), {"near": near, "bonus": _bonus(near - 0.5)}
""",
    "loop_over_components": """
WEIGHTS = {"x": 1.0, "y": -0.5, "z": 0.25}

def compute_reward(obs, action, next_obs):
    parts = {}
    for index, (name, weight) in enumerate(WEIGHTS.items()):
        parts[f"speed_{name}"] = weight * next_obs["velocity"][:, index]
    total = sum(parts.values())
    return total, parts
""",
    "zeros_with_len": """
def compute_reward(obs, action, next_obs):
    total = torch.zeros(len(next_obs["height"]), device=action.device)
    for i in range(3):
        total += next_obs["velocity"][:, i] * (i + 1)
    total -= 0.1 * action.square().sum(-1)
    return total, {"total_copy": total.clone()}
""",
    "zeros_with_shape": """
def compute_reward(obs, action, next_obs):
    n = next_obs["height"].shape[0]
    base = torch.ones((n,)) * 0.5 + torch.full((n,), 0.25)
    return base + next_obs["height"], {"base": base}
""",
    "where_scalars": """
def compute_reward(obs, action, next_obs, *, bonus=2.5, penalty=-1):
    good = next_obs["height"] > 0.2
    r = torch.where(good, bonus, penalty)
    s = torch.where(good & ~next_obs["contact"], 1.0, 0.0)
    return r + s, {"r": r, "s": s}
""",
    "clamp_mixed": """
def compute_reward(obs, action, next_obs, *, limit=0.7):
    h = next_obs["height"]
    a = torch.clamp(h, 0.0, limit)
    b = h.clamp(min=-limit)
    c = h.clip(-1, 1)
    return a + b + c, {"a": a, "b": b, "c": c}
""",
    "full_with_parameter": """
def compute_reward(obs, action, next_obs, *, alive=0.3):
    bonus = torch.full((next_obs["height"].shape[0],), alive)
    like = torch.full_like(next_obs["height"], alive)
    return bonus + like, {"bonus": bonus, "like": like}
""",
    "einsum_and_matmul": """
def compute_reward(obs, action, next_obs):
    dot = torch.einsum("ni,ni->n", next_obs["velocity"], obs["velocity"])
    goal = torch.tensor([1.0, 0.0, -0.5])
    along = next_obs["velocity"] @ goal
    gram = torch.einsum("nij,nkj->nik", obs["joints"], next_obs["joints"]).sum(dim=(1, 2))
    return dot + along + gram, {"dot": dot, "along": along, "gram": gram}
""",
    "functional_losses": """
def compute_reward(obs, action, next_obs):
    target = torch.zeros_like(next_obs["joints"])
    err = F.smooth_l1_loss(next_obs["joints"], target, reduction="none").mean(dim=(1, 2))
    cos = F.cosine_similarity(obs["velocity"], next_obs["velocity"], dim=-1)
    unit = F.normalize(next_obs["velocity"], dim=-1)[:, 0]
    return cos - err + unit, {"err": -err, "cos": cos, "unit": unit}
""",
    "one_hot": """
def compute_reward(obs, action, next_obs):
    hot = F.one_hot(next_obs["room"], num_classes=5).float()
    r = hot @ torch.tensor([0.0, 0.1, 0.2, 0.5, 1.0])
    return r, {"room": r}
""",
    "lookup_table": """
TABLE = torch.tensor([0.0, -1.0, 2.0, 0.5, 3.0])

def compute_reward(obs, action, next_obs):
    value = TABLE[next_obs["room"]]
    moved = (next_obs["room"] != obs["room"]).float()
    return value + moved, {"value": value, "moved": moved}
""",
    "gather_rows": """
def compute_reward(obs, action, next_obs):
    rows = torch.arange(action.shape[0])
    picked = next_obs["velocity"][rows, next_obs["room"] % 3]
    other = torch.gather(next_obs["position"], 1, (next_obs["room"] % 3).unsqueeze(1)).squeeze(1)
    return picked + other, {"picked": picked, "other": other}
""",
    "text": """
from rewardsmith.toolkit import contains, contains_any

def compute_reward(obs, action, next_obs):
    door = contains(next_obs["message"], "door").float()
    news = contains_any(next_obs["message"], "opens", "dark").float()
    return door + 2 * news, {"door": door, "news": news}
""",
    "tolerance": """
def compute_reward(obs, action, next_obs, *, low=0.2, high=0.6, margin=0.5):
    a = tolerance(next_obs["height"], low, high, margin)
    b = tolerance(next_obs["height"], 0.0, 1.0)
    c = tolerance(next_obs["height"], low, high, margin, shape="long_tail")
    d = tolerance(next_obs["height"], -0.1, 0.1, 0.3, shape="linear")
    return a * b + c + d, {"a": a, "b": b, "c": c, "d": d}
""",
    "toolkit_mix": """
def compute_reward(obs, action, next_obs):
    rise = delta(obs, next_obs, "height")
    g = geometric(rise, next_obs["height"], next_obs["velocity"][:, 0])
    s = sign_only(rise, next_obs["contact"].float())
    c = conjunction(rise > 0, next_obs["contact"])
    return g + s + c, {"g": g, "s": s, "c": c}
""",
    "memory_sequence": """
def initial_memory(n):
    return {"stage": torch.zeros(n), "best": torch.full((n,), -10.0)}

def compute_reward(obs, action, next_obs, memory):
    stage = sequence(memory["stage"], next_obs["height"] > 0.5, next_obs["height"] < -0.5)
    best = torch.maximum(memory["best"], next_obs["height"])
    progress = stage - memory["stage"]
    record = (best - memory["best"]).clamp(max=1.0)
    return progress + record, {"progress": progress, "record": record}, {"stage": stage, "best": best}
""",
    "memory_once": """
def initial_memory(n):
    return {"done": torch.zeros(n), "count": torch.zeros(n, dtype=torch.int64), "ok": torch.ones(n), "seen": torch.zeros(n)}

def compute_reward(obs, action, next_obs, memory, *, limit=2):
    first, done = once(memory["done"], next_obs["contact"])
    few, count = at_most(memory["count"], next_obs["height"] > 0, 3)
    ok = always(memory["ok"], next_obs["height"] > -2)
    seen = eventually(memory["seen"], next_obs["room"] == 2)
    new = {"done": done, "count": count, "ok": ok, "seen": seen}
    return first + limit * few + ok + seen, {"first": first, "few": few, "ok": ok, "seen": seen}, new
""",
    "potential": """
def compute_reward(obs, action, next_obs, *, goal_weight=2.0):
    r = -goal_weight * next_obs["height"].abs()
    return r, {"height": r}

def potential(obs, *, goal_weight=2.0, offset=0.5):
    return -goal_weight * torch.linalg.norm(obs["position"], dim=1) + offset
""",
    "lambda_and_comprehension": """
def compute_reward(obs, action, next_obs):
    soft = lambda x, k=3.0: torch.tanh(k * x)
    terms = [soft(next_obs["joints"][:, i, j]) for i in range(2) for j in range(4) if i != j]
    mean = torch.stack(terms, dim=0).mean(dim=0)
    best, where = torch.max(next_obs["joints"].reshape(-1, 8), dim=1)
    return mean + best, {"mean": mean, "best": best, "where": where.float()}
""",
    "masked_assignment": """
def compute_reward(obs, action, next_obs):
    r = next_obs["height"].clone()
    r[r > 1.0] = 1.0
    r[next_obs["terminated"]] = -5.0
    v = torch.zeros(action.shape[0], 2)
    v[:, 0] = r
    v[:, 1] = action[:, 1]
    return v.sum(dim=1), {"limited": r}
""",
    "terminated_penalty": """
def compute_reward(obs, action, next_obs, *, fall=10.0):
    fell = next_obs["terminated"].float()
    alive = 1.0 - fell
    return alive - fall * fell, {"alive": alive, "fell": -fall * fell}
""",
    "walrus_ternary_and_flags": """
USE_CONTACT = True

def compute_reward(obs, action, next_obs):
    names = ["height"]
    total = next_obs[names[0]] * 1.0
    if (count := len(names)) == 1 and USE_CONTACT:
        total = total + (next_obs["contact"] * 0.5 if count else 0.0)
    else:
        total = total - 1
    return total, dict(total_again=total)
""",
    "norms_and_angles": """
def compute_reward(obs, action, next_obs):
    p = next_obs["position"]
    heading = torch.atan2(p[:, 1], p[:, 0])
    l1 = p.abs().sum(axis=1)
    l2 = p.norm(dim=-1)
    linf = torch.amax(p.abs(), dim=-1)
    turn = torch.cross(p, obs["position"], dim=-1)[..., 2]
    std = next_obs["joints"].flatten(1).std(dim=-1)
    return torch.cos(heading) - l1 + l2 - linf + turn + std, {"l1": l1, "l2": l2, "linf": linf, "turn": turn, "std": std}
""",
    "tensor_of_parameters": """
def compute_reward(obs, action, next_obs, *, wx=1.0, wy=0.5, wz=-0.25):
    w = torch.tensor([wx, wy, wz])
    r = (next_obs["velocity"] * w).sum(dim=-1)
    return r, {"weighted": r}
""",
    "structural_parameter": """
def compute_reward(obs, action, next_obs, *, power=2.0, mode=1.0, scale=0.5):
    h = next_obs["height"]
    if mode > 0.5:
        h = h.abs()
    r = h * math.exp(power) * scale
    return r, {"r": r}
""",
    "positional_parameters": """
def compute_reward(obs, action, next_obs, gain=3, offset=-0.5):
    r = gain * next_obs["height"] + offset
    return r, {"r": r}
""",
    "squeeze_and_keepdim": """
def compute_reward(obs, action, next_obs):
    s = next_obs["velocity"].sum(dim=-1, keepdim=True)
    t = s.squeeze(-1) + next_obs["height"].unsqueeze(1).squeeze(-1)
    u, order = torch.sort(next_obs["position"], dim=-1)
    k = torch.topk(next_obs["position"], 2, dim=-1).values.mean(-1)
    return t + u[:, -1] + k, {"t": t, "k": k}
""",
    "local_names_shadow_library": """
def compute_reward(obs, action, next_obs):
    F = next_obs["velocity"][:, 0]
    delta = next_obs["height"] - obs["height"]
    e = torch.exp(-delta.abs())
    return F + delta + e, {"force": F, "delta": delta, "e": e}
""",
    "integer_and_bool_totals": """
def compute_reward(obs, action, next_obs):
    arrived = next_obs["room"] == 3
    return arrived, {"arrived": arrived.int(), "room": next_obs["room"]}
""",
    "isclose": """
def compute_reward(obs, action, next_obs):
    still = torch.isclose(next_obs["height"], obs["height"], atol=0.5)
    same = next_obs["position"].isclose(next_obs["position"]).all(dim=-1)
    return still.float() + same, {"still": still}
""",
    "softmax_cumsum_nan": """
def compute_reward(obs, action, next_obs):
    p = torch.softmax(next_obs["velocity"], dim=-1)
    entropy = -(p * torch.log(p + 1e-8)).sum(-1)
    c = torch.cumsum(next_obs["joints"], dim=-1)[:, 0, -1]
    safe = torch.nan_to_num(1.0 / next_obs["height"], nan=0.0, posinf=10.0, neginf=-10.0)
    return entropy + c + safe.clamp(-10, 10), {"entropy": entropy, "c": c, "safe": safe}
""",
}

BENIGN: dict[str, str] = _FIRST | PUBLISHED | HABITS
