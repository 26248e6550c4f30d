"""Turns a checked function graph into a flat list of closures, once; running it is then one plain loop.

Values live in a list ("slots"): inputs, constants, one per node, and the device last. Every node is bound to its
operator and arguments when the graph is loaded. What depends on no input is computed once per device. A value is
dropped when its last reader has run, so a reward needs about as much memory as its widest point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rewardsmith.reward import ops
from rewardsmith.reward.graph import Constant, FunctionGraph, Node, node_references

Slots = list[Any]
Step = Callable[[Slots], Any]


class Compiled:
    """A function graph (or a part of it) ready to run.

    Args:
        function: a graph that `parse_graph` has checked.
        wanted: numbers of the values to compute, in the order in which calls return them.
        given: numbers of the values that the caller provides; default: all inputs.
    """

    def __init__(self, function: FunctionGraph, wanted: Sequence[int], given: Sequence[int] | None = None) -> None:
        self._wanted = list(wanted)
        self._given = list(range(len(function.inputs)) if given is None else given)
        self._device_slot = function.first_node + len(function.nodes)
        self._constants = dict(enumerate(function.constants, start=len(function.inputs)))
        self._templates: dict[torch.device, Slots] = {}

        needed = needed_nodes(function, wanted, self._given)
        moving = set(self._given) | set(range(len(function.inputs)))  # values that may differ from call to call
        steps: list[tuple[int, Node]] = []
        self._still: list[tuple[Step, int]] = []
        for slot in needed:
            node = function.nodes[slot - function.first_node]
            if moving.intersection(node_references(node)):
                moving.add(slot)
                steps.append((slot, node))
            else:
                self._still.append((bind(node, self._device_slot), slot))
        last_reader = {ref: slot for slot, node in steps for ref in node_references(node)}
        keep = set(self._wanted) | (set(range(self._device_slot + 1)) - moving)
        dead: dict[int, list[int]] = {}
        for ref, slot in last_reader.items():
            if ref not in keep:
                dead.setdefault(slot, []).append(ref)
        self._steps = [(bind(node, self._device_slot), slot, tuple(dead.get(slot, ()))) for slot, node in steps]

    def __call__(self, values: Sequence[Tensor], device: torch.device) -> list[Tensor]:
        """Run on the given values, which must be on `device` (0-dim parameters may be on the CPU)."""
        slots = self._start(values, device)
        for slot, value in zip(self._given, values, strict=True):
            slots[slot] = value
        for step, slot, dead in self._steps:
            slots[slot] = step(slots)
            for value in dead:
                slots[value] = None
        return [slots[slot] for slot in self._wanted]

    def _start(self, values: Sequence[Tensor], device: torch.device) -> Slots:
        """Slots with everything filled in that depends on no input."""
        if any(type(value) not in (Tensor, torch.nn.Parameter) for value in values):
            return self._template(device)  # fake or otherwise special tensors: keep them out of the cache
        found = self._templates.get(device)
        if found is None:
            with torch.inference_mode(False), torch.no_grad():
                found = self._templates[device] = self._template(device)
        return found.copy()

    def _template(self, device: torch.device) -> Slots:
        slots: Slots = [None] * (self._device_slot + 1)
        slots[self._device_slot] = device
        for slot, constant in self._constants.items():
            slots[slot] = constant_tensor(constant, device)
        for step, slot in self._still:
            slots[slot] = step(slots)
        return slots


def needed_nodes(function: FunctionGraph, wanted: Sequence[int], given: Sequence[int]) -> list[int]:
    """Numbers of the nodes that must run to get `wanted` from `given`, in order."""
    first, stop = function.first_node, set(given)
    needed: set[int] = set()
    frontier = [value for value in wanted if value not in stop]
    while frontier:
        value = frontier.pop()
        if value >= first and value not in needed:
            needed.add(value)
            frontier += [ref for ref in node_references(function.nodes[value - first]) if ref not in stop]
    return sorted(needed)


def constant_tensor(constant: Constant, device: torch.device) -> Tensor:
    numbers = [_scalar(item) for item in constant.data]
    return torch.tensor(numbers, dtype=ops.DTYPES[constant.dtype], device=device).reshape(constant.shape)


# --- binding one node ----------------------------------------------------------------------------------------------


def bind(node: Node, device_slot: int) -> Step:
    """A closure that reads its arguments from the slots and returns the node's value."""
    if node.op == ops.SYM_SIZE:
        source, dim = node.args[0]["ref"], node.args[1]
        return lambda slots: slots[source].shape[dim]
    if node.op == ops.SYM_MUL:
        source, factor = node.args[0]["ref"], node.args[1]
        return lambda slots: slots[source] * factor
    if node.op == ops.GETITEM:
        source, index = node.args[0]["ref"], node.args[1]
        return lambda slots: slots[source][index]

    call = _SUBSTITUTES.get(node.op) or ops.overload(node.op)
    arguments = [_argument(value, device_slot) for value in node.args]
    placed = {"device": {"device": "target"}} if node.op in ops.MAKERS else {}
    keywords = {name: _argument(value, device_slot) for name, value in (placed | node.kwargs).items()}
    fixed = {name: value for name, (value, read) in keywords.items() if read is None}
    if any(read for _, read in keywords.values()):
        readers = {name: read for name, (_, read) in keywords.items() if read}
        return lambda slots: call(
            *[read(slots) if read else value for value, read in arguments],
            **fixed,
            **{name: read(slots) for name, read in readers.items()},
        )
    if fixed:
        return lambda slots: call(*[read(slots) if read else value for value, read in arguments], **fixed)
    return _bind_positional(call, node.args, arguments)


