"""Functions that reward files may use without importing them. All work on whole batches and can be traced.

Shapes: N is the number of transitions. Conditions are `(N,)` bool. Numbers may be floats or parameters.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = [
    "always",
    "at_most",
    "clip",
    "conjunction",
    "contains",
    "contains_any",
    "delta",
    "eventually",
    "geometric",
    "once",
    "sequence",
    "sign_only",
    "tolerance",
]

Number = float | Tensor


# --- text ----------------------------------------------------------------------------------------------------------


def contains(text: Tensor, word: str) -> Tensor:
    """Whether `word` occurs in each row of `text`, a uint8 tensor (N, L). Returns (N,) bool; upper case counts."""
    codes = [ord(letter) for letter in word]
    if not codes or max(codes) > 255 or len(codes) > text.shape[1]:
        return torch.zeros_like(text[:, 0], dtype=torch.bool)
    places = text.shape[1] - len(codes) + 1
    hit = text[:, :places] == codes[0]
    for offset, code in enumerate(codes[1:], start=1):
        hit = hit & (text[:, offset : offset + places] == code)
    return hit.any(dim=1)


def contains_any(text: Tensor, *words: str) -> Tensor:
    """Whether at least one of `words` occurs in each row of `text` (N, L). Returns (N,) bool."""
    found = contains(text, words[0])
    for word in words[1:]:
        found = found | contains(text, word)
    return found


# --- shaping one quantity ------------------------------------------------------------------------------------------


def clip(x: Tensor, low: Number | None = None, high: Number | None = None) -> Tensor:
    """`x` limited to [low, high]; either bound may be a number, a parameter, a tensor, or None."""
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        return torch.clamp(x, low, high)
    return torch.clamp(x, _like(low, x), _like(high, x))


def tolerance(
    x: Tensor,
    low: Number,
    high: Number,
    margin: Number = 0.0,
    value_at_margin: float = 0.1,
    shape: Literal["gaussian", "linear", "long_tail"] = "gaussian",
) -> Tensor:
    """1 while `x` (N,) is in [low, high], falling to `value_at_margin` at distance `margin` outside. Returns (N,)."""
    inside = (x >= low) & (x <= high)
    if not isinstance(margin, Tensor) and margin == 0:
        return inside.to(x.dtype)
    distance = torch.where(x < low, low - x, x - high) / margin
    if shape == "gaussian":
        outside = torch.exp(-0.5 * (distance * math.sqrt(-2 * math.log(value_at_margin))) ** 2)
    elif shape == "linear":
        outside = torch.clamp(1 - distance * (1 - value_at_margin), min=0.0)
    elif shape == "long_tail":
        outside = 1 / (1 + (distance * math.sqrt(1 / value_at_margin - 1)) ** 2)
    else:
        raise ValueError(f"unknown shape {shape!r}: use gaussian, linear or long_tail")
    return torch.where(inside, torch.ones_like(x), outside)


def delta(before: dict[str, Tensor], after: dict[str, Tensor], name: str) -> Tensor:
    """How much a feature changed in this step: `delta(obs, next_obs, "x")` is `next_obs["x"] - obs["x"]`."""
    return after[name] - before[name]


# --- combining several ---------------------------------------------------------------------------------------------


def sign_only(dense: Tensor, sparse: Tensor | None = None) -> Tensor:
    """`sign(sparse) + 0.1 * sign(dense)`: only the signs are yours, the sizes are fixed. NaN counts as 0.

    Auto MC-Reward (arXiv 2312.09238). Values are 0, +-0.1, +-0.9, +-1 and +-1.1.
    """
    small = 0.1 * torch.sign(torch.nan_to_num(dense.float()))
    return small if sparse is None else torch.sign(torch.nan_to_num(sparse.float())) + small


def geometric(*components: Tensor) -> Tensor:
    """Geometric mean of the sizes, positive only if ALL components (N,) are positive, otherwise negative; 0 if any is.

    Kinesthetic reward combination (arXiv 2305.15801). Its slope is infinite at 0: for shaping, not for gradients.
    """
    stacked = torch.stack(components, dim=-1)
    size = stacked.abs().prod(dim=-1) ** (1.0 / len(components))
    return torch.where((stacked > 0).all(dim=-1), size, -size)


def conjunction(*conditions: Tensor) -> Tensor:
    """1.0 where all conditions hold. With degrees in [0, 1] instead of bools: their product. Returns (N,) float."""
    result = conditions[0].float()
    for condition in conditions[1:]:
        result = result * condition.float()
    return result


# --- memory: each takes the remembered tensor (N,) and returns the new one -----------------------------------------


def sequence(stage: Tensor, *conditions: Tensor) -> Tensor:
    """Stage counter of a task with steps: goes from k to k + 1 when condition k holds, one step at a time."""
    advance = torch.zeros_like(stage, dtype=torch.bool)
    for number, condition in enumerate(conditions):
        advance = advance | ((stage == number) & condition)
    return stage + advance.to(stage.dtype)


def eventually(seen: Tensor, condition: Tensor) -> Tensor:
    """1 from the first step on at which `condition` held. Start it with zeros."""
    return torch.maximum(seen, condition.to(seen.dtype))


def always(held: Tensor, condition: Tensor) -> Tensor:
    """1 as long as `condition` has held at every step. Start it with ones."""
    return torch.minimum(held, condition.to(held.dtype))


def at_most(count: Tensor, condition: Tensor, limit: Number) -> tuple[Tensor, Tensor]:
    """Pays for `condition` at most `limit` times: returns (pay now, (N,) float; the new count). Start with zeros."""
    pay = condition & (count < limit)
    return pay.float(), count + pay.to(count.dtype)


def once(done: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
    """Pays for `condition` the first time only: returns (pay now, (N,) float; the new mark). Start with zeros."""
    return at_most(done, condition, 1)


def _like(bound: Number | None, x: Tensor) -> Any:
    if bound is None or isinstance(bound, Tensor):
        return bound
    return torch.full((), bound, dtype=x.dtype, device=x.device)
