"""The reward contract as the tracer sees it: what candidate functions are given, and what they must give back."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rewardsmith.reward import ops
from rewardsmith.reward.graph import MAX_MEMORY_FLOATS, Input, MemorySpec, Source
from rewardsmith.reward.vocabulary import NAME
from rewardsmith.types import RewardInterface


class Mistake(Exception):
    """The candidate did something wrong in a way that has a name."""

    def __init__(self, id: str, message: str) -> None:
        super().__init__(message)
        self.id = id
        self.line: int | None = None  # where the traceback does not show it


class InputLeftOut(Exception):
    """The code needs an input that was left out of the trace to save time: trace again with all of them."""


class Features(Mapping[str, Tensor]):
    """Named features, read-only.

    Tracing costs time per input, so the tracer leaves out features that the source does not name. Whatever could show
    that (another spelling of the name, a loop over all features) raises InputLeftOut instead of a wrong answer.

    Args:
        present: the features of this trace.
        offered: the names of all features there are.
    """

    def __init__(self, present: Mapping[str, Tensor], offered: Collection[str]) -> None:
        self._present = present
        self._offered = offered

    def __getitem__(self, name: str) -> Tensor:
        if name in self._present:
            return self._present[name]
        if name in self._offered:
            raise InputLeftOut(name)
        close = get_close_matches(str(name), self._offered, n=2, cutoff=0.5)
        guess = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
        raise Mistake("trace.feature", f"no feature {str(name)[:60]!r}{guess} There are: {', '.join(self._offered)}")

    def __contains__(self, name: object) -> bool:
        return name in self._offered

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self._offered else default

    def __iter__(self) -> Iterator[str]:
        if len(self._present) < len(self._offered):
            raise InputLeftOut
        return iter(self._present)

    def __len__(self) -> int:
        return len(self._offered)


EPISODE_FRAMES: tuple[Source, ...] = ("total", "last", "low", "high")


class View(NamedTuple):
    """All inputs of one traced call, sorted by where they come from; `rows` is the symbolic batch size."""

    rows: Any
    obs: Features
    next_obs: Features
    memory: dict[str, Tensor]
    parameters: dict[str, Any]
    episode: tuple[Features, ...]
    action: Any = None
    length: Any = None


def frame_inputs(interface: RewardInterface) -> list[Input]:
    inputs = [Input(source="action", name="", shape=interface.action.shape, dtype=interface.action.dtype)]
    for feature in interface.features:
        for source in ("obs", "next_obs"):
            inputs.append(Input(source=source, name=feature.name, shape=feature.shape, dtype=feature.dtype))
    return [*inputs, Input(source="next_obs", name="terminated", dtype="bool")]


def view_of(inputs: Sequence[Input], tensors: Sequence[Tensor], offered: Sequence[Input]) -> View:
    """Sort `tensors`, the values of `inputs`, for the candidate; `offered` are all inputs there are."""
    groups: dict[str, dict[str, Tensor]] = {}
    for entry, tensor in zip(inputs, tensors, strict=True):
        groups.setdefault(entry.source, {})[entry.name] = tensor

    def features(source: Source) -> Features:
        return Features(groups.get(source, {}), [entry.name for entry in offered if entry.source == source])

    return View(
        rows=next(t for e, t in zip(inputs, tensors, strict=True) if e.source != "parameter").shape[0],
        obs=features("obs"),
        next_obs=features("next_obs"),
        memory=groups.get("memory", {}),
        parameters=dict(groups.get("parameter", {})),
        episode=tuple(features(kind) for kind in EPISODE_FRAMES),
        action=groups.get("action", {}).get(""),
        length=groups.get("length", {}).get(""),
    )


def accepted_parameters(function: Callable[..., Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that this function declares (the gate made them keyword-only)."""
    return {name: parameters[name] for name in getattr(function, "__kwdefaults__", None) or {}}


def reward_outputs(result: Any, memory: tuple[MemorySpec, ...], rows: Any) -> dict[str, Tensor]:
    expected = "(total, components, memory)" if memory else "(total, components)"
    if not isinstance(result, tuple) or len(result) != (3 if memory else 2) or not isinstance(result[1], dict):
        raise Mistake("trace.output", f"compute_reward returns {_described(result)} instead of {expected}")
    total, components = result[:2]
    outputs = {"total": per_row(total, "the total", rows)}
    for name, value in components.items():
        outputs[f"component.{output_name(name, 'component')}"] = per_row(value, f"component {name!r}", rows)
    if memory:
        outputs |= _memory_outputs(result[2], memory, rows)
    return outputs


