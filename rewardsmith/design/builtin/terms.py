"""Terms: what a reward can want of a signal, with the numbers it needs, and how that is written as code."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor

from rewardsmith.design.builtin.signals import Signal, signal_from_key
from rewardsmith.reward.vocabulary import BUILTINS, TOOLKIT
from rewardsmith.types import FeatureSpec

Verb = Literal["more", "less", "high", "low", "near", "gain", "shed", "alive", "ending", "effort"]
OPPOSITE: dict[Verb, Verb] = {
    "more": "less",
    "less": "more",
    "high": "low",
    "low": "high",
    "gain": "shed",
    "shed": "gain",
}
ALONE: dict[Verb, str] = {"alive": "staying alive", "ending": "ending the episode", "effort": "little effort"}
NAMES: dict[Verb, str] = {
    "more": "{}",
    "high": "{}",
    "less": "less_{}",
    "low": "low_{}",
    "near": "near_{}",
    "gain": "{}_gain",
    "shed": "{}_drop",
}
LONGEST_NAME = 31  # with "_2" and "_weight" behind it, a parameter's name has at most 40 characters
TAKEN = {"obs", "next_obs", "action", "memory", "total", "torch", "math", *BUILTINS, *TOOLKIT}
LONGEST_LINE = 112


@dataclass(frozen=True)
class Term:
    """One component of a composed reward.

    `more`/`less` are linear in the signal, `high`/`low` bounded with tanh, `near` bounded with exp, `gain`/`shed`
    the change over the step; `alive`, `ending` and `effort` need no signal. A `gate` multiplies with how near another
    signal is to its target.
    """

    verb: Verb
    signal: Signal | None = None
    weight: float = 1.0
    scale: float = 1.0
    target: float = 0.0
    gate: Signal | None = None
    gate_scale: float = 1.0
    gate_target: float = 0.0

    @property
    def key(self) -> str:
        """What the term wants, without numbers: "high velocity[0] while near angle"."""
        wants = ALONE[self.verb] if self.signal is None else f"{self.verb} {self.signal.key}"
        return f"{wants} while near {self.gate.key}" if self.gate else wants

    @property
    def name(self) -> str:
        """The component's name, not yet unique: an identifier that shadows nothing."""
        name = self.verb if self.signal is None else NAMES[self.verb].format(self.signal.slug)
        name = name if name[:1].isalpha() else f"x_{name}"
        name = f"{name}_value" if name in TAKEN or keyword.iskeyword(name) else name
        end = "_gated" if self.gate else ""
        return f"{name[: LONGEST_NAME - len(end)].strip('_')}{end}"

    @property
    def sign(self) -> float:
        return -1.0 if self.verb in ("less", "low", "effort") else 1.0

    # --- numbers -----------------------------------------------------------------------------------------------------

    def parameters(self, name: str) -> dict[str, float]:
        """Keyword parameters of the component called `name`."""
        numbers = {f"{name}_weight": self.weight}
        if self.signal is not None:
            if self.verb in ("high", "low", "near") and self.target:
                numbers[f"{name}_target"] = self.target
            numbers[f"{name}_scale"] = self.scale
        if self.gate is not None:
            if self.gate_target:
                numbers[f"{name}_at"] = self.gate_target
            numbers[f"{name}_width"] = self.gate_scale
        return numbers

    def with_parameters(self, name: str, numbers: Mapping[str, float]) -> Term:
        """The inverse of `parameters`. Raises: KeyError: a number is missing."""
        term = replace(self, weight=numbers[f"{name}_weight"])
        if self.signal is not None:
            target = numbers.get(f"{name}_target", 0.0)
            term = replace(term, target=target, scale=numbers[f"{name}_scale"])
        if self.gate is not None:
            target = numbers.get(f"{name}_at", 0.0)
            term = replace(term, gate_target=target, gate_scale=numbers[f"{name}_width"])
        return term

    # --- code and value ----------------------------------------------------------------------------------------------

    def code(self, name: str, specs: Mapping[str, FeatureSpec], *, discrete: bool, many: bool) -> str:
        """The lines that compute the component, without indent. `many`: the action has several entries."""
        lines: list[str] = []
        if self.gate is not None:
            bell = _bell(self.gate, specs, f"{name}_at" if self.gate_target else "", f"{name}_width")
            line = f"{name}_gate = {bell}"
            lines.append(line if len(line) <= LONGEST_LINE else f"{name}_gate = (\n    {bell}\n)")
        sign = "-" if self.sign < 0 else ""
        shape = self._shape_code(name, specs, discrete=discrete, many=many)
        factors = [f"{sign}{name}_weight", shape, *([f"{name}_gate"] if self.gate else [])]
        line = f"{name} = {' * '.join(factors)}"
        if len(line) > LONGEST_LINE:
            line = f"{name} = (\n    {' * '.join(factors)}\n)"
        if max(map(len, line.split("\n"))) > LONGEST_LINE:
            line = "\n".join([f"{name} = (", f"    {factors[0]}", *(f"    * {f}" for f in factors[1:]), ")"])
        return "\n".join([*lines, line])

    def _shape_code(self, name: str, specs: Mapping[str, FeatureSpec], *, discrete: bool, many: bool) -> str:
        if self.signal is None:
            if self.verb == "alive":
                return '(~next_obs["terminated"]).float()'
            if self.verb == "ending":
                return 'next_obs["terminated"].float()'
            cost = "(action != 0).float()" if discrete else "(action**2)"
            return f"{cost}.mean(dim=-1)" if many or not discrete else cost
        after = self.signal.expression("next_obs", specs)
        target = f"{name}_target" if self.target else ""
        match self.verb:
            case "gain" | "shed":
                before = self.signal.expression("obs", specs)
                change = f"{after} - {before}" if self.verb == "gain" else f"{before} - {after}"
                return f"({change}) / {name}_scale"
            case "more" | "less":
                return f"{_bracketed(after, self.signal)} / {name}_scale"
            case "near":
                return _bell(self.signal, specs, target, f"{name}_scale")
        return f"torch.tanh({_centred(self.signal, specs, target)} / {name}_scale)"

    def value(self, obs: Mapping[str, Tensor], action: Tensor, next_obs: Mapping[str, Tensor]) -> Tensor:
        """The component computed directly, shape (N,), float32; equal to what `code` computes."""
        shape = self._shape_value(obs, action, next_obs)
        if self.gate is not None:
            shape = shape * torch.exp(-(((self.gate.value(next_obs) - self.gate_target) / self.gate_scale) ** 2))
        return self.sign * self.weight * shape

    def _shape_value(self, obs: Mapping[str, Tensor], action: Tensor, next_obs: Mapping[str, Tensor]) -> Tensor:
        if self.signal is None:
            if self.verb == "alive":
                return (~next_obs["terminated"]).to(torch.float32)
            if self.verb == "ending":
                return next_obs["terminated"].to(torch.float32)
            cost = action**2 if action.is_floating_point() else (action != 0).to(torch.float32)
            return cost.flatten(1).mean(dim=-1) if cost.ndim > 1 else cost
        after = self.signal.value(next_obs)
        match self.verb:
            case "gain":
                return (after - self.signal.value(obs)) / self.scale
            case "shed":
                return (self.signal.value(obs) - after) / self.scale
            case "more" | "less":
                return after / self.scale
            case "near":
                return torch.exp(-(((after - self.target) / self.scale) ** 2))
        return torch.tanh((after - self.target) / self.scale)