def _bind_positional(
    call: Callable[..., Any], raw: Sequence[Any], arguments: Sequence[tuple[Any, Step | None]]
) -> Step:
    """The shapes that nearly all nodes have get a closure of their own: this is the innermost loop."""
    match [_slot_of(value) if read else None for value, (_, read) in zip(raw, arguments, strict=True)]:
        case [int(a)]:
            return lambda slots: call(slots[a])
        case [int(a), int(b)]:
            return lambda slots: call(slots[a], slots[b])
        case [int(a), int(b), int(c)]:
            return lambda slots: call(slots[a], slots[b], slots[c])
        case [int(a), *rest] if all(read is None for _, read in arguments[1:]):
            others = [value for value, _ in arguments[1:]]
            if len(rest) == 1:
                other = others[0]
                return lambda slots: call(slots[a], other)
            return lambda slots: call(slots[a], *others)
    return lambda slots: call(*[read(slots) if read else value for value, read in arguments])


def _argument(value: Any, device_slot: int) -> tuple[Any, Step | None]:
    """An argument as (its value, None) when it is fixed, else as (None, how to read it from the slots)."""
    if isinstance(value, dict):
        match value:
            case {"ref": slot}:
                return None, lambda slots: slots[slot]
            case {"device": _}:
                return None, lambda slots: slots[device_slot]
            case {"dtype": name}:
                return ops.DTYPES[name], None
        return _scalar(value), None
    if isinstance(value, (list, tuple)):
        items = [_argument(item, device_slot) for item in value]
        if any(read for _, read in items):
            return None, lambda slots: [read(slots) if read else item for item, read in items]
        return [item for item, _ in items], None
    return value, None


def _slot_of(value: Any) -> int | None:
    return value.get("ref") if isinstance(value, dict) else None


def _scalar(value: Any) -> Any:
    return math.nan if value == {"float": "nan"} else float(value["float"]) if isinstance(value, dict) else value


# --- operators that need care --------------------------------------------------------------------------------------
# An index out of range stops the process on a GPU (a device-side assertion takes every tensor with it). Candidates
# choose indices, so they are clamped into range here, on every device alike; indices in range are not changed.


def _last(x: Tensor, dim: int) -> int:
    """The last index there is along a dimension."""
    if x.dim() and not x.shape[dim]:
        raise ValueError("a lookup in an empty tensor")
    return x.shape[dim] - 1 if x.dim() else 0


def _clamped(index: Tensor, size: int) -> Tensor:
    if not size:
        raise ValueError("a lookup in an empty tensor")
    return index.clamp(-size, size - 1) if index.dtype in (torch.int64, torch.int32) else index


def _index(x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    safe = [None if i is None else _clamped(i, x.shape[dim]) for dim, i in enumerate(indices)]
    return torch.ops.aten.index.Tensor(x, safe)


def _index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    return torch.ops.aten.index_select.default(x, dim, index.clamp(0, _last(x, dim)))


def _gather(x: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    return torch.ops.aten.gather.default(x, dim, index.clamp(0, _last(x, dim)), sparse_grad=sparse_grad)


def _scatter_value(x: Tensor, dim: int, index: Tensor, value: float) -> Tensor:
    return torch.ops.aten.scatter.value(x, dim, index.clamp(0, _last(x, dim)), value)


def _scatter_src(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    return torch.ops.aten.scatter.src(x, dim, index.clamp(0, _last(x, dim)), src)


def _embedding(weight: Tensor, indices: Tensor, *_: object, **__: object) -> Tensor:
    return torch.ops.aten.embedding.default(weight, indices.clamp(0, _last(weight, 0)))


# The smallest integer divided by -1 has no result: where the processor is asked for one, it ends the process.


def _divide(x: Tensor | float, divisor: Tensor | float, *, rounding_mode: str | None) -> Tensor:
    divide, kind = torch.ops.aten.div.Tensor_mode, torch.result_type(x, divisor)
    if rounding_mode != "trunc" or kind not in (torch.int64, torch.int32):
        return divide(x, divisor, rounding_mode=rounding_mode)
    x, divisor = (v.to(kind) if isinstance(v, Tensor) else torch.full((), v, dtype=kind) for v in (x, divisor))
    minus = divisor == -1
    return torch.where(minus, -x, divide(x, torch.where(minus, 1, divisor), rounding_mode="trunc"))


# An operation with very many outputs would take longer to look at than to refuse.
_MAX_PARTS = 512


def _few(parts: int) -> None:
    if parts > _MAX_PARTS:
        raise ValueError(f"a tensor is taken apart into {parts:,} pieces, {_MAX_PARTS} are allowed")


def _unbind(x: Tensor, dim: int = 0) -> Sequence[Tensor]:
    _few(x.shape[dim])
    return torch.ops.aten.unbind.int(x, dim)


def _split(x: Tensor, size: int, dim: int = 0) -> Sequence[Tensor]:
    _few(x.shape[dim] // max(size, 1))
    return torch.ops.aten.split.Tensor(x, size, dim)


_SUBSTITUTES: dict[str, Callable[..., Any]] = {
    "aten.index.Tensor": _index,
    "aten.index_select.default": _index_select,
    "aten.gather.default": _gather,
    "aten.scatter.value": _scatter_value,
    "aten.scatter.src": _scatter_src,
    "aten.embedding.default": _embedding,
    "aten.div.Tensor_mode": _divide,
    "aten.div.Scalar_mode": _divide,
    "aten.unbind.int": _unbind,
    "aten.split.Tensor": _split,
    # The tracer saw contiguous inputs and chose `view`; a rollout buffer may hand in others.
    "aten.view.default": torch.ops.aten.reshape.default,
    "aten._unsafe_view.default": torch.ops.aten.reshape.default,
}