def _described(value: Any) -> str:
    """A returned value in the words of the contract: "a tuple (tensor, list)"."""
    if isinstance(value, tuple):
        return f"a tuple ({', '.join(_kind(item) for item in value[:6])})"
    return {"NoneType": "nothing", "tensor": "one tensor"}.get(_kind(value), f"a {_kind(value)}")


def _kind(value: Any) -> str:
    return "tensor" if isinstance(value, Tensor) else type(value).__name__


def output_name(name: object, what: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Mistake(
            "trace.output", f"{what} name {str(name)[:60]!r}: use lower case letters, digits and _, at most 40"
        )
    return name


def per_row(value: Any, what: str, rows: Any) -> Tensor:
    """The value as float32 (N,), or a Mistake that says what it is instead."""
    if not isinstance(value, Tensor):
        raise Mistake("trace.output", f"{what} is a {type(value).__name__}, not a tensor (N,){_cause(value, what)}")
    if value.dim() != 1 or value.shape[0] != rows:
        shape = ", ".join("N" if isinstance(size, torch.SymInt) else str(size) for size in value.shape)
        raise Mistake("trace.output", f"{what} has shape ({shape}) instead of (N,){_cause(value, what)}")
    return value.to(torch.float32)


def _cause(value: Any, what: str) -> str:
    """The likely reason of a wrong shape, and the way out."""
    if not isinstance(value, Tensor):
        number = isinstance(value, (bool, int, float))
        return f": write torch.full_like(x, {value}) with a feature x of shape (N,)" if number else ""
    if value.dim() == 0:
        return (
            ": it is one number for the whole batch. A reduction without dim (x.sum(), x.mean(), torch.norm(x)) makes "
            "that: use dim=-1, or leave it away for a feature of shape (N,); a constant is torch.full_like(x, value)"
        )
    if value.dim() > 1 and value.shape[1:].numel() == 1:
        return ": drop the last dimension with .squeeze(-1)"
    if value.dim() == 1:
        return ": it does not have one value for every row"
    return ": reduce it with .sum(dim=-1) or .norm(dim=-1), or pick one entry with [:, 0]"


def _memory_outputs(memory: Any, specs: tuple[MemorySpec, ...], rows: Any) -> dict[str, Tensor]:
    if not isinstance(memory, dict) or set(memory) != {spec.name for spec in specs}:
        raise Mistake("trace.memory", f"the returned memory must have exactly the keys {[s.name for s in specs]}")
    outputs = {}
    for spec in specs:
        value = memory[spec.name]
        if not isinstance(value, Tensor) or tuple(value.shape[1:]) != spec.shape or value.dim() != len(spec.shape) + 1:
            raise Mistake(
                "trace.memory", f"memory {spec.name!r} must keep the shape ({', '.join(['N', *map(str, spec.shape)])})"
            )
        outputs[f"memory.{spec.name}"] = value.to(ops.DTYPES[spec.dtype])
    return outputs


def memory_specs(function: Callable[..., Any]) -> tuple[MemorySpec, ...]:
    """Run initial_memory for two sizes: the same value for every row, whatever their number."""
    two, three = function(2), function(3)
    if not isinstance(two, dict) or not isinstance(three, dict) or set(two) != set(three) or not two:
        raise Mistake("trace.memory", "initial_memory(n) returns a dict of tensors, always with the same keys")
    specs = []
    for name, value in two.items():
        other = three[name]
        if (
            not isinstance(value, Tensor)
            or not isinstance(other, Tensor)
            or (value.shape[:1], other.shape[:1]) != ((2,), (3,))
        ):
            raise Mistake("trace.memory", f"memory {name!r} must be a tensor (n, ...)")
        if (
            value.shape[1:] != other.shape[1:]
            or not bool((other == value[0]).all())
            or not bool((value == value[0]).all())
        ):
            raise Mistake("trace.memory", f"memory {name!r} must start with the same value in every row")
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in ("float32", "int64", "bool", "uint8"):
            raise Mistake("trace.memory", f"memory {name!r} is {dtype}: use float32, int64 or bool")
        start = tuple(value[0].flatten().tolist())
        specs.append(
            MemorySpec(name=output_name(name, "memory"), shape=tuple(value.shape[1:]), dtype=dtype, initial=start)
        )
    if sum(math.prod(spec.shape) for spec in specs) > MAX_MEMORY_FLOATS:
        raise Mistake("trace.memory", f"memory holds more than {MAX_MEMORY_FLOATS} numbers a row")
    return tuple(specs)
