"""Rewards with the habits of people and models: how they are written is varied."""

from __future__ import annotations

HABITS: dict[str, str] = {
    "print_left_in": """
def compute_reward(obs, action, next_obs):
    r = next_obs["height"]
    print("reward shape", r.shape)
    return r, {"r": r}
""",
    "assertions_on_shapes": """
def compute_reward(obs, action, next_obs):
    assert next_obs["velocity"].shape[1] == 3, "velocity has three entries"
    assert action.ndim == 2
    assert obs["height"].shape == next_obs["height"].shape
    assert action.shape[-1] == 2 and next_obs["joints"].dim() == 3
    assert isinstance(action, torch.Tensor)
    r = next_obs["height"]
    return r, {"r": r}
""",
    "devices_and_dtypes": """
def compute_reward(obs, action, next_obs):
    device = next_obs["height"].device
    dtype = next_obs["height"].dtype
    goal = torch.tensor([1.0, 0.0, 0.5], device=device, dtype=dtype)
    w = torch.tensor(0.1, device=device)
    off = torch.zeros(3).to(next_obs["position"].device)
    n = next_obs["height"].shape[0]
    base = torch.zeros(n, device=device, dtype=torch.float32)
    base2 = torch.zeros((n,), dtype=dtype, device=device)
    base3 = torch.zeros_like(next_obs["height"], dtype=torch.float32)
    d = (next_obs["position"] - goal - off).norm(dim=1)
    return base + base2 + base3 - w * d, {"d": d.to(torch.float32).to(device)}
""",
    "python_builtins": """
def compute_reward(obs, action, next_obs):
    h = abs(next_obs["height"])
    p = pow(h, 2)
    q = sum([h, p])
    k = round(3.7)
    m = max(0.1, 0.2) * min(3, 4)
    return h + p + q + k + m, {"h": h, "p": p}
""",
    "features_in_a_loop": """
def compute_reward(obs, action, next_obs):
    total = torch.zeros_like(next_obs["height"])
    comps = {}
    for key in ["position", "velocity"]:
        if key in next_obs:
            v = next_obs[key]
            comps["small_" + key] = -v.pow(2).mean(dim=-1)
            total = total + comps["small_" + key]
    for name in obs.keys():
        if name == "height":
            comps["height"] = obs[name]
    return total, comps
""",
    "get_with_a_default": """
def compute_reward(obs, action, next_obs):
    h = next_obs.get("height", None)
    if h is None:
        h = torch.zeros(action.shape[0])
    contact = next_obs.get("contact", torch.zeros_like(h)).float()
    return h + contact, {"h": h}
""",
    "parameters_meet_flags_and_integers": """
def compute_reward(obs, action, next_obs, *, alive=0.3, step=0.1, scale=0.7):
    fell, room = next_obs["terminated"], next_obs["room"]
    half = torch.tensor(0.1) * scale
    c = {
        "alive": alive * ~fell + fell * -alive,
        "moved": (room - obs["room"]) * step,
        "near": (room > 2 * step) * half,
        "ratio": room / (step + scale) - room % step,
        "power": alive ** room + torch.mul(fell, step),
    }
    return sum(c.values()), c
""",
    "float_of_a_parameter": """
def compute_reward(obs, action, next_obs, *, weight=0.5, count=3):
    w = float(weight)
    r = w * next_obs["height"]
    return r, {"r": r}
""",
    "stacked_weighted_parts": """
def compute_reward(obs, action, next_obs, *, a=1.0, b=2.0):
    parts = {"x": next_obs["velocity"][:, 0], "y": next_obs["height"]}
    weights = {"x": a, "y": b}
    weighted = [weights[k] * v for k, v in parts.items()]
    total = torch.stack(weighted, dim=0).sum(dim=0)
    total2 = torch.stack(list(parts.values())).sum(0)
    return total + total2, parts
""",
    "components_merged": """
def compute_reward(obs, action, next_obs):
    comps = {}
    comps.update({"h": next_obs["height"]})
    comps["v"] = next_obs["velocity"].norm(dim=-1)
    comps |= {"c": next_obs["contact"].float()}
    total = comps["h"] + comps["v"]
    return total, {**comps, "total_again": total}
""",
    "annotated_everything": """
def compute_reward(
    obs: dict[str, torch.Tensor],
    action: torch.Tensor,
    next_obs: dict[str, torch.Tensor],
    *,
    w: float = 1.0,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    components: dict[str, torch.Tensor] = {}
    components["h"] = w * next_obs["height"]
    total: torch.Tensor
    total = sum(components.values())
    return total, components
""",
    "clamps_with_parameters": """
def compute_reward(obs, action, next_obs, *, max_speed=2.0):
    v = next_obs["velocity"].norm(dim=-1)
    a = torch.minimum(v, torch.tensor(max_speed))
    b = torch.min(v, torch.full_like(v, max_speed))
    c = torch.clip(v, 0, max_speed) / max_speed
    d = v.clamp_max(max_speed)
    e = torch.max(torch.zeros_like(v), 1 - v)
    return a + b + c + d + e, {"a": a, "e": e}
""",
    "needless_reshapes": """
def compute_reward(obs, action, next_obs):
    r = next_obs["height"]
    r = r + 0
    r = -r if False else r
    return r.unsqueeze(-1).squeeze(-1), {"r": r.view(-1), "q": r.reshape(-1), "s": r.flatten()}
""",
    "views": """
def compute_reward(obs, action, next_obs):
    batch_size = action.shape[0]
    j = next_obs["joints"].view(batch_size, -1)
    k = next_obs["joints"].reshape(batch_size, 8)
    m = next_obs["joints"].flatten(start_dim=1)
    r = -(j ** 2).sum(dim=1) + k.mean(dim=-1) + m.max(dim=1)[0]
    return r, {"r": r}
""",
    "sizes_unpacked": """
def compute_reward(obs, action, next_obs):
    n = action.size(0)
    b, d = action.shape
    r = torch.zeros(b)
    for i in range(d):
        r = r - action[:, i].abs()
    m = torch.zeros(action.size()[0])
    for j in range(next_obs["velocity"].shape[1]):
        m += next_obs["velocity"][:, j]
    return r + m / next_obs["velocity"].shape[-1] + torch.ones(n), {"r": r}
""",
    "limits_broadcast": """
def compute_reward(obs, action, next_obs):
    lo = torch.tensor([[-1.0, -1.0]])
    hi = torch.tensor([[1.0, 1.0]])
    inside = ((action >= lo) & (action <= hi)).all(dim=-1)
    margin = (1.0 - action.abs()).min(dim=-1).values
    return inside.float() + margin, {"inside": inside.float(), "margin": margin}
""",
    "logical_functions": """
def compute_reward(obs, action, next_obs):
    h = next_obs["height"]
    ok = torch.logical_and(h > 0.1, torch.logical_not(next_obs["terminated"]))
    bad = torch.logical_or(next_obs["terminated"], h < -1)
    succ = ok.to(torch.float32) * 10.0
    return succ - bad.type(torch.float32) * (~next_obs["contact"]).float(), {"succ": succ}
""",
    "names_from_letters": """
AXES = "xyz"
def compute_reward(obs, action, next_obs):
    comps = {f"{axis}_speed": next_obs["velocity"][:, i].abs() for i, axis in enumerate(AXES)}
    comps = {k.lower(): -0.1 * v for k, v in comps.items()}
    total = torch.sum(torch.stack(tuple(comps.values()), dim=1), dim=1)
    return total, comps
""",
    "guards_against_nan": """
def compute_reward(obs, action, next_obs):
    r = next_obs["height"] / (next_obs["velocity"][:, 0] + 1e-6)
    r = torch.nan_to_num(r, nan=0.0, posinf=1.0, neginf=-1.0)
    r = torch.where(torch.isnan(r) | torch.isinf(r), torch.zeros_like(r), r)
    r = torch.where(torch.isfinite(r), r, 0.0)
    eps = torch.finfo(torch.float32).eps
    return r.clamp(-5.0, 5.0) + eps, {"r": r}
""",
    "tuples_and_stars": """
def compute_reward(obs, action, next_obs):
    (x, y, z), h = next_obs["position"].T, next_obs["height"]
    vx, vy, vz = next_obs["velocity"].unbind(dim=1)
    x, y = y, x
    first, *rest = [x, y, z]
    r = x * vx + y * vy + z * vz + h + sum(rest) + first
    return r, {"r": r}
""",
    "chained_comparison_of_numbers": """
def compute_reward(obs, action, next_obs):
    r = (0.1 < next_obs["height"]) * (next_obs["height"] < 0.5)
    n = 3
    k = 1.0 if 0 < n < 5 else 2.0
    return r.float() * k, {"r": r.float()}
""",
    "map_and_filter": """
def compute_reward(obs, action, next_obs):
    names = list(filter(lambda n: n != "z", ["x", "y", "z"]))
    terms = list(map(lambda i: next_obs["velocity"][:, i], range(len(names))))
    r = sum(terms)
    return r, {"r": r}
""",
    "imports_of_parts": """
from math import pi, cos
import torch.nn.functional as F
from torch import nn
def compute_reward(obs, action, next_obs):
    ang = torch.remainder(next_obs["joints"][:, 0, 0] + pi, 2 * pi) - pi
    ang2 = (next_obs["joints"][:, 0, 1] + torch.pi) % (2 * torch.pi) - torch.pi
    r = torch.cos(ang) - ang2.abs() * cos(0.5) + F.relu(ang) + nn.functional.elu(ang2)
    return r, {"r": r}
""",
    "clones_and_detaches": """
def compute_reward(obs, action, next_obs):
    r = next_obs["height"].clone().detach()
    r = r.contiguous()
    w = torch.tensor([0.5, 0.5]).detach()
    a = (action.detach() * w).sum(dim=-1)
    return r - a, {"r": r}
""",
    "weights_with_get": """
def weighted(components, weights):
    total = 0
    for name in components:
        total = total + weights.get(name, 1.0) * components[name]
    return total
def compute_reward(obs, action, next_obs):
    c = {"h": next_obs["height"], "s": -next_obs["velocity"].abs().sum(-1)}
    return weighted(c, {"h": 2.0}), c
""",
    "variant_chosen_by_a_constant": """
VARIANT = "dense"
def compute_reward(obs, action, next_obs):
    h = next_obs["height"]
    if VARIANT == "sparse":
        r = (h > 1).float()
        return r, {"r": r}
    elif VARIANT in ("dense", "shaped"):
        return h, {"r": h}
    return -h, {}
""",
    "masked_updates": """
def compute_reward(obs, action, next_obs):
    reward = torch.zeros(next_obs["height"].shape, dtype=torch.float32)
    reward += next_obs["height"]
    reward -= 0.1 * torch.abs(action).sum(1)
    reward *= 2
    reward[next_obs["height"] < 0] -= 1.0
    reward[next_obs["contact"] & (next_obs["height"] > 0.5)] += 10.0
    return reward, {"height": next_obs["height"]}
""",
    "done_flags": """
def compute_reward(obs, action, next_obs):
    r = 1.0 - next_obs["terminated"].float()
    fell = (next_obs["terminated"] & ~next_obs["contact"]).float()
    return r - 100 * fell, {"alive": r, "fell": -fell}
""",
    "statistics_of_a_row": """
def compute_reward(obs, action, next_obs):
    var, mean = torch.var_mean(next_obs["joints"].flatten(1), dim=1)
    s = next_obs["joints"].std(dim=(1, 2), unbiased=False)
    med = next_obs["position"].median(dim=-1).values
    amin, amax = torch.aminmax(next_obs["position"], dim=-1)
    return var + mean + s + med + amin + amax, {"var": var}
""",
    "optional_arguments": """
from typing import Optional, Union, Any, Dict
import typing
def _scale(x: torch.Tensor, w: Optional[float] = None) -> torch.Tensor:
    if w is None:
        return x
    return w * x
def compute_reward(obs: Dict[str, Any], action: "torch.Tensor", next_obs: typing.Dict[str, Any]):
    r = _scale(next_obs["height"], 2.0) + _scale(next_obs["height"])
    return r, {"r": r}
""",
    "device_as_text": """
def compute_reward(obs, action, next_obs):
    r = next_obs["height"] + torch.zeros(1, device="cpu")
    return r, {"r": r}
""",
    "defensive_checks": """
def compute_reward(obs, action, next_obs):
    h = next_obs["height"]
    h = h if torch.is_tensor(h) else torch.tensor(h)
    if h.dim() > 1:
        h = h.squeeze(-1)
    if h.ndim == 1 and len(h.shape) == 1:
        h = h * 1.0
    return h, {"h": h}
""",
    "formatted_names": """
def compute_reward(obs, action, next_obs):
    comps = {f"leg{i:02d}": next_obs["joints"][:, i].sum(-1) for i in range(2)}
    names = ",".join(comps)
    assert len(names) > 0, f"no components: {names}"
    return sum(comps[k] for k in comps), comps
""",
    "all_and_any_over_names": """
def compute_reward(obs, action, next_obs):
    needed = {"height", "velocity"}
    ok = all(k in next_obs for k in needed) and any(k == "height" for k in needed)
    r = next_obs["height"] if ok else next_obs["velocity"][:, 0]
    return r, {"r": r}
""",
    "aliased_imports": """
import torch as T
from torch import Tensor as TT
from torch import (
    exp,
    norm,
)
def compute_reward(obs: dict, action: TT, next_obs: dict):
    r = exp(-norm(next_obs["position"], dim=1)) + T.ones(len(action))
    return r, {"r": r}
""",
    "type_aliases": """
from typing import Dict
TensorDict = Dict[str, torch.Tensor]
Features = dict[str, torch.Tensor]
def compute_reward(obs: TensorDict, action: torch.Tensor, next_obs: TensorDict) -> tuple[torch.Tensor, Features]:
    r = next_obs["height"]
    return r, {"r": r}
""",
    "numpy_constants": """
import numpy as np
GOAL = [0.0, 0.5, 1.0]
def compute_reward(obs, action, next_obs):
    angle = (next_obs["joints"][:, 0, 0] + np.pi) % (2 * np.pi) - np.pi
    return -angle.abs(), {"angle": -angle.abs()}
""",
    "first_of_a_dict": """
def compute_reward(obs, action, next_obs):
    device = next(iter(next_obs.values())).device
    n = next(iter(obs.values())).shape[0]
    r = torch.zeros(n, device=device) + next_obs["height"]
    return r, {"r": r}
""",
    "helpers_with_stars": """
def weighted(*terms, weights=(1.0, 0.5)):
    return sum(w * t for w, t in zip(weights, terms))
def merge(**parts):
    return parts
def compute_reward(obs, action, next_obs):
    comps = merge(h=next_obs["height"], v=next_obs["velocity"][:, 0])
    return weighted(*comps.values()), {**comps}
""",
    "masked_updates_of_many_kinds": """
def compute_reward(obs, action, next_obs):
    r = ((next_obs["room"] == 1) | (next_obs["room"] == 3)).float()
    in_zone = ((next_obs["position"] > -0.5) & (next_obs["position"] < 0.5)).all(dim=-1)
    r[in_zone] += 1.0
    r[in_zone & next_obs["contact"]] *= 2.0
    r[next_obs["terminated"].bool()] -= 10.0
    joints = next_obs["joints"].clone()
    joints[joints.abs() > 1] = 0.0
    joints[:, 0][joints[:, 0] < 0] *= 0.5
    return r + joints.sum(dim=(1, 2)), {"zone": in_zone.float()}
""",
    "casts_to_other_tensors": """
def compute_reward(obs, action, next_obs):
    w = torch.tensor([1.0, 2.0]).to(action)
    r = (action * w).sum(-1).type_as(next_obs["height"])
    s = torch.tensor([0.5, 0.5, 0.5]).to(device=action.device, dtype=torch.float32)
    q = (next_obs["position"] * s).sum(-1).to("cpu")
    return r + q, {"r": r}
""",
    "chains_of_methods": """
def compute_reward(obs, action, next_obs):
    v = next_obs["velocity"]
    a = v.pow(2).sum(axis=-1).sqrt().sub(0.5).abs().neg().exp()
    b = v.mul(2.0).add(1.0).clamp(min=0.0, max=2.0).mean(dim=1, keepdim=False)
    c = v.max(dim=-1)[0] - v.min(-1).values + v.norm(p=1, dim=1) + v.square().mean(-1).rsqrt()
    d = v.sigmoid().prod(dim=-1) + v.tanh().logsumexp(dim=-1) + v.eq(0).any(dim=1)
    return a + b + c + d, {"a": a, "b": b}
""",
    "integer_arithmetic": """
def compute_reward(obs, action, next_obs):
    moved = (next_obs["room"] - obs["room"]).abs().float()
    even = (next_obs["room"] % 2 == 0)
    frac = next_obs["room"] / 5
    fl = next_obs["room"] // 2
    cl = next_obs["room"].clamp(max=3)
    return moved + even + frac + fl + cl, {"moved": moved, "even": even.float(), "frac": frac}
""",
    "raise_del_and_print": """
def compute_reward(obs, action, next_obs):
    del obs
    if action.shape[-1] != 2:
        raise ValueError(f"expected 2 actions, got {action.shape[-1]}")
    if "height" not in next_obs:
        raise KeyError("height")
    r = next_obs["height"]
    print(f"reward: {r}")
    return r, {"r": r}
""",
    "constants_repeated": """
def compute_reward(obs, action, next_obs):
    n = action.shape[0]
    up = torch.tensor([0.0, 0.0, 1.0]).repeat(n, 1)
    axis = torch.tensor([[1.0, 0.0, 0.0]]).repeat((n, 1))
    tiled = torch.tile(torch.tensor([1.0, 2.0]), (n, 1))
    r = (next_obs["position"] * up).sum(-1) + (next_obs["velocity"] * axis).sum(-1) + (action * tiled).sum(-1)
    return r, {"r": r}
""",
    "shapes_passed_on": """
def compute_reward(obs, action, next_obs):
    shape = next_obs["height"].shape
    a = torch.ones(*shape) + torch.zeros(shape) + torch.full(shape, 0.1) + torch.zeros(action.shape[:-1])
    b = torch.ones(action.shape[:1]) + torch.zeros((len(action), 3)).sum(-1)
    return a + b + next_obs["height"], {"a": a}
""",
    "walrus_and_semicolons": """
def compute_reward(obs, action, next_obs):
    total = (dist := next_obs["position"].norm(dim=-1)) * -1.0
    total = total + (close := (dist < 0.5).float()) * 5
    a = b = close * 2
    total += a; total -= 0.5 * b
    return total, {"dist": -dist, "close": close}
""",
    "flags_in_arithmetic": """
def compute_reward(obs, action, next_obs):
    c = next_obs["contact"]
    t = next_obs["terminated"]
    x = (c ^ t).float() + (c | t).int() + (c == t).to(torch.float) + torch.logical_xor(c, t).double()
    y = c.float() * (1 - t.float()) + (not False) * 0.5
    z = torch.stack([c, t], dim=-1).any(dim=-1).float() + torch.stack([c, t], dim=-1).sum(-1)
    return x + y + z, {"x": x, "y": y, "z": z}
""",
}

