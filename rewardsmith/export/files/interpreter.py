"""Runs the reward in graph.json. Needs torch and nothing else.

The graph is data: a list of tensor operations from the table below, on named features, an action, parameters and
memory. There is no place in it for code, files or names outside the table, and this loader refuses anything else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

VERSION = 1
MAX_NODES = 2000
MAX_CONSTANT_ELEMENTS = 65_536
MAX_LITERAL_SIZE = 2**24
DTYPES = {name: getattr(torch, name) for name in ("float32", "float64", "int64", "int32", "bool", "uint8")}
ALLOWED = frozenset(["{ALLOWED}"])
# The only operations that may take the batch size.
SIZE_TAKING = frozenset(["{SIZE_TAKING}"])
# Operations whose literal sizes decide how much they allocate.
SIZED = SIZE_TAKING - {"aten.slice.Tensor"} | {
    f"aten.{name}.default" for name in ("eye", "repeat", "linspace", "constant_pad_nd")
}
STRINGS = ("floor", "trunc", "none", "tanh")
SOURCES = ("obs", "action", "next_obs", "memory", "parameter")


class GraphError(ValueError):
    """graph.json is damaged, was changed, or comes from another version."""


class RewardOutput(NamedTuple):
    """`total` (N,) and `components` {name: (N,)} in float32; `memory` {name: (N, ...)} after the step."""

    total: Tensor
    components: dict[str, Tensor]
    memory: dict[str, Tensor]


class ExportedReward:
    """The reward as a function of batched, named features.

    Args:
        graph: the parsed content of graph.json.
        params: values for parameters, in place of the defaults in the graph.

    Raises:
        GraphError: the graph is not one that this file can run.
    """

    def __init__(self, graph: Mapping[str, Any], *, params: Mapping[str, float] | None = None) -> None:
        if not isinstance(graph, Mapping) or graph.get("version") != VERSION:
            raise GraphError(f"not a reward graph of version {VERSION}")
        try:
            self.parameters = {str(name): float(value) for name, value in graph["parameters"].items()}
            self.structural = tuple(graph["structural"])
            self._memory = {str(spec["name"]): _initial(spec) for spec in graph["memory"]}
            self._reward = _Function(graph["reward"])
            self._potential = _Function(graph["potential"]) if graph.get("potential") else None
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise GraphError(f"the graph is damaged: {type(error).__name__}: {error}") from error
        for name, value in (params or {}).items():
            if name not in self.parameters or name in self.structural:
                free = sorted(set(self.parameters) - set(self.structural))
                raise GraphError(f"{name!r} is no free parameter; these are: {', '.join(free) or 'none'}")
            self.parameters[name] = float(value)
        names = list(self._reward.outputs)
        expected = {"total", *(f"memory.{name}" for name in self._memory)}
        if not expected <= set(names) or (self._potential and "potential" not in self._potential.outputs):
            raise GraphError("the graph lacks an output")
        self.component_names = tuple(n.removeprefix("component.") for n in names if n.startswith("component."))
        self._tensors: dict[torch.device, dict[str, Tensor]] = {}

    @classmethod
    def load(cls, path: str | Path, *, params: Mapping[str, float] | None = None) -> ExportedReward:
        """Read graph.json."""
        try:
            graph = json.loads(Path(path).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise GraphError(f"{path} is not JSON: {error}") from error
        return cls(graph, params=params)

    @property
    def uses_memory(self) -> bool:
        return bool(self._memory)

    def initial_memory(self, n: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """Memory (n, ...) of n episodes that are about to start."""
        return {name: value.to(device).expand(n, *value.shape).clone() for name, value in self._memory.items()}

    def __call__(
        self,
        obs: Mapping[str, Tensor],
        action: Tensor,
        next_obs: Mapping[str, Tensor],
        *,
        memory: Mapping[str, Tensor] | None = None,
    ) -> RewardOutput:
        """Reward of N transitions.

        Args:
            obs, next_obs: features (N, ...) before and after the step; `next_obs` also has "terminated" (N,) bool.
            action: (N, A) float32, or (N,) or (N, A) int64, as it was applied.
            memory: what `initial_memory` or the last call gave; default: a fresh start.
        """
        if memory is None:
            memory = self.initial_memory(len(action), action.device)
        frames = {"obs": obs, "next_obs": next_obs, "memory": memory, "parameter": self._parameters(action.device)}
        out = self._reward(frames, action, action.device)
        return RewardOutput(
            out["total"],
            {name: out[f"component.{name}"] for name in self.component_names},
            {name: out[f"memory.{name}"] for name in self._memory},
        )

    @property
    def has_potential(self) -> bool:
        return self._potential is not None

    def potential(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Potential (N,) of N states; zeros when the reward has none."""
        some = next(iter(obs.values()))
        if self._potential is None:
            return torch.zeros(len(some), device=some.device)
        frames = {"obs": obs, "parameter": self._parameters(some.device)}
        return self._potential(frames, some, some.device)["potential"]

    def _parameters(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._tensors:
            self._tensors[device] = {
                n: torch.tensor(v, dtype=torch.float64, device=device) for n, v in self.parameters.items()
            }
        return self._tensors[device]


class _Function:
    """One function of the graph: values are inputs, then constants, then one per node."""

    def __init__(self, function: Mapping[str, Any]) -> None:
        self._inputs = [(entry["source"], entry["name"]) for entry in function["inputs"]]
        self._constants = [_constant(entry) for entry in function["constants"]]
        if any(source not in SOURCES for source, _ in self._inputs):
            raise GraphError("an input comes from nowhere")
        if sum(c.numel() for c in self._constants) > MAX_CONSTANT_ELEMENTS or len(function["nodes"]) > MAX_NODES:
            raise GraphError("the graph is too large")
        kinds = ["tensor"] * (len(self._inputs) + len(self._constants))
        self._steps: list[Callable[[list, torch.device], Any]] = []
        for node in function["nodes"]:
            kinds.append(_check(node, kinds))
            self._steps.append(_bind(node))
        self.outputs: dict[str, int] = dict(function["outputs"])
        if any(type(i) is not int or not 0 <= i < len(kinds) or kinds[i] != "tensor" for i in self.outputs.values()):
            raise GraphError("an output is no tensor of the graph")

    def __call__(self, frames: Mapping[str, Mapping[str, Tensor]], action: Tensor, device: torch.device) -> dict:
        values: list[Any] = [action if source == "action" else frames[source][name] for source, name in self._inputs]
        values += [constant.to(device) for constant in self._constants]
        for step in self._steps:
            values.append(step(values, device))
        return {name: values[index] for name, index in self.outputs.items()}


# --- checking one node ---------------------------------------------------------------------------------------------


def _check(node: Mapping[str, Any], kinds: list[str]) -> str:
    """Refuse what is not a known operation on earlier values; returns the kind of its value: tensor, tuple or size."""
    op, args, kwargs = node["op"], node["args"], node["kwargs"]
    if op in ("sym_size", "sym_mul", "getitem"):
        wanted = {"sym_size": "tensor", "sym_mul": "size", "getitem": "tuple"}[op]
        number = _is_int(args[1]) and (op != "sym_mul" or 1 <= args[1] <= MAX_CONSTANT_ELEMENTS)
        if len(args) != 2 or kwargs or _kind(args[0], kinds) != wanted or not number:
            raise GraphError(f"{op} has wrong arguments")
        return "tensor" if op == "getitem" else "size"
    if op not in ALLOWED:
        raise GraphError(f"operation {str(op)[:60]!r} is not allowed")
    for value in (*args, *kwargs.values()):
        _check_argument(op, value, kinds)
    if op in SIZED and _literal_size(args) > MAX_LITERAL_SIZE:
        raise GraphError(f"{op} asks for too much memory")
    returns = _overload(op)._schema.returns
    return "tuple" if len(returns) > 1 or str(returns[0].type).startswith("List") else "tensor"


def _check_argument(op: str, value: Any, kinds: list[str]) -> None:
    if isinstance(value, list):
        for item in value:
            _check_argument(op, item, kinds)
    elif isinstance(value, dict):
        tag, content = next(iter(value.items())) if len(value) == 1 else ("", None)
        kind = _kind(value, kinds) if tag == "ref" else ""
        sound = (
            kind == "tensor"
            or (kind == "size" and op in SIZE_TAKING)
            or (tag == "float" and content in ("inf", "-inf", "nan"))
            or (tag == "dtype" and content in DTYPES)
            or (tag == "device" and content == "target")
        )
        if not sound:
            raise GraphError(f"{op} has an argument that is not allowed")
    elif not (value is None or isinstance(value, bool) or _is_int(value) or _is_float(value) or value in STRINGS):
        raise GraphError(f"{op} has an argument that is not allowed")


def _kind(value: Any, kinds: list[str]) -> str:
    """What an earlier value is; "" when the reference is none, or points forwards."""
    index = value.get("ref") if isinstance(value, dict) else None
    return kinds[index] if index is not None and _is_int(index) and 0 <= index < len(kinds) else ""


def _literal_size(args: Sequence[Any]) -> int:
    """The largest literal size among the arguments; of a list of sizes, their product."""
    sizes = [math.prod(max(abs(i), 1) for i in value if _is_int(i)) for value in args if isinstance(value, list)]
    return max([0, *sizes, *(abs(value) for value in args if _is_int(value))])


def _is_int(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63


def _is_float(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


# --- running one node ----------------------------------------------------------------------------------------------


def _overload(name: str) -> Any:
    _, packet, variant = name.split(".")
    return getattr(getattr(torch.ops.aten, packet), variant)


def _bind(node: Mapping[str, Any]) -> Callable[[list, torch.device], Any]:
    """A function of the values so far, with everything fixed that can be."""
    op, args, kwargs = node["op"], node["args"], node["kwargs"]
    if op in ("sym_size", "sym_mul", "getitem"):
        index, number = args[0]["ref"], args[1]
        if op == "sym_size":
            return lambda values, device: values[index].shape[number]
        if op == "sym_mul":
            return lambda values, device: values[index] * number
        return lambda values, device: values[index][number]
    call = SUBSTITUTES.get(op) or _overload(op)
    readers = [_reader(value) for value in args]
    named = {name: _reader(value) for name, value in kwargs.items()}
    return lambda values, device: call(
        *[read(values, device) for read in readers], **{name: read(values, device) for name, read in named.items()}
    )


def _reader(value: Any) -> Callable[[list, torch.device], Any]:
    if isinstance(value, list):
        readers = [_reader(item) for item in value]
        return lambda values, device: [read(values, device) for read in readers]
    if isinstance(value, dict):
        tag, content = next(iter(value.items()))
        if tag == "ref":
            return lambda values, device: values[content]
        if tag == "device":
            return lambda values, device: device
        value = DTYPES[content] if tag == "dtype" else float(content)
    return lambda values, device: value


def _constant(entry: Mapping[str, Any]) -> Tensor:
    numbers = [float(item["float"]) if isinstance(item, dict) else item for item in entry["data"]]
    if not all(isinstance(n, (bool, int, float)) for n in numbers) or math.prod(entry["shape"]) != len(numbers):
        raise GraphError("a constant is damaged")
    return torch.tensor(numbers, dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _initial(spec: Mapping[str, Any]) -> Tensor:
    return torch.tensor(list(spec["initial"]), dtype=DTYPES[spec["dtype"]]).reshape(spec["shape"])


# --- operations that need care -------------------------------------------------------------------------------------
# Indices are clamped into range, because on a GPU a wrong one ends the process; so does, on a CPU, the smallest integer
# divided by -1.


def _index(x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    def clamped(index: Tensor, size: int) -> Tensor:
        return index.clamp(-size, size - 1) if index.dtype in (torch.int64, torch.int32) else index

    return torch.ops.aten.index.Tensor(
        x, [None if i is None else clamped(i, x.shape[d]) for d, i in enumerate(indices)]
    )


def _index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    return torch.ops.aten.index_select.default(x, dim, index.clamp(0, x.shape[dim] - 1))


def _gather(x: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    return torch.ops.aten.gather.default(x, dim, index.clamp(0, x.shape[dim] - 1), sparse_grad=sparse_grad)


def _scatter_value(x: Tensor, dim: int, index: Tensor, value: float) -> Tensor:
    return torch.ops.aten.scatter.value(x, dim, index.clamp(0, x.shape[dim] - 1), value)


def _scatter_src(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    return torch.ops.aten.scatter.src(x, dim, index.clamp(0, x.shape[dim] - 1), src)


def _embedding(weight: Tensor, indices: Tensor, *_: object, **__: object) -> Tensor:
    return torch.ops.aten.embedding.default(weight, indices.clamp(0, weight.shape[0] - 1))


def _divide(x: Tensor | float, divisor: Tensor | float, *, rounding_mode: str | None) -> Tensor:
    divide, kind = torch.ops.aten.div.Tensor_mode, torch.result_type(x, divisor)
    if rounding_mode != "trunc" or kind not in (torch.int64, torch.int32):
        return divide(x, divisor, rounding_mode=rounding_mode)
    x, divisor = (v.to(kind) if isinstance(v, Tensor) else torch.full((), v, dtype=kind) for v in (x, divisor))
    minus = divisor == -1
    return torch.where(minus, -x, divide(x, torch.where(minus, 1, divisor), rounding_mode="trunc"))


SUBSTITUTES: dict[str, Callable[..., Any]] = {
    "aten.index.Tensor": _index,
    "aten.index_select.default": _index_select,
    "aten.gather.default": _gather,
    "aten.scatter.value": _scatter_value,
    "aten.scatter.src": _scatter_src,
    "aten.embedding.default": _embedding,
    "aten.div.Tensor_mode": _divide,
    "aten.div.Scalar_mode": _divide,
    "aten.view.default": torch.ops.aten.reshape.default,
    "aten._unsafe_view.default": torch.ops.aten.reshape.default,
}
