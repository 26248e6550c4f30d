"""Runs in the jail: executes candidate source on fake tensors and returns the graph of what it did, as JSON.

`warm` and `run` are what `rewardsmith.jail.Jail` calls. The batch dimension of every input is symbolic and shared, all
other sizes are fixed; a trace that decided anything by the batch size is refused. Parameters enter as 0-dim float64
tensors; one that is used as a plain number is fixed at its default ("structural") and the trace is repeated.
"""

from __future__ import annotations

import json
import logging
import math
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import (
    DimDynamic,
    GuardOnDataDependentSymNode,
    ShapeEnv,
    StatelessSymbolicContext,
)
from torch.overrides import TorchFunctionMode

from rewardsmith.reward import ops, warmup
from rewardsmith.reward.extract import ParameterNeeded, Unsupported, extract
from rewardsmith.reward.graph import (
    MAX_MEMORY_FLOATS,
    FunctionGraph,
    GoalGraph,
    Input,
    MemorySpec,
    RewardGraph,
    to_json,
)
from rewardsmith.reward.namespace import candidate_globals
from rewardsmith.reward.vocabulary import NAME
from rewardsmith.types import RewardInterface

SOURCE_NAME = "<reward>"
_GUARD_SIZES = (1, 2, 3, 8, 1000, 2**20)
_PRIMES = (97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197, 199)
_MESSAGE_CHARS = 400
_DATA_DEPENDENT = (GuardOnDataDependentSymNode, DataDependentOutputException, DynamicOutputShapeException)
_AS_NUMBER = {
    getattr(Tensor, name)
    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "__index__", "__complex__", "__format__")
}


def run(payload: dict[str, Any]) -> bytes:
    """Trace one normalized source (see `compile.py` for the payload); returns JSON with `graph` or `finding`."""
    try:
        interface = RewardInterface.model_validate(payload["interface"])
        source = _Source(payload["source"])
        if payload["kind"] == "goal":
            graph: RewardGraph | GoalGraph = _trace_goal(source, interface)
        else:
            graph = _trace_reward(source, interface, payload["parameters"], tuple(payload["functions"]))
    except Exception as error:
        return json.dumps({"finding": _explained(error)}).encode()
    return f'{{"graph":{to_json(graph)}}}'.encode()


def warm() -> None:
    """Trace a few rewards that touch most of torch's tracing machinery, so that calls find it imported and cached."""
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)  # nobody reads it, and formatting a record opens files
    warnings.simplefilter("ignore")
    if "graph" not in (answer := json.loads(run(warmup.ACCEPTED))):
        raise RuntimeError(f"warming up failed: {answer}")
    run(warmup.REFUSED)


# --- the candidate -------------------------------------------------------------------------------------------------


class Mistake(Exception):
    """The candidate did something wrong in a way that has a name."""

    def __init__(self, id: str, message: str) -> None:
        super().__init__(message)
        self.id = id


class Features(dict[str, Tensor]):
    """A dict of features that says which names exist when one does not."""

    def __missing__(self, name: object) -> Tensor:
        close = get_close_matches(str(name), self, n=2, cutoff=0.5)
        guess = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise Mistake("trace.feature", f"there is no feature {str(name)[:60]!r}{guess} There are: {', '.join(self)}")


class _Source:
    """Executed candidate source; functions by name."""

    def __init__(self, text: str) -> None:
        self._scope = candidate_globals()
        exec(compile(text, SOURCE_NAME, "exec", dont_inherit=True), self._scope)

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._scope[name]