# The same for other kinds of actions: kind of action and source.
OTHER_ACTIONS: dict[str, tuple[str, str]] = {
    "discrete_one_hot": (
        "discrete",
        """
ACTION_COST = torch.tensor([0.0, 0.1, 0.1, 0.5])
def compute_reward(obs, action, next_obs, *, cost_weight=1.0):
    cost = ACTION_COST.to(action.device)[action]
    used = F.one_hot(action, num_classes=4).float()
    noop = (action == 0).float()
    r = next_obs["height"] - cost_weight * cost + 0.01 * noop - used[:, 3]
    return r, {"cost": -cost, "noop": noop}
""",
    ),
    "discrete_where": (
        "discrete",
        """
NOOP, LEFT, RIGHT, FIRE = range(4)
def compute_reward(obs, action, next_obs):
    fuel = torch.where(action == FIRE, 0.3, torch.where((action == LEFT) | (action == RIGHT), 0.03, 0.0))
    prefer = torch.zeros(action.shape[0], device=action.device)
    prefer[action == LEFT] = 0.5
    prefer[action != LEFT] -= 0.5
    return next_obs["height"] - fuel + prefer, {"fuel": -fuel}
""",
    ),
    "multi_discrete": (
        "multi_discrete",
        """
def compute_reward(obs, action, next_obs):
    move, turn = action[:, 0], action[:, 1]
    steer = torch.tensor([-1.0, 0.0, 1.0])[turn]
    speed = move.float() / 2.0
    effort = action.float().sum(dim=-1)
    same = torch.eq(move, turn).float()
    r = speed * next_obs["velocity"][:, 0] - 0.1 * steer.abs() - 0.01 * effort + same
    return r, {"speed": speed, "effort": -effort}
""",
    ),
    "discrete_text": (
        "discrete",
        """
from rewardsmith.toolkit import contains
SEARCH = 2
def compute_reward(obs, action, next_obs):
    found = contains(next_obs["message"], "door") & ~contains(obs["message"], "door")
    wasted = (action == SEARCH) & ~found
    return found.float() - 0.05 * wasted, {"found": found.float(), "wasted": wasted.float()}
""",
    ),
}
