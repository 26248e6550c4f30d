"""Rows stay apart: no operation of a graph may let one row of a batch see, or depend on the place of, another.

A value that grows with the batch has one dimension of k*n elements, in which row i owns places i*k to i*k+k-1; all its
other dimensions are fixed. `check_rows` keeps that true from node to node. Operations that no rule names here cannot
break it: pointwise ones keep places, reductions and products over the batch lose it (which the first rule refuses), and
what would pair rows with rows is quadratic (which `verify.py` refuses).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from rewardsmith.errors import RewardRefused
from rewardsmith.reward import ops
from rewardsmith.reward.graph import Node, about_node, node_references, references

PER_ROW = "keep every value of shape (N,) or (N, k) with a small k; reduce over feature dimensions with dim=-1"

_RESHAPES = frozenset({"aten.view.default", "aten._unsafe_view.default", "aten.reshape.default"})
_WRITES = frozenset({"aten.select_scatter.default", "aten.slice_scatter.default"})
_ALIGNED = frozenset({"aten.gather.default", "aten.scatter.value", "aten.scatter.src"})
_PICKS = _ALIGNED | {"aten.index_select.default"}
_TABLES = {"aten.embedding.default": "weight", "aten.bucketize.Tensor": "boundaries"}  # every row reads all of it
_COUNTS = frozenset({"aten.arange.default", "aten.arange.start", "aten.arange.start_step"})
_KEEP_COUNTS = _RESHAPES | {"aten.unsqueeze.default", "aten.expand.default"}


class Extent(NamedTuple):
    """Shape of a value for every n: `dims` with None where the batch is, and `rows` = its multiple of n (0: none)."""

    dims: tuple[int | None, ...]
    rows: int

    @property
    def batch_dim(self) -> int | None:
        return self.dims.index(None) if self.rows else None

    def shape(self, n: int) -> tuple[int, ...]:
        """With n rows."""
        return tuple(self.rows * n if d is None else d for d in self.dims)

    @property
    def elements(self) -> int:
        """Per row when it grows with the batch, else in all."""
        return math.prod(d for d in self.dims if d is not None) * max(self.rows, 1)


def check_rows(nodes: Sequence[Node], first: int, extents: Sequence[Any]) -> None:
    """Check all nodes; `extents` has one entry per value (see `verify.check_shapes`), of which nodes start at `first`.

    Raises:
        RewardRefused: `graph.batch_coupling`.
    """
    counts: set[int] = set()  # values that number the rows: 0, 1, 2, ...
    for number, node in enumerate(nodes, start=first):
        with about_node(number - first):
            _Rules(node, extents[number], extents, counts).check()
        if _is_count(node, extents[number], counts):
            counts.add(number)


def _is_count(node: Node, extent: Any, counts: set[int]) -> bool:
    if node.op in _COUNTS:
        return bool(extent.rows)
    return node.op in _KEEP_COUNTS and any(ref in counts for ref in node_references(node))


class _Rules:
    """The rules for one node, which may give any argument by position or by name."""

    def __init__(self, node: Node, extent: Any, extents: Sequence[Any], counts: set[int]) -> None:
        self._op, self._extent, self._extents, self._counts = node.op, extent, extents, counts
        self._references = list(node_references(node))
        self._arguments: dict[str, Any] = {}
        self._first: Any = None  # the first argument: a tensor, or a list of them
        if node.op in ops.ALLOWED:
            names = [name for name, _ in ops.argument_types(node.op)[0]]
            self._arguments = dict(zip(names, node.args, strict=False)) | node.kwargs
            self._first = self._arguments.get(names[0]) if names else None

    def check(self) -> None:
        if self._extent is None or self._op in ops.SHAPE_ONLY:
            return
        if any(_batched(self._extents[ref]) for ref in self._references) and not _batched(self._extent):
            self._refuse("puts the rows of a batch together")
        if self._op in _COUNTS and self._extent.rows:
            starts, step = self._arguments.get("start", 0), self._arguments.get("step", 1)
            if (self._extent.rows, starts, step) != (1, 0, 1):
                self._refuse("counts in a way that depends on the number of rows")
        elif self._op == "aten.index.Tensor":
            self._lookup()
        else:
            if self._op not in _KEEP_COUNTS and not self._counts.isdisjoint(self._references):
                self._refuse("uses the number of a row as a value")
            for of in self._extents_in(self._first):
                if of.batch_dim is not None:
                    self._along(of, of.batch_dim)
            if self._op in _TABLES and self._extent_of(_TABLES[self._op]).rows:
                self._refuse("lets every row read all rows")

    def _along(self, of: Extent, batch: int) -> None:
        """A tensor in the first argument has rows in dimension `batch`."""
        op, dimensions = self._op, len(of.dims)
        dim = self._arguments.get("dim", 0)
        if op in ops.ALONG:
            given = self._arguments.get(ops.ALONG[op], 0 if op == "aten.cat.default" else -1)
            dims = given if isinstance(given, (list, tuple)) else [given]
            flattens = op == "aten.roll.default" and not self._arguments.get("dims")
            if flattens or any(dim % dimensions == batch for dim in dims):
                self._refuse("runs along the rows of a batch")
        elif op in _RESHAPES:
            if _before(of) != _before(self._extent):
                self._refuse("moves values from row to row")
        elif op == "aten.repeat.default":
            if self._arguments["repeats"][batch - dimensions] != 1:
                self._refuse("repeats the rows of a batch")
        elif op == "aten.slice.Tensor":
            if (self._extent.rows, self._extent.batch_dim) != (of.rows, batch):
                self._refuse("takes some rows of a batch")
        elif op in _WRITES:
            if dim % dimensions == batch and self._extent_of("src") != of:
                self._refuse("writes into some rows of a batch")
        elif op == "aten.constant_pad_nd.default":
            place = 2 * (dimensions - 1 - batch)
            if any(self._arguments["pad"][place : place + 2]):
                self._refuse("pads the rows of a batch")
        elif op in ("aten.tril.default", "aten.triu.default"):
            if batch >= dimensions - 2:
                self._refuse("treats rows by their place in the batch")
        elif op in _PICKS:
            partners = [self._extent_of(name) for name in ("index", "src") if op in _ALIGNED and self._is_tensor(name)]
            if dim % dimensions == batch or any((p.rows, p.batch_dim) != (of.rows, batch) for p in partners):
                self._refuse("picks rows of a batch")

    def _lookup(self) -> None:
        """x[i, j]: rows may be picked only by their own numbers, as in x[torch.arange(n), j]."""
        of = self._extent_of("self")
        for dim, index in enumerate(self._arguments["indices"]):
            picks = bool(of.rows) and dim == of.batch_dim and index is not None
            counts = not self._counts.isdisjoint(references(index))
            if picks and not (counts and of.rows == 1):
                self._refuse("picks rows of a batch")
            if counts and not picks:
                self._refuse("uses the number of a row as a value")

    def _is_tensor(self, name: str) -> bool:
        return any(True for _ in references(self._arguments.get(name)))

    def _extent_of(self, name: str) -> Extent:
        """Extent of a tensor argument; a plain number has none."""
        return next(iter(self._extents_in(self._arguments.get(name))), Extent((), 0))

    def _extents_in(self, argument: Any) -> list[Extent]:
        return [e for ref in references(argument) if isinstance(e := self._extents[ref], Extent)]

    def _refuse(self, what: str) -> NoReturn:
        raise RewardRefused(f"{self._op} {what}", id="graph.batch_coupling", hint=PER_ROW)


def _before(extent: Extent) -> int:
    """How many times all rows follow one another in memory order: the product of the sizes before the batch."""
    return math.prod(d for d in extent.dims[: extent.batch_dim] if d is not None)


def _batched(extent: Any) -> bool:
    return any(map(_batched, extent)) if isinstance(extent, list) else bool(extent and extent.rows)
