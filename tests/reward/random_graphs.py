"""Graphs as an attacker would write them: random operations with random arguments, and valid graphs with damage."""

# ruff: noqa: E501 (tables read better with one case a line)

from __future__ import annotations

import copy
import random
from typing import Any

from rewardsmith.reward import ops
from tests.reward.corpus.interface import INTERFACE

_INPUTS: list[dict[str, Any]] = [
    {"source": "next_obs", "name": feature.name, "shape": list(feature.shape), "dtype": feature.dtype}
    for feature in INTERFACE.features
] + [{"source": "parameter", "name": "w", "shape": [], "dtype": "float64"}]
_CONSTANTS: list[dict[str, Any]] = [
    {"shape": [], "dtype": "float32", "data": [{"float": "-inf"}]},
    {"shape": [1], "dtype": "float32", "data": [0.5]},
    {"shape": [], "dtype": "int64", "data": [-1]},
    {"shape": [3], "dtype": "int64", "data": [0, 2, 2**62]},
    {"shape": [2, 2], "dtype": "float32", "data": [1.0, {"float": "nan"}, -2.0, 1e38]},
    {"shape": [0], "dtype": "float32", "data": []},
]
_FIRST = len(_INPUTS) + len(_CONSTANTS)
_SMALLEST = {"op": "aten._to_copy.default", "args": [{"ref": len(_INPUTS)}], "kwargs": {"dtype": {"dtype": "int64"}}}

INTEGERS = (0, 1, 2, 3, 4, -1, -2, 8, 24, 100, 4096, 65_537, -(2**31), 2**31, 2**40, 2**62, 2**63 - 1, -(2**63 - 1))
NUMBERS = (*INTEGERS, 0.5, -1.5, 1e300, 1e-300, True, {"float": "inf"}, {"float": "-inf"}, {"float": "nan"})
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 2**62, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "x", "aten.neg.default", "\x00",
    "\u00e9", "a" * 100_000, [], {}, [[]], {"ref": 0}, {"ref": 99}, {"ref": -1}, {"ref": 0.0}, {"ref": None}, {"ref": 0, "float": "nan"},
    {"float": "nan"}, {"float": "NaN"}, {"float": 1}, {"dtype": "float16"}, {"dtype": "float32"}, {"device": "cuda"}, {"device": "target"},
    {"": 1}, [0] * 600, [10**9] * 3, [{"ref": 0}] * 600, {"x": {"x": {"x": {"x": [1]}}}},
)  # fmt: skip


def whole(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """A reward graph around `nodes`, whose values are numbered from `first_value()` on."""
    data = {
        "version": 1,
        "interface": INTERFACE.digest,
        "features": [feature.name for feature in INTERFACE.features],
        "parameters": {"w": 0.5},
        "structural": [],
        "memory": [],
        "reward": {"inputs": _INPUTS, "constants": _CONSTANTS, "nodes": nodes, "outputs": {"total": 2}},
        "potential": None,
    }
    return copy.deepcopy(data)


def random_graph(rng: random.Random, op: str) -> dict[str, Any]:
    """A graph in which `op` gets arguments of the declared types, some of them made by another operation."""
    nodes = [_SMALLEST]
    kinds = ["tensor"] * (_FIRST + 1)
    if rng.random() < 0.4:
        nodes.append({"op": ops.SYM_SIZE, "args": [{"ref": rng.randrange(len(_INPUTS) - 1)}, 0], "kwargs": {}})
        kinds.append("size")
    for name in ([rng.choice(sorted(ops.ALLOWED))] if rng.random() < 0.4 else []) + [op]:
        nodes.append(_node(rng, name, kinds))
        kinds.append("tensor")
    return whole(nodes)


def _node(rng: random.Random, op: str, kinds: list[str]) -> dict[str, Any]:
    positional, keyword, required = ops.argument_types(op)
    count = rng.randint(required, len(positional))
    args = [_argument(rng, kind, kinds) for _, kind in positional[:count]]
    kwargs = {name: _argument(rng, kind, kinds) for name, kind in keyword.items() if rng.random() < 0.3}
    return {"op": op, "args": args, "kwargs": kwargs}


def _argument(rng: random.Random, kind: str, kinds: list[str]) -> Any:
    if kind.startswith("Optional["):
        return None if rng.random() < 0.3 else _argument(rng, kind[9:-1], kinds)
    if kind.startswith("List["):
        return [_argument(rng, kind[5:-1], kinds) for _ in range(rng.choice((0, 1, 1, 2, 2, 3)))]
    tensors = [number for number, of in enumerate(kinds) if of == "tensor"]
    sizes = [number for number, of in enumerate(kinds) if of == "size"]
    if kind == "Tensor":
        return {"ref": rng.choice(tensors)} if rng.random() < 0.95 else rng.choice(NUMBERS)
    if kind == "int":
        if sizes and rng.random() < 0.5:
            return {"ref": rng.choice(sizes)}
        return rng.choice(INTEGERS[:8] if rng.random() < 0.7 else INTEGERS)
    if kind in ("number", "float"):
        return rng.choice(NUMBERS)
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "str":
        return rng.choice(("floor", "trunc", "none", "tanh", "other"))
    return {"dtype": rng.choice(sorted(ops.DTYPES))} if kind == "ScalarType" else {"device": "target"}


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in JSON data."""
    found = [path] if path else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += places(value, (*path, key))
    return found


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of `data` with another value at `path`."""
    data = copy.deepcopy(data)
    inside = data
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return data


def damaged_graph(rng: random.Random, data: dict[str, Any]) -> dict[str, Any]:
    """A valid graph with one to three changes of the kind that keeps most of it valid."""
    data = copy.deepcopy(data)
    nodes = data["reward"]["nodes"]
    for _ in range(rng.randint(1, 3)):
        node = rng.choice(nodes) if nodes else {"op": "", "args": [], "kwargs": {}}
        match rng.randrange(7):
            case 0:
                node["op"] = rng.choice(sorted(ops.ALLOWED))
            case 1 if node["args"]:
                node["args"][rng.randrange(len(node["args"]))] = rng.choice((*NUMBERS, [rng.choice(INTEGERS)], None))
            case 2 if node["args"]:
                node["args"][rng.randrange(len(node["args"]))] = {"ref": rng.randrange(len(nodes) + 8)}
            case 3:
                rng.shuffle(node["args"])
            case 4:
                path = rng.choice(places(data["reward"]))
                data["reward"] = replaced(data["reward"], path, rng.choice(ODD))
                nodes = data["reward"]["nodes"] if isinstance(data["reward"].get("nodes"), list) else []
                nodes = [n for n in nodes if isinstance(n, dict) and isinstance(n.get("args"), list) and "op" in n]
            case 5 if nodes:
                node["kwargs"] = {rng.choice(("dim", "dtype", "alpha", "keepdim")): rng.choice(NUMBERS)}
            case _ if data["reward"].get("outputs") and isinstance(data["reward"]["outputs"], dict):
                name = rng.choice(sorted(data["reward"]["outputs"]))
                data["reward"]["outputs"][name] = rng.randrange(len(nodes) + 8)
    return data
