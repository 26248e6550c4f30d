"""From torch's own trace (an fx graph) to ours: only what the outputs need, no duplicates, nothing but data.

Runs inside the jail, so nothing here is a safeguard: the parent checks the result again from scratch.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from rewardsmith.reward import ops
from rewardsmith.reward.graph import Constant, FunctionGraph, Input, Node, references
from rewardsmith.reward.lines import LINE

aten = torch.ops.aten

_SAME_VALUE = {
    aten.alias.default, aten.clone.default, aten.detach.default, aten.lift_fresh_copy.default, aten.lift_fresh.default,
}  # fmt: skip
_WHOLE = 2**63 - 1


class Unsupported(Exception):
    """A trace that cannot become a graph. `id` is a finding's; `line` of the source, where it is known."""

    def __init__(self, id: str, message: str) -> None:
        super().__init__(message)
        self.id = id
        self.line: int | None = None


class Extracted(NamedTuple):
    """A graph, and for each of its nodes the line of the source that made it, where that is known."""

    graph: FunctionGraph
    lines: tuple[int | None, ...]


class ParameterNeeded(Exception):
    """These parameters are used as plain numbers: trace again with them fixed."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        super().__init__(", ".join(sorted(self.names)))


def extract(module: fx.GraphModule, inputs: Sequence[Input], output_names: Sequence[str]) -> Extracted:
    """Convert a traced module whose placeholders are `inputs` and whose outputs are called `output_names`.

    Raises:
        Unsupported: an operation is not allowed, inputs are changed, or the batch size is used as a number.
        ParameterNeeded: gradients to some parameters are cut.
    """
    return _Extraction(module, inputs).run(output_names)


class _Extraction:
    """Values get provisional numbers, in order of appearance; `_renumbered` sorts them into the final form."""

    def __init__(self, module: fx.GraphModule, inputs: Sequence[Input]) -> None:
        self._module = module
        self._inputs = inputs
        self._entries: list[Input | Constant | Node] = []
        self._number: dict[fx.Node, int] = {}
        self._lines: dict[int, int | None] = {}
        self._known: dict[str, int] = {}

    def run(self, output_names: Sequence[str]) -> Extracted:
        nodes = list(self._module.graph.nodes)
        _refuse_changed_inputs(nodes)
        outputs = _arguments(next(node for node in nodes if node.op == "output"))[0]
        needed = _needed(outputs)
        placeholders = iter(self._inputs)
        for node in nodes:
            if node.op == "placeholder":
                self._add(node, next(placeholders))
            elif node in needed and node.op == "get_attr":
                self._add(node, _constant(getattr(self._module, node.target)))
            elif node in needed and node.op == "call_function":
                try:
                    self._convert(node)
                except Unsupported as error:
                    error.line = node.meta.get(LINE)
                    raise
        return self._renumbered(dict(zip(output_names, (self._number[node] for node in outputs), strict=True)))

    def _add(self, node: fx.Node, entry: Input | Constant | Node) -> None:
        """Number an entry; an operation that was already done on the same values is not repeated."""
        key = json.dumps([entry.op, entry.args, entry.kwargs]) if isinstance(entry, Node) else f"#{len(self._entries)}"
        number = self._known.setdefault(key, len(self._entries))
        if number == len(self._entries):
            self._entries.append(entry)
            self._lines[number] = node.meta.get(LINE)
        self._number[node] = number

    def _convert(self, node: fx.Node) -> None:
        target: Any = node.target
        args = _arguments(node)
        if target in _SAME_VALUE or _changes_nothing(node):
            source = args[0]
            if target is aten.detach.default and (names := self._parameters_behind(source)):
                raise ParameterNeeded(names)
            self._number[node] = self._number[source]
        elif target is operator.getitem:
            self._add(node, self._node(ops.GETITEM, args))
        elif target is aten.sym_size.int:
            self._add(node, self._node(ops.SYM_SIZE, args))
        elif target is operator.mul and sum(isinstance(a, fx.Node) for a in args) == 1:
            factor = next(a for a in args if not isinstance(a, fx.Node))
            if type(factor) is not int or factor < 1:
                raise Unsupported("trace.batch_size", "the number of rows is used in arithmetic")
            self._add(node, self._node(ops.SYM_MUL, (next(a for a in args if isinstance(a, fx.Node)), factor)))
        elif not isinstance(target, torch._ops.OpOverload):
            raise Unsupported("trace.batch_size", "the number of rows is used in arithmetic")
        else:
            self._convert_operation(node, target)

    def _convert_operation(self, node: fx.Node, target: torch._ops.OpOverload) -> None:
        args: Any = _arguments(node)
        kwargs: dict[str, Any] = dict(node.kwargs)
        if target is aten._local_scalar_dense.default:
            if names := self._parameters_behind(args[0]):
                raise ParameterNeeded(names)
            raise Unsupported("trace.data_dependent", "a tensor is turned into one number")
        if target is aten.squeeze.default:  # which dimensions have size 1 may not depend on the number of rows
            shape = args[0].meta["val"].shape
            target, args = aten.squeeze.dims, (args[0], [d for d, size in enumerate(shape) if _is_one(size)])
        if target is aten.index_put.default and (mask := _single_mask(node)) is not None:
            target, args, kwargs = aten.where.self, (mask, args[2], args[0]), {}
        name = str(target)
        if name not in ops.ALLOWED:
            raise Unsupported("trace.operation", f"the operation {name} is not supported")
        kwargs = {k: v for k, v in kwargs.items() if k not in ops.IGNORED_ARGUMENTS and v is not None}
        if any(_is_size(a) for a in _flat((args, list(kwargs.values())))) and name not in ops.SIZE_TAKING:
            raise Unsupported("trace.batch_size", f"the number of rows is used as a number (in {name})")
        self._add(node, self._node(name, args, kwargs))

    def _node(self, op: str, args: Sequence[Any], kwargs: dict[str, Any] | None = None) -> Node:
        return Node(
            op=op,
            args=tuple(self._plain(a) for a in args),
            kwargs={name: self._plain(value) for name, value in (kwargs or {}).items()},
        )

    def _plain(self, value: Any) -> Any:
        """An argument as JSON data."""
        if isinstance(value, fx.Node):
            return {"ref": self._number[value]}
        if isinstance(value, (list, tuple)):
            return [self._plain(item) for item in value]
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": "target"}
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        raise Unsupported("trace.operation", f"an argument of type {type(value).__name__} is not supported")

    def _parameters_behind(self, node: fx.Node) -> set[str]:
        behind, frontier = set(), [self._number[node]]
        seen = set(frontier)
        while frontier:
            entry = self._entries[frontier.pop()]
            if isinstance(entry, Input) and entry.source == "parameter":
                behind.add(entry.name)
            if isinstance(entry, Node):
                new = set(_references(entry)) - seen
                seen |= new
                frontier += new
        return behind

    def _renumbered(self, outputs: dict[str, int]) -> Extracted:
        """Drop what nothing needs; inputs first, then constants, then operations."""
        needed: set[int] = set()
        frontier = list(outputs.values())
        while frontier:
            number = frontier.pop()
            if number not in needed:
                needed.add(number)
                entry = self._entries[number]
                frontier += _references(entry) if isinstance(entry, Node) else []
        order = [
            number
            for kind in (Input, Constant, Node)
            for number, entry in enumerate(self._entries)
            if number in needed and isinstance(entry, kind)
        ]
        final = {number: place for place, number in enumerate(order)}
        kept = [self._entries[number] for number in order]
        graph = FunctionGraph(
            inputs=tuple(entry for entry in kept if isinstance(entry, Input)),
            constants=tuple(entry for entry in kept if isinstance(entry, Constant)),
            nodes=tuple(_moved(entry, final) for entry in kept if isinstance(entry, Node)),
            outputs={name: final[number] for name, number in outputs.items()},
        )
        return Extracted(graph, tuple(self._lines[number] for number in order[graph.first_node :]))


def _arguments(node: fx.Node) -> tuple[Any, ...]:
    """fx types arguments so widely that nothing can be done with them."""
    return node.args


def _needed(outputs: Iterable[fx.Node]) -> set[fx.Node]:
    needed: set[fx.Node] = set()
    frontier = list(outputs)
    while frontier:
        node = frontier.pop()
        if node not in needed:
            needed.add(node)
            frontier += node.all_input_nodes
    return needed


def _refuse_changed_inputs(nodes: Iterable[fx.Node]) -> None:
    """Functionalization writes changes of an input back at the end: that is how they show."""
    for node in nodes:
        target = node.target
        if node.op == "call_function" and isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable:
            changed = _arguments(node)[0]
            if isinstance(changed, fx.Node) and changed.op == "placeholder":
                raise Unsupported("trace.mutation", f"an input is changed in place ({target})")
            raise Unsupported("trace.operation", f"the operation {target} is not supported")


def _constant(tensor: Tensor) -> Constant:
    tensor = tensor.detach().cpu()
    data = [v if not isinstance(v, float) or math.isfinite(v) else {"float": str(v)} for v in tensor.flatten().tolist()]
    return Constant(shape=tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."), data=tuple(data))


def _changes_nothing(node: fx.Node) -> bool:
    if node.target is aten.slice.Tensor:
        start, end, step = [*_arguments(node)[2:], *(None, None, None)[len(node.args) - 2 :]]
        return start in (None, 0) and end in (None, _WHOLE) and step in (None, 1)
    if node.target is aten._to_copy.default:
        return _arguments(node)[0].meta["val"].dtype == node.meta["val"].dtype
    return False


def _single_mask(node: fx.Node) -> fx.Node | None:
    """The mask of `x[mask] = value` where it has the shape of x and the value is a single number."""
    x, indices, value, *accumulate = _arguments(node)
    if len(indices) != 1 or any(accumulate) or value.meta["val"].dim() != 0:
        return None
    mask = indices[0]
    fits = mask.meta["val"].dtype == torch.bool and mask.meta["val"].dim() == x.meta["val"].dim()
    return mask if fits else None


def _is_one(size: Any) -> bool:
    return type(size) is int and size == 1


def _is_size(value: Any) -> bool:
    return isinstance(value, fx.Node) and isinstance(
        value.meta.get("val"), (torch.SymInt, torch.SymFloat, torch.SymBool)
    )


def _flat(value: Any) -> Iterable[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _references(node: Node) -> list[int]:
    return list(references([*node.args, *node.kwargs.values()]))


def _moved(node: Node, final: dict[int, int]) -> Node:
    def moved(value: Any) -> Any:
        if isinstance(value, dict) and "ref" in value:
            return {"ref": final[value["ref"]]}
        return [moved(item) for item in value] if isinstance(value, (list, tuple)) else value

    return Node(
        op=node.op, args=tuple(moved(a) for a in node.args), kwargs={k: moved(v) for k, v in node.kwargs.items()}
    )