def _trace_reward(
    source: _Source, interface: RewardInterface, parameters: Mapping[str, float], functions: tuple[str, ...]
) -> RewardGraph:
    memory = _initial_memory(source["initial_memory"]) if "initial_memory" in functions else ()
    frames = _frame_inputs(interface)
    fixed: dict[str, float] = {}

    def reward(view: View) -> dict[str, Tensor]:
        main = source["compute_reward"]
        arguments = (view.obs, view.action, view.next_obs, *((view.memory,) if memory else ()))
        return _reward_outputs(main(*arguments, **_accepted(main, view.parameters | fixed)), memory, view.rows)

    def potential(view: View) -> dict[str, Tensor]:
        value = source["potential"](view.obs, **_accepted(source["potential"], view.parameters | fixed))
        return {"potential": _per_row(value, "the potential", view.rows)}

    while True:  # every turn but the last fixes at least one more parameter
        free = [Input(source="parameter", name=name, dtype="float64") for name in parameters if name not in fixed]
        remembered = [Input(source="memory", name=m.name, shape=m.shape, dtype=m.dtype) for m in memory]
        state = [entry for entry in frames if entry.source == "obs"]
        try:
            return RewardGraph(
                interface=interface.digest,
                features=tuple(feature.name for feature in interface.features),
                parameters=dict(parameters),
                memory=memory,
                reward=_traced(reward, [*frames, *remembered, *free]),
                potential=_traced(potential, [*state, *free]) if "potential" in functions else None,
                structural=tuple(sorted(fixed)),
            )
        except ParameterNeeded as needed:
            fixed |= {name: parameters[name] for name in needed.names}


def _trace_goal(source: _Source, interface: RewardInterface) -> GoalGraph:
    def step(view: View) -> dict[str, Tensor]:
        result = source["step"](view.obs, view.action, view.next_obs)
        if not isinstance(result, dict) or not result:
            raise Mistake("trace.output", "step returns a dict of named quantities (N,)")
        return {
            _name(name, "quantity"): _per_row(value, f"quantity {name!r}", view.rows) for name, value in result.items()
        }

    def episode(view: View) -> dict[str, Tensor]:
        result = source["episode"](*(Features(view.episode[kind]) for kind in _EPISODE_FRAMES), view.length)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Mistake("trace.output", "episode returns (success, progress)")
        return {
            name: _per_row(value, name, view.rows) for name, value in zip(("success", "progress"), result, strict=True)
        }

    traced = _traced(step, _frame_inputs(interface))
    sums = [Input(source=kind, name=name) for kind in _EPISODE_FRAMES for name in traced.outputs]
    return GoalGraph(
        interface=interface.digest,
        features=tuple(feature.name for feature in interface.features),
        step=traced,
        episode=_traced(episode, [*sums, Input(source="length", name="")]),
    )


# --- inputs and outputs --------------------------------------------------------------------------------------------

_EPISODE_FRAMES = ("total", "last", "low", "high")


class View(NamedTuple):
    """All inputs of one traced call, sorted by where they come from; `rows` is the symbolic batch size."""

    rows: Any
    obs: Features
    next_obs: Features
    memory: dict[str, Tensor]
    parameters: dict[str, Any]
    episode: dict[str, dict[str, Tensor]]
    action: Any = None
    length: Any = None


def _frame_inputs(interface: RewardInterface) -> list[Input]:
    inputs = [Input(source="action", name="", shape=interface.action.shape, dtype=interface.action.dtype)]
    for feature in interface.features:
        for source in ("obs", "next_obs"):
            inputs.append(Input(source=source, name=feature.name, shape=feature.shape, dtype=feature.dtype))
    return [*inputs, Input(source="next_obs", name="terminated", dtype="bool")]


def _view(inputs: list[Input], tensors: tuple[Tensor, ...]) -> View:
    groups: dict[str, dict[str, Tensor]] = {}
    for entry, tensor in zip(inputs, tensors, strict=True):
        groups.setdefault(entry.source, {})[entry.name] = tensor
    return View(
        rows=next(t for e, t in zip(inputs, tensors, strict=True) if e.source != "parameter").shape[0],
        obs=Features(groups.get("obs", {})),
        next_obs=Features(groups.get("next_obs", {})),
        memory=groups.get("memory", {}),
        parameters=dict(groups.get("parameter", {})),
        episode={kind: groups.get(kind, {}) for kind in _EPISODE_FRAMES},
        action=groups.get("action", {}).get(""),
        length=groups.get("length", {}).get(""),
    )


