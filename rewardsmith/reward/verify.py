"""What a graph costs, and whether rows stay apart: checked by running it on fake tensors of several batch sizes.

Fake tensors have shapes but no storage, so nothing is computed. By induction over the nodes every dimension of every
value is either constant or exactly a multiple of the batch size n, with at most one of the latter: then no value can
be quadratic in n, and `rows.py` can say of every operation that it leaves each row its own place.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from rewardsmith.errors import RewardRefused
from rewardsmith.reward import ops
from rewardsmith.reward.graph import FunctionGraph, about_node, node_references
from rewardsmith.reward.interpreter import bind, constant_tensor
from rewardsmith.reward.rows import PER_ROW, Extent, check_rows

BATCH_SIZES = (1, 2, 3, 2**20)
_FEW = 2
_SMALL = 3  # how many of them are looked at first
MAX_ROW_ELEMENTS = 4096  # of one value, per row
MAX_FIXED_ELEMENTS = 65_536  # of one value that does not grow with the batch
MAX_ROW_COST = 200_000  # elements per row, summed over all values; a product counts its multiplications
MAX_ROW_BYTES = 65_536  # per row, of all values that are needed at the same time
MAX_FIXED_COST = 2_000_000  # elements that do not grow with the batch, summed over all values
_PRODUCTS = frozenset(
    {"aten.mm.default", "aten.bmm.default", "aten.mv.default", "aten.dot.default"}
    | {"aten.addmm.default", "aten.baddbmm.default"}
)


def check_shapes(function: FunctionGraph, outputs: Mapping[str, tuple[tuple[int, ...], str]]) -> list[Any]:
    """Check cost and row structure; `outputs` maps each output to its shape per row and dtype.

    Returns:
        One entry per value: its Extent, a list of them for several outputs, or None for a size.

    Raises:
        RewardRefused: `graph.arguments`, `graph.cost`, `graph.batch_size`, `graph.batch_coupling`, `graph.outputs`.
    """
    runs = [_run_fake(function, n) for n in BATCH_SIZES[:_SMALL]]
    _checked_extents(function, runs)  # before larger sizes make a bad graph expensive to look at
    runs += [_run_fake(function, n) for n in BATCH_SIZES[_SMALL:]]
    extents = _checked_extents(function, runs)
    for name, (shape, dtype) in outputs.items():
        value = function.outputs[name]
        if extents[value] != Extent((None, *shape), 1):
            _refuse("graph.outputs", f"{name} has shape {_described(extents[value])} instead of {('N', *shape)}")
        if runs[0][value].dtype != getattr(torch, dtype):
            _refuse("graph.outputs", f"{name} is {runs[0][value].dtype} instead of {dtype}")
    return extents


def check_on_numbers(function: FunctionGraph, extents: list[Any]) -> None:
    """Run a function that passed `check_shapes`, which gave `extents`, on a few real rows and compare the shapes.

    In places torch's accounts of an operation with and without storage differ, and then all that was concluded from
    shapes is void.

    Raises: RewardRefused: `graph.arguments`.
    """
    failure = ""
    for numbers in (torch.ones, _ascending):  # a division, for example, may fail on one of them
        inputs = [
            numbers(() if entry.source == "parameter" else (_FEW, *entry.shape)).to(getattr(torch, entry.dtype))
            for entry in function.inputs
        ]
        constants = [constant_tensor(entry, torch.device("cpu")) for entry in function.constants]
        slots: list[Any] = [*inputs, *constants, *[None] * len(function.nodes), torch.device("cpu")]
        try:
            with torch.no_grad():
                for slot, node in enumerate(function.nodes, function.first_node):
                    slots[slot] = bind(node, len(slots) - 1)(slots)
        except Exception as error:  # whatever torch says about these values
            failure = str(error).splitlines()[0][:200] if str(error) else repr(error)
            continue
        for slot, extent in enumerate(extents):
            if (shapes := [tuple(t.shape) for t in _tensors(slots[slot])]) != [e.shape(_FEW) for e in _flat(extent)]:
                with about_node(slot - function.first_node):
                    _refuse("graph.arguments", f"an operation has another shape when it runs: {shapes}")
        return
    _refuse("graph.arguments", f"the graph does not run on plain numbers: {failure}")


def _ascending(shape: tuple[int, ...]) -> Tensor:
    """1, 2, 3 and so on, (*shape)."""
    return torch.arange(1.0, 1.0 + math.prod(shape)).reshape(shape)


def _checked_extents(function: FunctionGraph, runs: list[list[Any]]) -> list[Any]:
    """Extents of all values as far as these runs show them, with every rule applied."""
    extents: list[Any] = []
    for value in range(len(runs[0])):
        with about_node(value - function.first_node):
            extents.append(_extent([run[value] for run in runs]))
    check_rows(function.nodes, function.first_node, extents)
    _check_cost(function, extents, _row_bytes(extents, runs[0]))
    return extents


def _check_cost(function: FunctionGraph, extents: list[Any], row_bytes: list[int]) -> None:
    """Bound single values, the work of all together, and what has to be held at the same time."""
    work, fixed = 0, 0
    for number, entry in enumerate(extents):
        for extent in _flat(entry):
            if extent.elements > (MAX_ROW_ELEMENTS if extent.rows else MAX_FIXED_ELEMENTS):
                with about_node(number - function.first_node):
                    _refuse(
                        "graph.cost", f"a value has {extent.elements:,} elements{' per row' if extent.rows else ''}"
                    )
            cost = extent.elements * _terms(function, number, extents)
            work, fixed = (work + cost, fixed) if extent.rows else (work, fixed + cost)
    if work > MAX_ROW_COST:
        _refuse("graph.cost", f"all values together cost {work:,} elements per row, {MAX_ROW_COST:,} are allowed")
    if fixed > MAX_FIXED_COST:
        _refuse("graph.cost", f"all fixed values together cost {fixed:,} elements, {MAX_FIXED_COST:,} are allowed")
    if (alive := _most_alive(function, row_bytes)) > MAX_ROW_BYTES:
        _refuse("graph.cost", f"{alive:,} bytes per row are needed at once, {MAX_ROW_BYTES:,} are allowed")


def _terms(function: FunctionGraph, number: int, extents: list[Any]) -> int:
    """How many multiplications one element of a value takes, at most."""
    node = function.nodes[number - function.first_node] if number >= function.first_node else None
    if node is None or node.op not in _PRODUCTS:
        return 1
    factors = [extent for ref in node_references(node) for extent in _flat(extents[ref])]
    return max((size or 1 for factor in factors for size in factor.dims[-2:]), default=1)


def _row_bytes(extents: list[Any], run: list[Any]) -> list[int]:
    """Bytes per row of each value; a value that does not grow with the batch counts nothing."""
    return [
        sum(
            extent.elements * value.element_size()
            for extent, value in zip(_flat(entry), _tensors(values), strict=True)
            if extent.rows
        )
        for entry, values in zip(extents, run, strict=True)
    ]


def _most_alive(function: FunctionGraph, sizes: list[int]) -> int:
    """The sum of the sizes of all values that wait for a reader, at the worst moment."""
    first, kept = function.first_node, set(function.outputs.values())
    dead: dict[int, int] = {}  # after this node: so much less
    last_reader = {ref: number for number, node in enumerate(function.nodes, first) for ref in node_references(node)}
    for value in set(range(len(sizes))) - kept:
        reader = last_reader.get(value, value)
        dead[reader] = dead.get(reader, 0) + sizes[value]
    alive = most = sum(sizes[:first])
    for number in range(first, len(sizes)):
        alive += sizes[number]
        most = max(most, alive)
        alive -= dead.get(number, 0)
    return most


def _flat(entry: Any) -> list[Extent]:
    return [extent for extent in (entry if isinstance(entry, list) else [entry]) if isinstance(extent, Extent)]


def _tensors(value: Any) -> list[Tensor]:
    return [tensor for tensor in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(tensor, Tensor)]


def _run_fake(function: FunctionGraph, n: int) -> list[Any]:
    """All values of the graph at batch size n, without storage.

    Constants lose their values, and operations without a fake form fail: torch would really carry those out.
    """
    device_slot = function.first_node + len(function.nodes)
    with _quiet(), FakeTensorMode(allow_fallback_kernels=False), torch.no_grad():
        slots: list[Any] = [
            torch.empty(() if entry.source == "parameter" else (n, *entry.shape), dtype=getattr(torch, entry.dtype))
            for entry in function.inputs
        ]
        slots += [torch.empty(entry.shape, dtype=ops.DTYPES[entry.dtype]) for entry in function.constants]
        slots += [None] * len(function.nodes) + [torch.device("cpu")]
        for number, node in enumerate(function.nodes):
            with about_node(number):
                try:
                    slots[function.first_node + number] = bind(node, device_slot)(slots)
                except Exception as error:  # whatever torch says about arguments that do not fit together
                    said = str(error).splitlines()[0][:200] if str(error) else repr(error)
                    raise RewardRefused(
                        f"the graph does not run with {n} rows: {said}",
                        id="graph.arguments",
                        hint="make every operation work for any number of rows, one included",
                    ) from error
    return slots[:device_slot]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch logs a traceback for every operation that does not fit; here that is an answer, not an accident."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _extent(values: list[Any]) -> Any:
    if isinstance(values[0], (list, tuple)):
        if len({len(value) for value in values}) > 1:
            _refuse("graph.batch_size", "the rows of a batch are taken apart one by one")
        return [_extent([value[i] for value in values]) for i in range(len(values[0]))]
    if not isinstance(values[0], Tensor):
        return None
    shapes = [tuple(value.shape) for value in values]
    if len({len(shape) for shape in shapes}) > 1:
        _refuse("graph.batch_size", "a value has another number of dimensions for other numbers of rows")
    dims, rows = [], 0
    for sizes in zip(*shapes, strict=True):
        if len(set(sizes)) == 1:
            dims.append(sizes[0])
            continue
        factor = sizes[0]  # at n = 1
        if any(size != factor * n for size, n in zip(sizes, BATCH_SIZES, strict=False)):
            _refuse(
                "graph.batch_size",
                f"a size is not a multiple of the number of rows: {sizes} for {BATCH_SIZES[: len(sizes)]}",
            )
        if rows:
            _refuse("graph.cost", "a value grows with the square of the number of rows")
        dims.append(None)
        rows = factor
    return Extent(tuple(dims), rows)


def _described(extent: Any) -> str:
    if not isinstance(extent, Extent):
        return "of no tensor"
    names = [
        "N" if d is None and extent.rows == 1 else f"{extent.rows}*N" if d is None else str(d) for d in extent.dims
    ]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _refuse(id: str, message: str) -> NoReturn:
    raise RewardRefused(message, id=id, hint=PER_ROW)
