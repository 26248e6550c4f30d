"""What candidate code sees: `torch`, `F`, `math`, the toolkit and builtins, cut down to the vocabulary's words.

A few functions are replaced by ones that accept parameters (0-dim float64 tensors while tracing) where torch wants
plain numbers, so that these parameters stay tunable. With plain numbers they do exactly what torch does.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from rewardsmith.reward import toolkit
from rewardsmith.reward import vocabulary as words


def candidate_globals() -> dict[str, Any]:
    """A fresh global namespace for one source file. The names are those that the gate writes."""
    library = {name: getattr(torch, name) for name in words.TORCH_FUNCTIONS | words.TORCH_CONSTANTS}
    functional = {name: getattr(torch.nn.functional, name) for name in words.FUNCTIONAL_FUNCTIONS}
    arithmetic = {name: getattr(math, name) for name in words.MATH_FUNCTIONS | words.MATH_CONSTANTS}
    return {
        "__builtins__": {name: getattr(builtins, name) for name in words.BUILTINS} | {"len": _length},
        "__torch": SimpleNamespace(**library | _REPLACED),
        "__linalg": SimpleNamespace(**{name: getattr(torch.linalg, name) for name in words.LINALG_FUNCTIONS}),
        "__functional": SimpleNamespace(**functional | {"cosine_similarity": _cosine_similarity}),
        "__math": SimpleNamespace(**arithmetic),
        "__update": SimpleNamespace(**{name: _updater(getattr(operator, name)) for name in _UPDATES}),
        "__toolkit": SimpleNamespace(**{name: getattr(toolkit, name) for name in words.TOOLKIT}),
    }


def _length(value: Any) -> Any:
    """`len`, but the number of rows stays symbolic."""
    return value.shape[0] if isinstance(value, Tensor) else len(value)


def _is_parameter(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 0 and value.dtype == torch.float64


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def _clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    return toolkit.clip(input, min, max)


def _clamp_min(input: Tensor, min: Any) -> Tensor:
    return toolkit.clip(input, min, None)


def _clamp_max(input: Tensor, max: Any) -> Tensor:
    return toolkit.clip(input, None, max)


def _where(condition: Tensor, *choices: Any, input: Any = None, other: Any = None) -> Tensor:
    a, b = choices if choices else (input, other)
    if (_is_parameter(a) or _is_plain(a)) and (_is_parameter(b) or _is_plain(b)):
        a, b = (value.to(torch.float32) if _is_parameter(value) else value for value in (a, b))
    return torch.where(condition, a, b)


def _cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """torch's own changes an intermediate value in place where functionalization cannot see it."""
    x1, x2 = torch.broadcast_tensors(x1, x2)
    lengths = (torch.linalg.vector_norm(x, dim=dim, keepdim=True).clamp_min(eps) for x in (x1, x2))
    return (x1 / next(lengths) * (x2 / next(lengths))).sum(dim=dim)


def _isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8) -> Tensor:
    """For the same reason."""
    gap = (input - other).abs()
    return (input == other) | (torch.isfinite(gap) & (gap <= atol + (rtol * other).abs()))


def _full(size: Any, fill_value: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    if isinstance(fill_value, Tensor):
        return fill_value.to(dtype or torch.float32).expand(size)
    return torch.full(size, fill_value, dtype=dtype, device=device)


def _full_like(input: Tensor, fill_value: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    if isinstance(fill_value, Tensor):
        return fill_value.to(dtype or input.dtype).expand_as(input)
    return torch.full_like(input, fill_value, dtype=dtype, device=device)


def _tensor(data: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    if isinstance(data, Tensor):
        return data.to(dtype or data.dtype).clone()
    if not _holds_tensor(data):
        return torch.tensor(data, dtype=dtype, device=device)
    return torch.stack([_element(item, dtype) for item in data])


def _element(item: Any, dtype: torch.dtype | None) -> Tensor:
    if isinstance(item, (list, tuple)):
        return _tensor(item, dtype)
    return (
        item.to(dtype or torch.float32)
        if isinstance(item, Tensor)
        else torch.full((), item, dtype=dtype or torch.float32)
    )


def _holds_tensor(data: Any) -> bool:
    return isinstance(data, Tensor) or (isinstance(data, (list, tuple)) and any(_holds_tensor(item) for item in data))


def _updater(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], None]:
    """`target[index] op= value`, where a mask does not select rows but chooses for each between old and new."""

    def update(target: Any, index: Any, value: Any) -> None:
        masked = isinstance(target, Tensor) and isinstance(index, Tensor) and index.dtype == torch.bool
        if masked and not (isinstance(value, Tensor) and value.dim()):
            mask = index.reshape(*index.shape, *[1] * (target.dim() - index.dim()))
            target.copy_(torch.where(mask, operation(target.clone(), value), target))
        else:
            target[index] = operation(target[index], value)

    return update


_UPDATES = ("iadd", "isub", "imul", "itruediv")
_REPLACED = {
    "cosine_similarity": _cosine_similarity,
    "isclose": _isclose,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "where": _where,
    "full": _full,
    "full_like": _full_like,
    "tensor": _tensor,
    "as_tensor": _tensor,
}