def _accepted(function: Callable[..., Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that this function declares (the gate made them keyword-only)."""
    return {name: parameters[name] for name in getattr(function, "__kwdefaults__", None) or {}}


def _reward_outputs(result: Any, memory: tuple[MemorySpec, ...], rows: Any) -> dict[str, Tensor]:
    expected = "(total, components, memory)" if memory else "(total, components)"
    if not isinstance(result, tuple) or len(result) != (3 if memory else 2) or not isinstance(result[1], dict):
        raise Mistake("trace.output", f"compute_reward returns {expected}, components being a dict")
    total, components = result[:2]
    outputs = {"total": _per_row(total, "the total", rows)}
    for name, value in components.items():
        outputs[f"component.{_name(name, 'component')}"] = _per_row(value, f"component {name!r}", rows)
    if memory:
        outputs |= _memory_outputs(result[2], memory, rows)
    return outputs


def _name(name: object, what: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Mistake(
            "trace.output", f"{what} name {str(name)[:60]!r}: use lower case letters, digits and _, at most 40"
        )
    return name


def _per_row(value: Any, what: str, rows: Any) -> Tensor:
    """The value as float32 (N,), or a Mistake that says what it is instead."""
    if not isinstance(value, Tensor):
        raise Mistake("trace.output", f"{what} is a {type(value).__name__}, not a tensor (N,)")
    if value.dim() != 1 or value.shape[0] is not rows and value.shape[0] != rows:
        shape = ", ".join("N" if isinstance(size, torch.SymInt) else str(size) for size in value.shape)
        raise Mistake("trace.output", f"{what} has shape ({shape}) instead of (N,)")
    return value.to(torch.float32)


def _memory_outputs(memory: Any, specs: tuple[MemorySpec, ...], rows: Any) -> dict[str, Tensor]:
    if not isinstance(memory, dict) or set(memory) != {spec.name for spec in specs}:
        raise Mistake("trace.memory", f"the returned memory must have exactly the keys {[s.name for s in specs]}")
    outputs = {}
    for spec in specs:
        value = memory[spec.name]
        if not isinstance(value, Tensor) or tuple(value.shape[1:]) != spec.shape or value.dim() != len(spec.shape) + 1:
            raise Mistake(
                "trace.memory", f"memory {spec.name!r} must keep the shape (N, {', '.join(map(str, spec.shape))})"
            )
        outputs[f"memory.{spec.name}"] = value.to(ops.DTYPES[spec.dtype])
    return outputs


def _initial_memory(function: Callable[..., Any]) -> tuple[MemorySpec, ...]:
    """Run initial_memory for two sizes: the same value for every row, whatever their number."""
    two, three = function(2), function(3)
    if not isinstance(two, dict) or not isinstance(three, dict) or set(two) != set(three) or not two:
        raise Mistake("trace.memory", "initial_memory(n) returns a dict of tensors, always with the same keys")
    specs = []
    for name, value in two.items():
        other = three[name]
        if (
            not isinstance(value, Tensor)
            or not isinstance(other, Tensor)
            or (value.shape[:1], other.shape[:1]) != ((2,), (3,))
        ):
            raise Mistake("trace.memory", f"memory {name!r} must be a tensor (n, ...)")
        if (
            value.shape[1:] != other.shape[1:]
            or not bool((other == value[0]).all())
            or not bool((value == value[0]).all())
        ):
            raise Mistake("trace.memory", f"memory {name!r} must start with the same value in every row")
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in ("float32", "int64", "bool", "uint8"):
            raise Mistake("trace.memory", f"memory {name!r} is {dtype}: use float32, int64 or bool")
        specs.append(
            MemorySpec(
                name=_name(name, "memory"), shape=tuple(value.shape[1:]), dtype=dtype, initial=tuple(value[0].flatten().tolist())
            )
        )  # fmt: skip
    if sum(math.prod(spec.shape) for spec in specs) > MAX_MEMORY_FLOATS:
        raise Mistake("trace.memory", f"memory holds more than {MAX_MEMORY_FLOATS} numbers a row")
    return tuple(specs)


# --- tracing -------------------------------------------------------------------------------------------------------


def _traced(function: Callable[[View], dict[str, Tensor]], inputs: list[Input]) -> FunctionGraph:
    """Trace `function` on fake inputs."""
    shapes = ShapeEnv(allow_scalar_outputs=False, allow_dynamic_output_shape_ops=False)
    mode = FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True)
    sizes = {size for entry in inputs for size in entry.shape}
    rows = next(prime for prime in _PRIMES if prime not in sizes)
    fakes = [_fake(entry, rows, mode, place) for place, entry in enumerate(inputs)]
    names: list[str] = []

    def flat(*tensors: Tensor) -> list[Tensor]:
        view = _view(inputs, tensors)
        with ParameterWatch(view.parameters):
            outputs = function(view)
        names[:] = outputs
        return list(outputs.values())

    with torch.no_grad():
        module = make_fx(torch.func.functionalize(flat), decomposition_table=_DECOMPOSITIONS, tracing_mode="symbolic")(
            *fakes
        )
    _check_guards(shapes)
    return extract(module, inputs, names)


def _fake(entry: Input, rows: int, mode: FakeTensorMode, place: int) -> Tensor:
    dtype = getattr(torch, entry.dtype)
    if entry.source == "parameter":
        return mode.from_tensor(torch.zeros((), dtype=dtype))
    real = torch.zeros((rows, *entry.shape), dtype=dtype)
    context = StatelessSymbolicContext(
        dynamic_sizes=[DimDynamic.DYNAMIC] + [DimDynamic.STATIC] * len(entry.shape),
    )
    return mode.from_tensor(real, symbolic_context=context, source=ConstantSource(f"input_{place}"))


def _check_guards(shapes: ShapeEnv) -> None:
    """Refuse a trace that took a decision which other numbers of rows would not take."""
    for guard in shapes.guards:
        for n in _GUARD_SIZES:
            if guard.expr.subs(dict.fromkeys(guard.expr.free_symbols, n)) == False:  # noqa: E712 (a sympy value)
                raise Mistake(
                    "trace.batch_size", f"it assumes something about the number of rows ({guard.expr})"[:_MESSAGE_CHARS]
                )


def _copy(to: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """`aten.copy` has no derivative; this has."""
    return source.to(to.dtype).expand(to.shape)


_DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {torch.ops.aten.copy.default: _copy}


class ParameterWatch(TorchFunctionMode):
    """Notices when a value that comes from parameters alone is used as a plain number.

    Every 0-dim result of a torch function on parameters is remembered with the parameters behind it.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__()
        self._behind: dict[int, tuple[Tensor, frozenset[str]]] = {
            id(value): (value, frozenset({name})) for name, value in parameters.items() if isinstance(value, Tensor)
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        names = frozenset(name for value in _tensors((args, list(kwargs.values()))) for name in self._names(value))
        if names and func in _AS_NUMBER:
            raise ParameterNeeded(names)
        try:
            result = func(*args, **kwargs)
        except (RuntimeError, TypeError) as error:
            if names and not isinstance(error, (Mistake, ParameterNeeded)):
                raise ParameterNeeded(names) from error  # a real mistake shows again once they are plain numbers
            raise
        if names and isinstance(result, Tensor) and result.dim() == 0:
            self._behind[id(result)] = (result, names)
        return result

    def _names(self, value: Tensor) -> frozenset[str]:
        entry = self._behind.get(id(value))
        return entry[1] if entry else frozenset()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


# --- explaining ----------------------------------------------------------------------------------------------------


def _explained(error: BaseException) -> dict[str, Any]:
    """What went wrong, as data: a finding id, a message, and a line of the normalized source."""
    line = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == SOURCE_NAME:
            line = number
    text = " ".join(str(error).split())[:_MESSAGE_CHARS]
    if isinstance(error, (Mistake, Unsupported)):
        return {"id": error.id, "message": text, "line": line}
    if isinstance(error, _DATA_DEPENDENT):
        return {
            "id": "trace.data_dependent",
            "message": "a decision or a size depends on the values of a tensor",
            "line": line,
        }
    if isinstance(error, (MemoryError, RecursionError)):
        return {"id": "trace.limits", "message": type(error).__name__, "line": line}
    return {"id": "trace.error", "message": f"{type(error).__name__}: {text}", "line": line}
