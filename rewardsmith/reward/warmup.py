"""Rewards that the zygote traces once when it starts, chosen to touch what torch imports or builds on first use."""

from __future__ import annotations

from typing import Any

_INTERFACE: dict[str, Any] = {
    "features": [
        {"name": "x", "shape": [3]},
        {"name": "y"},
        {"name": "room", "dtype": "int64"},
        {"name": "message", "shape": [16], "dtype": "uint8"},
    ],
    "action": {"kind": "continuous", "shape": [2]},
}

_REWARD = """
def compute_reward(obs, action, next_obs, memory, *, a=1.0, b=0.5, c=2.0):
    x, y = next_obs["x"], next_obs["y"]
    n = len(x)
    total = __torch.zeros(n) + (x ** 2).sum(dim=-1) * a
    total += __torch.where(x[:, 0] > 0.5, 1.0, 0.0) - __torch.clamp(y, -b, b)
    total = total + __linalg.norm(x, dim=-1) + __torch.norm(action, dim=1) + x.norm(dim=-1) + (y > 0).float()
    total = total + __functional.one_hot(next_obs["room"], 4).float().sum(-1) + __torch.exp(-y.abs() / b)
    total = total + __torch.einsum("ni,ni->n", x, obs["x"]) + __functional.smooth_l1_loss(y, obs["y"], reduction="none")
    total = total + __torch.tensor([0.5, 1.0, 2.0, 3.0])[next_obs["room"]] + __torch.stack([y, y], -1).mean(-1)
    total = total + x.max(dim=-1).values + __torch.tanh(y) + __torch.sigmoid(y) + __torch.softmax(x, -1)[:, 0]
    total = total + (x @ __torch.tensor([1.0, 2.0, 3.0])) + __torch.cat([x, x], dim=1).reshape(n, -1)[:, 1]
    total[y > 1] = 0.0
    x = x.clone()
    x[:, 0] = y
    total = total + x.sum(-1) + __toolkit.contains(next_obs["message"], "door") + __toolkit.tolerance(y, 0, 1, 0.5)
    if c > 1:
        total = total - __torch.nan_to_num(y) * __math.exp(c)
    stage = __toolkit.sequence(memory["stage"], y > 0, y < 0)
    return total, {"alive": __torch.ones_like(y), "stage": stage}, {"stage": stage}

def initial_memory(n):
    return {"stage": __torch.zeros(n)}

def potential(obs, *, a=1.0):
    return -a * (obs["x"] - 1).pow(2).sum(-1).sqrt()
"""

# A typical reward, short because it is traced again for every candidate, see `trace.rehearse`.
_USUAL = """
def compute_reward(obs, action, next_obs, *, a=1.0, b=0.5):
    x, y = next_obs["x"], next_obs["y"]
    near = a * __torch.exp(-((y / b) ** 2)) + __torch.tanh(x[:, 0])
    cost = __torch.where(next_obs["terminated"], 0.0, -b * (action**2).sum(dim=-1))
    return near + cost, {"near": near, "cost": cost}
"""

# Each is refused; explaining why is what needs warming.
_BAD_BODIES = (
    "return next_obs['y'] * (2 if next_obs['y'][0] > 0 else 1), {}",
    "return next_obs['y'] * int(next_obs['y'].shape[0]), {}",
    "return next_obs['y'] if len(next_obs['y']) > 100 else obs['y'], {}",
    "return next_obs['x'], {}",
    "return __torch.diag(obs['x'] @ obs['x'].T) + next_obs['x'], {}",
    "return next_obs['unknown'], {}",
    "return next_obs['y'][next_obs['y'] > 0], {}",
)

ACCEPTED: dict[str, Any] = {
    "kind": "reward",
    "source": _REWARD,
    "functions": ["compute_reward", "initial_memory", "potential"],
    "parameters": {"a": 1.0, "b": 0.5, "c": 2.0},
    "interface": _INTERFACE,
}
REHEARSED: dict[str, Any] = {
    **ACCEPTED,
    "source": _USUAL,
    "functions": ["compute_reward"],
    "parameters": {"a": 1.0, "b": 0.5},
}
REFUSED: tuple[dict[str, Any], ...] = tuple(
    {
        **ACCEPTED,
        "source": f"def compute_reward(obs, action, next_obs):\n    {body}",
        "functions": ["compute_reward"],
        "parameters": {},
    }
    for body in _BAD_BODIES
)
