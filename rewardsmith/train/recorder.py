"""Records what a world showed, step by step, and computes features afterwards in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

ROW_MULTIPLE = 128  # row counts are padded to it: elementwise kernels treat a remainder differently in the last bit

Features = dict[str, Tensor]


class Featurizer(Protocol):
    """The part of a world that the recorder needs."""

    def featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]: ...


class Transitions(NamedTuple):
    """Features (T, B, ...) before and after each step. After a done step: of the last real state, not the reset one."""

    before: Features
    after: Features


class _Final(NamedTuple):
    t: int
    ids: Tensor
    fields: Features


class FieldRecorder:
    """Buffers for the raw fields of `steps` steps of `rows` environments."""

    def __init__(self, steps: int, rows: int) -> None:
        self._steps, self._rows = steps, rows
        self._used = (steps + 1) * rows
        self._flat: Features = {}
        self._slots: list[list[Tensor]] = []  # views of each step's rows, in the order of the fields
        self._finals: list[_Final] = []

    def start(self) -> None:
        """Begin a new recording (the buffers are reused)."""
        self._finals.clear()

    def record(self, t: int, fields: Mapping[str, Tensor]) -> None:
        """Store the state before step `t`, with t = steps for the state after the last one."""
        if not self._flat:
            size = padded_rows(self._used)
            self._flat = {k: v.new_zeros((size, *v.shape[1:])) for k, v in fields.items()}
            parts = [v[: self._used].split(self._rows) for v in self._flat.values()]
            self._slots = [list(slot) for slot in zip(*parts, strict=True)]
        torch._foreach_copy_(self._slots[t], [fields[name] for name in self._flat])

    def record_final(self, t: int, ids: Tensor, fields: Mapping[str, Tensor]) -> None:
        """Store the state in which rows `ids` ended after step `t`, before they are reset."""
        self._finals.append(_Final(t, ids, {k: v[ids] for k, v in fields.items()}))

    def raw(self) -> Transitions:
        """The recorded raw fields themselves (views where nothing ended; the buffers are reused)."""
        finals = {k: torch.cat([f.fields[k] for f in self._finals]) for k in self._flat} if self._finals else {}
        return self._arrange(self._flat, finals)

    def transitions(self, world: Featurizer) -> Transitions:
        """Features of everything recorded, from one `featurize` call (and a small one for the final states)."""
        for flat in self._flat.values():
            flat[self._used :] = flat[:1]  # padding rows must be real states
        finals: Features = {}
        if self._finals:
            finals = featurize_rows(world, {k: torch.cat([f.fields[k] for f in self._finals]) for k in self._flat})
        return self._arrange(world.featurize(self._flat), finals)

    def _arrange(self, flat: Features, finals: Features) -> Transitions:
        """Cut the flat rows into states before and after each step, the final states in their places."""
        shaped = {k: v[: self._used].view(self._steps + 1, self._rows, *v.shape[1:]) for k, v in flat.items()}
        before = {k: v[:-1] for k, v in shaped.items()}
        after = {k: v[1:] for k, v in shaped.items()}
        if self._finals:
            t = torch.cat([torch.full_like(f.ids, f.t) for f in self._finals])
            ids = torch.cat([f.ids for f in self._finals])
            after = {k: v.clone() for k, v in after.items()}
            for name, value in finals.items():
                after[name][t, ids] = value
        return Transitions(before, after)


def padded_rows(rows: int) -> int:
    return -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE


def pad_rows(value: Tensor) -> Tensor:
    """`value` (n, ...) with its first row repeated at the end up to a whole number of blocks."""
    missing = padded_rows(len(value)) - len(value)
    return torch.cat([value, value[:1].expand(missing, *value.shape[1:])]) if missing else value


def featurize_rows(world: Featurizer, fields: Mapping[str, Tensor]) -> Features:
    """Features of any number of rows, each row's the same whatever the others are."""
    rows = len(next(iter(fields.values())))
    return {k: v[:rows] for k, v in world.featurize({k: pad_rows(v) for k, v in fields.items()}).items()}
