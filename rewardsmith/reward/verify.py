"""What a graph costs, and whether rows stay apart: checked by running it on fake tensors of several batch sizes.

Fake tensors have shapes but no storage, so nothing is computed. By induction over the nodes every dimension of every
value is either constant or exactly a multiple of the batch size n, with at most one of the latter: then no value can
be quadratic in n, drop rows, or gather them into one number. (Mixing rows while keeping their number is possible with
values that only data reveals; the critic tests that on recorded transitions.)
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from rewardsmith.errors import RewardRefused
from rewardsmith.reward import ops
from rewardsmith.reward.graph import FunctionGraph, Node, node_references
from rewardsmith.reward.interpreter import Compiled

BATCH_SIZES = (1, 2, 3, 2**20)
_SMALL = 3  # how many of them are looked at first
MAX_ROW_ELEMENTS = 4096  # of one value, per row
MAX_FIXED_ELEMENTS = 65_536  # of one value that does not grow with the batch
MAX_ROW_COST = 200_000  # elements per row, summed over all values

_PER_ROW = "keep every value of shape (N,) or (N, k) with a small k; reduce over feature dimensions with dim=-1"


class Extent(NamedTuple):
    """Shape of a value for every n: `dims` with None where the batch is, and `rows` = its multiple of n (0: none)."""

    dims: tuple[int | None, ...]
    rows: int

    @property
    def batch_dim(self) -> int | None:
        return self.dims.index(None) if self.rows else None

    @property
    def elements(self) -> int:
        """Per row when it grows with the batch, else in all."""
        return math.prod(d for d in self.dims if d is not None) * max(self.rows, 1)


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


def _checked_extents(function: FunctionGraph, runs: list[list[Any]]) -> list[Any]:
    """Extents of all values as far as these runs show them, with every rule applied."""
    extents: list[Any] = [_extent([run[value] for run in runs]) for value in range(len(runs[0]))]
    for number, node in enumerate(function.nodes, start=function.first_node):
        _check_rows_stay_apart(node, extents[number], extents)
    total = 0
    for extent in (e for entry in extents for e in (entry if isinstance(entry, list) else [entry]) if e):
        if extent.elements > (MAX_ROW_ELEMENTS if extent.rows else MAX_FIXED_ELEMENTS):
            _refuse("graph.cost", f"a value has {extent.elements:,} elements{' per row' if extent.rows else ''}")
        total += extent.elements if extent.rows else 0
    if total > MAX_ROW_COST:
        _refuse("graph.cost", f"all values together have {total:,} elements per row, {MAX_ROW_COST:,} are allowed")
    return extents


def _run_fake(function: FunctionGraph, n: int) -> list[Any]:
    """All values of the graph at batch size n, without storage."""
    values = function.first_node + len(function.nodes)
    with _quiet(), FakeTensorMode(), torch.no_grad():
        fakes = [
            torch.empty(() if entry.source == "parameter" else (n, *entry.shape), dtype=getattr(torch, entry.dtype))
            for entry in function.inputs
        ]
        try:
            return Compiled(function, wanted=range(values))(fakes, torch.device("cpu"))
        except Exception as error:  # whatever torch says about arguments that do not fit together
            raise RewardRefused(
                f"the graph does not run with {n} rows: {str(error).splitlines()[0][:200] if str(error) else error!r}",
                id="graph.arguments",
                hint="make every operation work for any number of rows, one included",
            ) from error


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


def _check_rows_stay_apart(node: Node, extent: Any, extents: list[Any]) -> None:
    """Refuse an operation that puts values of different rows together."""
    if extent is None or node.op in ops.SHAPE_ONLY:
        return
    sources = [_batched(extents[ref]) for ref in node_references(node)]
    if any(sources) and not _batched(extent):
        _refuse("graph.batch_coupling", f"{node.op} puts the rows of a batch together")
    if (argument := ops.ALONG.get(node.op)) is None:
        return
    first = extents[next(node_references(node))]
    positional = [name for name, _ in ops.argument_types(node.op)[0]]
    place = positional.index(argument) if argument in positional else -1
    given = (
        node.args[place] if 0 <= place < len(node.args) else node.kwargs.get(argument, _DEFAULT_DIM.get(node.op, -1))
    )
    dims = given if isinstance(given, (list, tuple)) else [given]
    if isinstance(first, Extent) and first.rows and any(d % len(first.dims) == first.batch_dim for d in dims):
        _refuse("graph.batch_coupling", f"{node.op} runs along the rows of a batch")


_DEFAULT_DIM = {"aten.cat.default": 0}


def _batched(extent: Any) -> bool:
    return any(map(_batched, extent)) if isinstance(extent, list) else bool(extent and extent.rows)


def _described(extent: Any) -> str:
    if not isinstance(extent, Extent):
        return "of no tensor"
    names = [
        "N" if d is None and extent.rows == 1 else f"{extent.rows}*N" if d is None else str(d) for d in extent.dims
    ]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _refuse(id: str, message: str) -> NoReturn:
    raise RewardRefused(message, id=id, hint=_PER_ROW)