def term_from_key(key: str) -> Term | None:
    """The inverse of `Term.key`, with default numbers; None if `key` is none."""
    wants, _, gate_key = key.partition(" while near ")
    gate = signal_from_key(gate_key) if gate_key else None
    if gate_key and gate is None:
        return None
    for alone, words in ALONE.items():
        if wants == words:
            return Term(alone, gate=gate)
    verb, _, rest = wants.partition(" ")
    signal = signal_from_key(rest)
    return Term(cast(Verb, verb), signal, gate=gate) if verb in NAMES and signal else None


def rounded(value: float, digits: int = 2) -> float:
    """`value` with `digits` significant digits: numbers a person can read."""
    if value == 0 or not math.isfinite(value):
        return 0.0
    return float(f"{value:.{digits}g}")


def _bracketed(expression: str, signal: Signal) -> str:
    return f"({expression})" if signal.form == "square" else expression


def _centred(signal: Signal, specs: Mapping[str, FeatureSpec], target: str) -> str:
    expression = signal.expression("next_obs", specs)
    return f"({expression} - {target})" if target else _bracketed(expression, signal)


def _bell(signal: Signal, specs: Mapping[str, FeatureSpec], target: str, scale: str) -> str:
    return f"torch.exp(-(({_centred(signal, specs, target)} / {scale}) ** 2))"
