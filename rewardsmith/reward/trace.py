"""Runs in the jail: executes candidate source on fake tensors and returns the graph of what it did, as JSON.

`warm` and `run` are what `rewardsmith.jail.Jail` calls. The batch dimension of every input is symbolic and shared, all
other sizes are fixed; a trace that decided anything by the batch size is refused. Parameters enter as 0-dim float64
tensors; one that is used as a plain number is fixed at its default ("structural") and the trace is repeated.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import logging
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import (
    DimDynamic,
    GuardOnDataDependentSymNode,
    StatelessSymbolicContext,
)
from torch.overrides import TorchFunctionMode

from rewardsmith.reward import warmup
from rewardsmith.reward.contract import (
    EPISODE_FRAMES,
    InputLeftOut,
    Mistake,
    View,
    accepted_parameters,
    frame_inputs,
    memory_specs,
    output_name,
    per_row,
    reward_outputs,
    view_of,
)
from rewardsmith.reward.decisions import DecisionWatch
from rewardsmith.reward.extract import Extracted, ParameterNeeded, Unsupported, extract
from rewardsmith.reward.graph import (
    FunctionGraph,
    GoalGraph,
    Input,
    MemorySpec,
    RewardGraph,
    to_json,
)
from rewardsmith.reward.lines import note_lines
from rewardsmith.reward.namespace import candidate_globals
from rewardsmith.types import RewardInterface

SOURCE_NAME = "<reward>"
_GUARD_SIZES = (1, 2, 3, 8, 1000, 2**20)
_PRIMES = (97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197, 199)
_MESSAGE_CHARS = 400
# torch and sympy import these when they are first needed, which in the jail is too late.
_IMPORTED_LATE = ("sympy.physics.units", "sympy.sets.setexpr", "torch._subclasses.schema_check_mode")
_DATA_DEPENDENT = (GuardOnDataDependentSymNode, DataDependentOutputException, DynamicOutputShapeException)
_DECIDES = "a decision or a size depends on the values of a tensor"
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
    return f'{{"graph":{to_json(graph)},"lines":{json.dumps(source.lines)}}}'.encode()


def warm() -> None:
    """Trace a few rewards that touch most of torch's tracing machinery, so that calls find it imported and cached."""
    for module in _IMPORTED_LATE:
        importlib.import_module(module)
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)  # nobody reads it, and formatting a record opens files
    warnings.simplefilter("ignore")
    if "graph" not in (answer := json.loads(run(warmup.ACCEPTED))):
        raise RuntimeError(f"warming up failed: {answer}")
    for payload in warmup.REFUSED:
        if "finding" not in json.loads(run(payload)):
            raise RuntimeError("warming up accepted what it should not")


def rehearse() -> None:
    """Trace a reward once more, in the process that will trace the next candidate."""
    run(warmup.REHEARSED)


# --- the candidate -------------------------------------------------------------------------------------------------


