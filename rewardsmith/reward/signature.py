"""What the functions of a reward or goal file look like from outside: arguments, parameters and their defaults."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rewardsmith.reward.findings import finding
from rewardsmith.reward.vocabulary import MAX_PARAMETERS, NAME
from rewardsmith.types import Finding


@dataclass
class Signature:
    functions: tuple[str, ...] = ()
    parameters: dict[str, float] = field(default_factory=dict)
    uses_memory: bool = False
    findings: list[Finding] = field(default_factory=list)

    def refuse(self, id: str, message: str, node: ast.AST | None = None, hint: str = "") -> None:
        self.findings.append(finding(id, message[:240], line=getattr(node, "lineno", None), hint=hint))


def reward_signature(tree: ast.Module) -> Signature:
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    signature = Signature()
    _refuse_stars([functions.get(name) for name in ("compute_reward", "initial_memory", "potential")], signature)
    if (main := functions.get("compute_reward")) is None:
        signature.refuse("gate.signature", "there is no function compute_reward")
        return signature
    count = _split_parameters(main, 4, signature)
    if count not in (3, 4):
        signature.refuse(
            "gate.signature", f"compute_reward takes {count} positional arguments, not (obs, action, next_obs)", main
        )
    signature.uses_memory = count == 4
    signature.functions = ("compute_reward",)
    if signature.uses_memory:
        if (initial := functions.get("initial_memory")) is None:
            hint = 'add: def initial_memory(n): return {"stage": torch.zeros(n)}'
            signature.refuse(
                "gate.signature", "compute_reward takes memory but there is no initial_memory(n)", main, hint
            )
        elif _split_parameters(initial, 1, signature) != 1 or initial.args.kwonlyargs:
            signature.refuse("gate.signature", "initial_memory takes one argument, n", initial)
        signature.functions += ("initial_memory",)
    if (potential := functions.get("potential")) is not None:
        if _split_parameters(potential, 1, signature) != 1:
            signature.refuse("gate.signature", "potential takes one positional argument, obs", potential)
        signature.functions += ("potential",)
    if len(signature.parameters) > MAX_PARAMETERS:
        signature.refuse("gate.parameter", f"more than {MAX_PARAMETERS} parameters", main)
    return signature


def goal_signature(tree: ast.Module) -> Signature:
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    signature = Signature(functions=("step", "episode"))
    _refuse_stars([functions.get(name) for name in ("step", "episode")], signature)
    for name, form in (("step", "obs, action, next_obs"), ("episode", "total, last, low, high, length")):
        if (function := functions.get(name)) is None:
            signature.refuse("gate.signature", f"there is no function {name}", hint=f"def {name}({form}): ...")
            continue
        arguments = function.args
        if (
            len(arguments.posonlyargs + arguments.args) != form.count(",") + 1
            or arguments.defaults
            or arguments.kwonlyargs
        ):
            signature.refuse(
                "gate.signature", f"{name} does not have the form {name}({form})", function, f"def {name}({form}): ..."
            )
    return signature


def _refuse_stars(functions: Sequence[ast.FunctionDef | None], signature: Signature) -> None:
    for function in filter(None, functions):
        if extra := function.args.vararg or function.args.kwarg:
            signature.refuse("gate.signature", f"{function.name} may not take *args or **kwargs", extra)


def _split_parameters(function: ast.FunctionDef, most: int, signature: Signature) -> int:
    """Make all parameters keyword-only with float defaults; returns how many plain positional arguments are left."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    plain = len(positional) - len(arguments.defaults)
    pairs = [*zip(positional[plain:], arguments.defaults, strict=True)]
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is None:
            signature.refuse("gate.parameter", f"parameter {argument.arg!r} has no default", argument)
        else:
            pairs.append((argument, default))
    defaults: list[ast.expr | None] = []
    for argument, default in pairs:
        value = _number(default)
        if value is None or not math.isfinite(value):
            signature.refuse("gate.parameter", f"the default of {argument.arg!r} is not a finite number", default)
            value = 0.0
        if not NAME.fullmatch(argument.arg):
            signature.refuse("gate.parameter", f"{argument.arg[:60]!r}: use lower case letters, digits and _", argument)
        if signature.parameters.setdefault(argument.arg, value) != value:
            signature.refuse("gate.parameter", f"{argument.arg!r} has two different defaults", default)
        defaults.append(ast.copy_location(ast.Constant(value=value), default))
    function.args = ast.arguments(
        posonlyargs=[], args=positional[:plain], vararg=None, kwonlyargs=[argument for argument, _ in pairs],
        kw_defaults=defaults, kwarg=None, defaults=[],
    )  # fmt: skip
    return plain


def _number(node: ast.expr) -> float | None:
    """The value of a number written out: 1.0, -2, 1 / 3, 2 * math.pi. None for anything else."""
    match node:
        case ast.Constant(value=(int() | float()) as number) if not isinstance(number, bool):
            return float(number)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            value = _number(operand)
            return value if value is None or isinstance(node.op, ast.UAdd) else -value
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            a, b = _number(left), _number(right)
            if a is None or b is None:
                return None
            if isinstance(node.op, ast.Div):
                return a / b if b else None
            return a + b if isinstance(node.op, ast.Add) else a - b if isinstance(node.op, ast.Sub) else a * b
        case ast.Attribute(value=ast.Name(id="__math"), attr=("pi" | "e" | "tau") as name):
            return getattr(math, name)
    return None
