"""Signals: the scalar quantities that can be read off an environment's named features."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from rewardsmith.types import FeatureSpec, RewardInterface

MOST_ENTRIES = 16  # of one feature that become signals of their own
Form = Literal["entry", "size", "square", "norm", "distance"]


@dataclass(frozen=True)
class Signal:
    """One scalar per row. `index` picks an entry of a vector; `other` is the second feature of a distance."""

    form: Form
    feature: str
    index: int | None = None
    other: str = ""

    @property
    def key(self) -> str:
        """How the signal is written: `angle`, `velocity[1]`, `square(angle)`, `norm(tip)`, `distance(tip to goal)`."""
        entry = self.feature if self.index is None else f"{self.feature}[{self.index}]"
        match self.form:
            case "entry":
                return entry
            case "distance":
                return f"distance({self.feature} to {self.other})"
            case _:
                return f"{self.form}({entry})"

    @property
    def slug(self) -> str:
        """The signal as part of an identifier: `velocity_1`, `abs_angle`, `tip_norm`, `tip_goal_distance`."""
        entry = self.feature if self.index is None else f"{self.feature}_{self.index}"
        words = {
            "entry": entry,
            "size": f"abs_{entry}",
            "square": f"{entry}_squared",
            "norm": f"{entry}_norm",
            "distance": f"{entry}_{self.other}_distance",
        }[self.form]
        return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")

    @property
    def never_negative(self) -> bool:
        return self.form != "entry"

    def expression(self, source: str, specs: Mapping[str, FeatureSpec]) -> str:
        """Python that computes it from the dict named `source`, shape (N,); binds like a call, but for a square."""
        spec = specs[self.feature]
        x = f'{source}["{self.feature}"]'
        if self.form == "norm":
            return f"{x}.flatten(1).norm(dim=-1)" if len(spec.shape) > 1 else f"{x}.norm(dim=-1)"
        if self.form == "distance":
            return f'({x} - {source}["{self.other}"]).norm(dim=-1)'
        if self.index is not None:
            x += f"[:, {self.index}]"
        if spec.dtype != "float32":
            x += ".float()"
        return {"entry": x, "size": f"{x}.abs()", "square": f"{x} ** 2"}[self.form]

    def value(self, features: Mapping[str, Tensor]) -> Tensor:
        """The same computed directly, shape (N,), float32."""
        x = features[self.feature]
        if self.form == "norm":
            return x.flatten(1).norm(dim=-1)
        if self.form == "distance":
            return (x - features[self.other]).norm(dim=-1)
        x = (x if self.index is None else x[:, self.index]).to(torch.float32)
        return {"entry": lambda: x, "size": x.abs, "square": lambda: x**2}[self.form]()


def signals(interface: RewardInterface) -> list[Signal]:
    """All signals of `interface`, in the order of its features. Text and matrices' entries are left out."""
    found: list[Signal] = []
    vectors: list[FeatureSpec] = []
    for spec in interface.features:
        if spec.dtype == "uint8":
            continue
        if len(spec.shape) > 1:
            if spec.dtype == "float32":
                found.append(Signal("norm", spec.name))
            continue
        entries = [None] if not spec.shape else list(range(min(spec.shape[0], MOST_ENTRIES)))
        signed = spec.dtype == "float32" and not (spec.low is not None and spec.low >= 0)
        for index in entries:
            found.append(Signal("entry", spec.name, index))
            if signed:
                found += [Signal("size", spec.name, index), Signal("square", spec.name, index)]
        if spec.dtype == "float32" and spec.shape and spec.shape[0] > 1:
            vectors.append(spec)
            found.append(Signal("norm", spec.name))
    for i, a in enumerate(vectors):
        found += [
            Signal("distance", a.name, None, b.name) for b in vectors[i + 1 :] if (a.shape, a.unit) == (b.shape, b.unit)
        ]
    return found


def signal_from_key(key: str) -> Signal | None:
    """The inverse of `Signal.key`; None if `key` is none."""
    if found := re.fullmatch(r"distance\(([^()\s]+) to ([^()\s]+)\)", key):
        return Signal("distance", found[1], None, found[2])
    found = re.fullmatch(r"(?:(size|square|norm)\()?([^()\[\]\s]+?)(?:\[(\d+)\])?(\)?)", key)
    if found is None or bool(found[1]) != bool(found[4]):
        return None
    return Signal(cast(Form, found[1] or "entry"), found[2], int(found[3]) if found[3] else None)