class _Source:
    """Executed candidate source: functions by name, and for those that were traced the line of every node."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines: dict[str, tuple[int | None, ...]] = {}
        self._scope = candidate_globals()
        exec(compile(text, SOURCE_NAME, "exec", dont_inherit=True), self._scope)

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._scope[name]


def _trace_reward(
    source: _Source, interface: RewardInterface, parameters: Mapping[str, float], functions: tuple[str, ...]
) -> RewardGraph:
    memory = _memory_of(source) if "initial_memory" in functions else ()
    frames = frame_inputs(interface)
    fixed: dict[str, float] = {}

    def reward(view: View) -> dict[str, Tensor]:
        main = source["compute_reward"]
        arguments = (view.obs, view.action, view.next_obs, *((view.memory,) if memory else ()))
        return reward_outputs(main(*arguments, **accepted_parameters(main, view.parameters | fixed)), memory, view.rows)

    def potential(view: View) -> dict[str, Tensor]:
        value = source["potential"](view.obs, **accepted_parameters(source["potential"], view.parameters | fixed))
        return {"potential": per_row(value, "the potential", view.rows)}

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
                reward=_traced("reward", reward, source, [*frames, *remembered, *free]),
                potential=_traced("potential", potential, source, [*state, *free])
                if "potential" in functions
                else None,
                structural=tuple(sorted(fixed)),
            )
        except ParameterNeeded as needed:
            fixed |= {name: parameters[name] for name in needed.names}


def _memory_of(source: _Source) -> tuple[MemorySpec, ...]:
    try:
        return memory_specs(source["initial_memory"])
    except Mistake as mistake:
        mistake.line = source["initial_memory"].__code__.co_firstlineno
        raise


def _trace_goal(source: _Source, interface: RewardInterface) -> GoalGraph:
    def step(view: View) -> dict[str, Tensor]:
        result = source["step"](view.obs, view.action, view.next_obs)
        if not isinstance(result, dict) or not result:
            raise Mistake("trace.output", "step returns a dict of named quantities (N,)")
        return {
            output_name(name, "quantity"): per_row(value, f"quantity {name!r}", view.rows)
            for name, value in result.items()
        }

    def episode(view: View) -> dict[str, Tensor]:
        result = source["episode"](*view.episode, view.length)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Mistake("trace.output", "episode returns (success, progress)")
        return {
            name: per_row(value, name, view.rows) for name, value in zip(("success", "progress"), result, strict=True)
        }

    traced = _traced("step", step, source, frame_inputs(interface))
    sums = [Input(source=kind, name=name) for kind in EPISODE_FRAMES for name in traced.outputs]
    return GoalGraph(
        interface=interface.digest,
        features=tuple(feature.name for feature in interface.features),
        step=traced,
        episode=_traced("episode", episode, source, [*sums, Input(source="length", name="")]),
    )


# --- tracing -------------------------------------------------------------------------------------------------------


def _traced(
    name: str, function: Callable[[View], dict[str, Tensor]], source: _Source, offered: list[Input]
) -> FunctionGraph:
    """Trace `function` on fake inputs: first only on those that the source names, then, if need be, on all."""
    frames = ("obs", "next_obs", *EPISODE_FRAMES)
    named = [entry for entry in offered if entry.source not in frames or repr(entry.name) in source.text]
    traced = None
    if any(entry.source != "parameter" for entry in named):  # something has to carry the rows
        with contextlib.suppress(InputLeftOut):
            traced = _traced_on(named, function, offered)
    traced = traced or _traced_on(offered, function, offered)
    source.lines[name] = traced.lines
    return traced.graph


def _traced_on(inputs: list[Input], function: Callable[[View], dict[str, Tensor]], offered: list[Input]) -> Extracted:
    shapes = DecisionWatch(
        asked_by=SOURCE_NAME, sizes=_GUARD_SIZES, allow_scalar_outputs=False, allow_dynamic_output_shape_ops=False
    )
    mode = FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True)
    mode.cache_enabled = False  # with symbolic sizes it never hits from one trace to the next, and filling it is slow
    sizes = {size for entry in inputs for size in entry.shape}
    rows = next(prime for prime in _PRIMES if prime not in sizes)
    fakes = [_fake(entry, rows, mode, place) for place, entry in enumerate(inputs)]
    names: list[str] = []

    def flat(*tensors: Tensor) -> list[Tensor]:
        view = view_of(inputs, tensors, offered)
        note_lines(SOURCE_NAME)
        with ParameterWatch(view.parameters, dict(zip(map(id, tensors), inputs, strict=True))):
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


def _check_guards(shapes: DecisionWatch) -> None:
    """Refuse a trace that took a decision which other numbers of rows would not take."""
    for guard, line in itertools.zip_longest(shapes.guards, shapes.guard_lines[: len(shapes.guards)]):
        for n in _GUARD_SIZES:
            if guard.expr.subs(dict.fromkeys(guard.expr.free_symbols, n)) == False:  # noqa: E712 (a sympy value)
                mistake = Mistake("trace.batch_size", _assumption(str(guard.expr)))
                mistake.line = line
                raise mistake


def _assumption(expression: str) -> str:
    if expression.startswith("Eq("):
        return "it works for one number of rows only: the number of rows becomes a plain number"
    assumed = re.sub(r"\bs\d+\b", "N", expression)[:100]
    return f"it assumes something about the number of rows N: {assumed}"


def _copy(to: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """`aten.copy` has no derivative; this has."""
    return source.to(to.dtype).expand(to.shape)


_DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {torch.ops.aten.copy.default: _copy}


_ARITHMETIC = {
    "add", "sub", "mul", "div", "truediv", "true_divide", "floordiv", "floor_divide", "mod", "remainder", "fmod", "pow",
    "radd", "rsub", "rmul", "rdiv", "rtruediv", "rfloordiv", "rmod", "rpow", "subtract", "multiply", "divide",
    "eq", "ne", "lt", "le", "gt", "ge",
}  # fmt: skip


class ParameterWatch(TorchFunctionMode):
    """Makes parameters behave like Python's floats; notices when one is used as a plain number, or an input is changed.

    Every 0-dim result of a torch function on parameters is remembered with the parameters behind it.
    """

    def __init__(self, parameters: Mapping[str, Any], inputs: Mapping[int, Input]) -> None:
        super().__init__()
        self._inputs = inputs
        self._behind: dict[int, tuple[Tensor, frozenset[str]]] = {
            id(value): (value, frozenset({name})) for name, value in parameters.items() if isinstance(value, Tensor)
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        names = frozenset(name for value in _tensors((args, list(kwargs.values()))) for name in self._names(value))
        changed = self._inputs.get(id(args[0])) if args else None
        if changed is not None and _changes_first(getattr(func, "__name__", "")):
            name = f"{changed.source}[{changed.name!r}]" if changed.name else changed.source
            raise Mistake("trace.mutation", f"{name} is changed in place")
        if func is Tensor.__repr__:
            raise Mistake("trace.data_dependent", "a tensor is turned into text")
        if names and func in _AS_NUMBER:
            raise ParameterNeeded(names)
        if names and getattr(func, "__name__", "").strip("_") in _ARITHMETIC:
            args = self._promoted(args)
        try:
            result = func(*args, **kwargs)
        except (RuntimeError, TypeError, ValueError) as error:
            if func in _AS_NUMBER:
                raise Mistake("trace.data_dependent", _DECIDES) from error
            if names and not isinstance(error, (Mistake, ParameterNeeded)):
                raise ParameterNeeded(names) from error  # a real mistake shows again once they are plain numbers
            raise
        if names and isinstance(result, Tensor) and result.dim() == 0:
            self._behind[id(result)] = (result, names)
        return result

    def _promoted(self, args: Sequence[Any]) -> list[Any]:
        """The operands such that their result has the dtype it has with a float: float64 never spreads.

        A float makes float32 of integers and flags; a 0-dim float64 tensor would make float64 of them.
        """
        others = [value for value in args if isinstance(value, Tensor) and id(value) not in self._behind]
        if others and all(value.dim() == 0 for value in others):
            return [value.to(torch.float32) if isinstance(value, Tensor) else value for value in args]
        return [
            value.to(torch.float32) if isinstance(value, Tensor) and not value.is_floating_point() else value
            for value in args
        ]

    def _names(self, value: Tensor) -> frozenset[str]:
        entry = self._behind.get(id(value))
        return entry[1] if entry else frozenset()


def _changes_first(name: str) -> bool:
    """Whether a torch function of this name writes to its first argument: add_, __iadd__, __setitem__."""
    if name.startswith("__"):
        return name == "__setitem__" or (name.strip("_")[1:] in _ARITHMETIC and name[2] == "i")
    return name.endswith("_")


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


# --- explaining ----------------------------------------------------------------------------------------------------


def _explained(error: BaseException) -> dict[str, Any]:
    """What went wrong, as data: a finding id, a message, and a line of the normalized source."""
    line = getattr(error, "line", None)
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == SOURCE_NAME and not isinstance(error, Unsupported):
            line = number
    text = _first_words(error)
    if isinstance(error, (Mistake, Unsupported)):
        return {"id": error.id, "message": text, "line": line}
    if isinstance(error, _DATA_DEPENDENT):
        return {"id": "trace.data_dependent", "message": _DECIDES, "line": line}
    if isinstance(error, ModuleNotFoundError):  # torch tried to load something that honest rewards never need
        return {
            "id": "trace.operation",
            "message": f"an operation needs a part of torch that is not there ({text[-60:]})",
            "line": line,
        }
    if isinstance(error, (MemoryError, RecursionError)):
        said = (
            "too much memory is needed" if isinstance(error, MemoryError) else "functions call each other without end"
        )
        return {"id": "trace.limits", "message": said, "line": line}
    return {"id": "trace.error", "message": f"{type(error).__name__}: {text}", "line": line}


def _first_words(error: BaseException) -> str:
    """The first line of an error's message, without addresses and folders of this machine."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return re.sub(r"\S*/\S*|\(0x[0-9a-f]+.*", "", line)[:_MESSAGE_CHARS]
