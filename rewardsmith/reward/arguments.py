"""What the nodes and constants of a graph may hold: every argument is checked against its operator's declaration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NoReturn, TypeGuard

from rewardsmith.errors import RewardRefused
from rewardsmith.reward import ops

if TYPE_CHECKING:
    from rewardsmith.reward.graph import Node

MAX_CONSTANT_ELEMENTS = 65_536
MAX_LIST = 512
MAX_INT = 2**63 - 1
MAX_ARANGE = 2**31  # beyond 2**53 the size that torch computes differs between tensors with and without storage

_INTEGERS = {"int64": (-MAX_INT, MAX_INT), "int32": (-(2**31), 2**31 - 1), "uint8": (0, 255)}
_STRINGS = ("floor", "trunc", "none", "tanh")  # rounding modes, and the approximations of gelu
_TAGS: dict[str, frozenset[tuple[str, str]]] = {
    "ScalarType": frozenset(("dtype", name) for name in ops.DTYPES),
    "Device": frozenset({("device", "target")}),
}


def check_node(node: Node, kinds: list[str]) -> str:
    """Check one node; returns the kind of its value: tensor, tuple (several outputs) or size.

    Args:
        kinds: of all values before it.

    Raises:
        RewardRefused: `graph.op` or `graph.arguments`.
    """
    if node.op == ops.SYM_SIZE:
        _expect(node, kinds, "Tensor", "int")
        return "size"
    if node.op == ops.SYM_MUL:
        _expect(node, kinds, "size", "int")
        if not 1 <= node.args[1] <= MAX_CONSTANT_ELEMENTS:
            refuse("graph.arguments", "a batch size may be multiplied by a positive integer only")
        return "size"
    if node.op == ops.GETITEM:
        _expect(node, kinds, "tuple", "int")
        return "tensor"
    try:
        positional, keyword, required = ops.argument_types(node.op)
    except KeyError:
        refuse("graph.op", f"operation {node.op[:60]!r} is not allowed")
    if not required <= len(node.args) + len(set(node.kwargs) & {name for name, _ in positional}) <= len(positional):
        refuse("graph.arguments", f"{node.op} has the wrong number of arguments")
    types = dict(positional[len(node.args) :]) | keyword
    for value, (name, kind) in zip(node.args, positional, strict=False):
        _check_argument(node.op, value, kind, kinds)
        _check_dimensions(node.op, name, value)
    for name, value in node.kwargs.items():
        if name not in types:
            refuse("graph.arguments", f"{node.op} has no argument {name[:40]!r}")
        _check_argument(node.op, value, types[name], kinds)
        _check_dimensions(node.op, name, value)
    if node.op.startswith("aten.arange.") and any(_is_far(value) for value in (*node.args, *node.kwargs.values())):
        refuse("graph.arguments", f"{node.op}: a bound or step beyond {MAX_ARANGE:,}")
    return "tuple" if len(ops.overload(node.op)._schema.returns) > 1 or node.op in ops.LIST_RETURNING else "tensor"


def _expect(node: Node, kinds: list[str], *types: str) -> None:
    if len(node.args) != len(types) or node.kwargs:
        refuse("graph.arguments", f"{node.op} has the wrong number of arguments")
    for value, kind in zip(node.args, types, strict=True):
        _check_argument(node.op, value, kind, kinds)


def _check_argument(op: str, value: object, kind: str, kinds: list[str]) -> None:
    """One argument against the type its operator declares. References must point backwards, to the right kind."""
    if not _fits(op, value, kind, kinds):
        refuse("graph.arguments", f"{op}: an argument is not a proper {kind} (or refers forwards)")


def _check_dimensions(op: str, name: str, value: object) -> None:
    """An empty list of dimensions means all of them to some operations, and none to others."""
    if name == "dim" and isinstance(value, (list, tuple)) and not value:
        refuse("graph.arguments", f"{op}: an empty list of dimensions")


def _fits(op: str, value: object, kind: str, kinds: list[str]) -> bool:
    if kind.startswith("Optional["):
        return value is None or _fits(op, value, kind[9:-1], kinds)
    if kind.startswith("List["):
        return (
            isinstance(value, (list, tuple))
            and len(value) <= MAX_LIST
            and all(_fits(op, item, kind[5:-1], kinds) for item in value)
        ) or (kind == "List[int]" and _is_int(value))
    if kind == "Tensor":  # torch takes a number in place of a tensor and treats it as a 0-dim one
        return _refers_to(value, "tensor", kinds) or _is_number(value)
    if kind in ("tuple", "size"):
        return _refers_to(value, kind, kinds)
    if kind == "int":
        return _is_int(value) or (op in ops.SIZE_TAKING and _refers_to(value, "size", kinds))
    if kind == "number":
        return _is_number(value) or (op.startswith("aten.arange.") and _refers_to(value, "size", kinds))
    if kind == "float":
        return _is_number(value)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "str":
        return value in _STRINGS
    tagged = _TAGS.get(kind)
    return tagged is not None and isinstance(value, dict) and len(value) == 1 and next(iter(value.items())) in tagged


def _refers_to(value: object, kind: str, kinds: list[str]) -> bool:
    if not isinstance(value, dict) or set(value) != {"ref"} or not _is_int(number := value["ref"]):
        return False
    return 0 <= number < len(kinds) and kinds[number] == kind


def _is_far(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) > MAX_ARANGE


def _is_int(value: object) -> TypeGuard[int]:
    return type(value) is int and -MAX_INT <= value <= MAX_INT


def _is_number(value: object) -> bool:
    if isinstance(value, dict):
        return len(value) == 1 and value.get("float") in ("inf", "-inf", "nan")
    return isinstance(value, bool) or _is_int(value) or (type(value) is float and math.isfinite(value))


def fits_dtype(value: object, dtype: str) -> bool:
    """Whether a JSON value can be an element of a tensor of this dtype."""
    if dtype == "bool":
        return isinstance(value, bool)
    if dtype in _INTEGERS:
        low, high = _INTEGERS[dtype]
        return _is_int(value) and low <= value <= high
    return _is_number(value)


def refuse(id: str, message: str) -> NoReturn:
    """Raise a refusal by the loader."""
    raise RewardRefused(message, id=id, hint="trace the reward again from its source")
