"""The reward graph: what leaves the jail, what runs, what is stored. Untrusted until `parse_graph` has passed it.

A function is a list of values: first its inputs, then its constants, then one value per node. Nodes refer to earlier
values by number, so a graph cannot loop. Arguments are JSON scalars, lists, and a few tagged objects:

    {"ref": 7}   {"float": "-inf"}   {"dtype": "float32"}   {"device": "target"}

There is no place for code, names of functions outside `ops.ALLOWED`, files or devices.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from rewardsmith.errors import RewardRefused
from rewardsmith.reward import ops
from rewardsmith.reward.arguments import MAX_CONSTANT_ELEMENTS, check_node, fits_dtype, refuse
from rewardsmith.reward.vocabulary import MAX_PARAMETERS, NAME
from rewardsmith.types import Dtype, Record, RewardInterface, content_id

FORMAT_VERSION = 1
MAX_NODES = 2000
MAX_MEMORY_FLOATS = 16
MAX_OUTPUTS = 64
MAX_DIMENSIONS = 8
MAX_VALUES = 200_000  # of JSON, of all kinds together
MAX_DEPTH = 16
MAX_BYTES = 4_000_000

Source = Literal["obs", "action", "next_obs", "memory", "parameter", "total", "last", "low", "high", "length"]
_EPISODE_SOURCES = ("total", "last", "low", "high", "length")


class Input(Record):
    """One input: where it comes from, its name there ("" for `action` and `length`), shape per row and dtype."""

    source: Source
    name: str
    shape: tuple[int, ...] = ()
    dtype: Dtype | Literal["float64"] = "float32"


class Constant(Record):
    """A tensor known when the reward was traced, flat; inf and nan as {"float": "inf"}."""

    shape: tuple[int, ...]
    dtype: str
    data: tuple[Any, ...]


class Node(Record):
    op: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = Field(default_factory=dict)


class FunctionGraph(Record):
    """One traced function. `outputs` maps a name to the number of a value."""

    inputs: tuple[Input, ...]
    constants: tuple[Constant, ...] = ()
    nodes: tuple[Node, ...] = ()
    outputs: dict[str, int]

    @property
    def first_node(self) -> int:
        return len(self.inputs) + len(self.constants)


class MemorySpec(Record):
    """One entry of a reward's memory: shape per row, dtype, and the value every row starts with, flat."""

    name: str
    shape: tuple[int, ...] = ()
    dtype: Dtype = "float32"
    initial: tuple[float | int | bool, ...]


class RewardGraph(Record):
    """A whole reward. `features` are all names the interface offers, whether the reward uses them or not."""

    version: Literal[1] = FORMAT_VERSION
    interface: str
    features: tuple[str, ...]
    parameters: dict[str, float] = Field(default_factory=dict)
    structural: tuple[str, ...] = ()
    memory: tuple[MemorySpec, ...] = ()
    reward: FunctionGraph
    potential: FunctionGraph | None = None

    @property
    def graph_id(self) -> str:
        return content_id(to_json(self))


class GoalGraph(Record):
    """A model-written goal: named quantities per step, and (success, progress) of a whole episode."""

    version: Literal[1] = FORMAT_VERSION
    interface: str
    features: tuple[str, ...]
    step: FunctionGraph
    episode: FunctionGraph

    @property
    def graph_id(self) -> str:
        return content_id(to_json(self))


def to_json(graph: RewardGraph | GoalGraph) -> str:
    """Canonical JSON: equal graphs give equal text."""
    return json.dumps(graph.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)


def references(value: object) -> Iterator[int]:
    """All value numbers that an argument refers to."""
    if isinstance(value, dict):
        if "ref" in value:
            yield value["ref"]
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from references(item)


def node_references(node: Node) -> Iterator[int]:
    yield from references(node.args)
    yield from references(list(node.kwargs.values()))


# --- loading -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def about_node(number: int) -> Iterator[None]:
    """A refusal in here is about this operation; `_about_function` adds whose it is."""
    try:
        yield
    except RewardRefused as refusal:
        refusal.node = refusal.node or ("", number)
        raise


@contextlib.contextmanager
def _about_function(name: str) -> Iterator[None]:
    try:
        yield
    except RewardRefused as refusal:
        refusal.node = refusal.node and (name, refusal.node[1])
        raise


def parse_graph(data: bytes | str | Mapping[str, Any], interface: RewardInterface) -> RewardGraph:
    """Check everything about a reward graph, including shapes and cost, against `interface`.

    Raises:
        RewardRefused: with an id from `graph.*`.
    """
    graph = _validated(RewardGraph, data)
    _check_interface(graph, interface)
    if len(graph.parameters) > MAX_PARAMETERS or not all(map(math.isfinite, graph.parameters.values())):
        refuse("graph.format", "parameters must be finite, and not too many")
    for name in (*graph.parameters, *(spec.name for spec in graph.memory)):
        _check_name(name)
    if not set(graph.structural) <= set(graph.parameters) or len(set(graph.structural)) < len(graph.structural):
        refuse("graph.format", "a structural parameter is not listed among the parameters, or twice")
    _check_memory(graph.memory)
    memory = {spec.name: spec for spec in graph.memory}
    available = _available_inputs(interface, parameters=set(graph.parameters) - set(graph.structural)) | {
        ("memory", spec.name): Input(source="memory", name=spec.name, shape=spec.shape, dtype=spec.dtype)
        for spec in graph.memory
    }
    with _about_function("reward"):
        _check_function(graph.reward, available)
    kept = {f"memory.{name}" for name in memory}
    components = set(graph.reward.outputs) - kept - {"total"}
    if "total" not in graph.reward.outputs or not kept <= set(graph.reward.outputs):
        refuse("graph.outputs", "the total or a memory entry is missing")
    if not all(name.startswith("component.") for name in components):
        refuse("graph.outputs", "an output is neither the total, a component nor a memory entry")
    rows: dict[str, tuple[tuple[int, ...], str]] = dict.fromkeys({"total", *components}, ((), "float32"))
    rows |= {f"memory.{spec.name}": (spec.shape, spec.dtype) for spec in graph.memory}
    passed: dict[str, _Passed] = {}
    with _about_function("reward"):
        passed["reward"] = graph.reward, _check_cost(graph.reward, rows)
    if graph.potential is not None:
        allowed = {key: value for key, value in available.items() if key[0] in ("obs", "parameter")}
        with _about_function("potential"):
            _check_function(graph.potential, allowed)
        if set(graph.potential.outputs) != {"potential"}:
            refuse("graph.outputs", "a potential has one output")
        with _about_function("potential"):
            passed["potential"] = graph.potential, _check_cost(graph.potential, {"potential": ((), "float32")})
    _check_runs(passed)
    return graph


def parse_goal(data: bytes | str | Mapping[str, Any], interface: RewardInterface) -> GoalGraph:
    """The same for a goal graph.

    Raises:
        RewardRefused: with an id from `graph.*`.
    """
    graph = _validated(GoalGraph, data)
    _check_interface(graph, interface)
    with _about_function("step"):
        _check_function(graph.step, _available_inputs(interface, parameters=set()))
    names = list(graph.step.outputs)
    if not names:
        refuse("graph.outputs", "a goal needs at least one quantity per step")
    for name in names:
        _check_name(name)
    with _about_function("step"):
        step = graph.step, _check_cost(graph.step, dict.fromkeys(names, ((), "float32")))
    episode = {(source, name): Input(source=source, name=name) for source in _EPISODE_SOURCES[:4] for name in names}
    episode["length", ""] = Input(source="length", name="")
    with _about_function("episode"):
        _check_function(graph.episode, episode)
    if set(graph.episode.outputs) != {"success", "progress"}:
        refuse("graph.outputs", "an episode gives success and progress")
    with _about_function("episode"):
        extents = _check_cost(graph.episode, {"success": ((), "float32"), "progress": ((), "float32")})
    _check_runs({"step": step, "episode": (graph.episode, extents)})
    return graph


_Graph = TypeVar("_Graph", bound=Record)
_Passed = tuple[FunctionGraph, list[Any]]  # a function and the extents of its values


def _validated(kind: type[_Graph], data: bytes | str | Mapping[str, Any]) -> _Graph:
    try:
        if isinstance(data, (bytes, str)):
            if len(data) > MAX_BYTES:
                refuse("graph.size", f"the graph has {len(data):,} bytes, {MAX_BYTES:,} are allowed")
            data = json.loads(data)
        _check_extent(data)
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        refuse("graph.format", f"not a graph: {'.'.join(map(str, first['loc']))[:80]}: {first['msg'][:120]}")
    except (ValueError, RecursionError) as error:
        refuse("graph.format", f"not a graph: {str(error)[:120]}")


def _check_extent(data: object) -> None:
    """Bound what the JSON holds before anything is made of it."""
    level, count, depth = [data], 0, 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            refuse("graph.size", f"over {MAX_VALUES:,} values or {MAX_DEPTH} levels of nesting")
        level = [item for value in level if isinstance(value, (dict, list, tuple)) for item in _items(value)]


def _items(value: Mapping[Any, Any] | list[Any] | tuple[Any, ...]) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else value


def _available_inputs(interface: RewardInterface, *, parameters: set[str]) -> dict[tuple[str, str], Input]:
    """Every input a function may have, by (source, name)."""
    every = [Input(source="action", name="", shape=interface.action.shape, dtype=interface.action.dtype)]
    for feature in interface.features:
        every += [Input(source=s, name=feature.name, shape=feature.shape, dtype=feature.dtype) for s in _FRAMES]
    every.append(Input(source="next_obs", name="terminated", dtype="bool"))
    every += [Input(source="parameter", name=name, dtype="float64") for name in parameters]
    return {(entry.source, entry.name): entry for entry in every}


def _check_interface(graph: RewardGraph | GoalGraph, interface: RewardInterface) -> None:
    if graph.interface != interface.digest:
        refuse("graph.interface", "the graph was traced against another interface")
    if graph.features != tuple(feature.name for feature in interface.features):
        refuse("graph.interface", "the graph lists other features than the interface")


def _check_memory(memory: tuple[MemorySpec, ...]) -> None:
    if len({spec.name for spec in memory}) != len(memory):
        refuse("graph.memory", "a memory entry appears twice")
    if any(size < 1 for spec in memory for size in spec.shape) or any(
        len(spec.shape) > MAX_DIMENSIONS for spec in memory
    ):
        refuse("graph.memory", "a memory entry has an impossible shape")
    if sum(math.prod(spec.shape) for spec in memory) > MAX_MEMORY_FLOATS:
        refuse("graph.memory", f"memory has more than {MAX_MEMORY_FLOATS} numbers a row")
    for spec in memory:
        fits = all(fits_dtype(item, spec.dtype) and math.isfinite(item) for item in spec.initial)
        if len(spec.initial) != math.prod(spec.shape) or not fits:
            refuse("graph.memory", f"the initial value of memory {spec.name!r} does not fit or is not finite")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        refuse("graph.format", f"{name[:60]!r} is not a name")


def _check_function(function: FunctionGraph, available: Mapping[tuple[str, str], Input]) -> None:
    """Inputs exist as declared, constants fit, every node is an allowed op on earlier values, outputs are values."""
    seen = set()
    for entry in function.inputs:
        key = (entry.source, entry.name)
        if available.get(key) != entry or key in seen:
            refuse("graph.inputs", f"input {entry.source} {entry.name[:60]!r} is unknown, doubled or of another shape")
        seen.add(key)
    if len(function.nodes) > MAX_NODES:
        refuse("graph.size", f"{len(function.nodes)} operations, {MAX_NODES} are allowed")
    if len(function.outputs) > MAX_OUTPUTS:
        refuse("graph.size", f"{len(function.outputs)} outputs, {MAX_OUTPUTS} are allowed")
    _check_constants(function.constants)
    kinds = ["tensor"] * function.first_node
    for number, node in enumerate(function.nodes):
        with about_node(number):
            kinds.append(check_node(node, kinds))
    for name, value in function.outputs.items():
        if not (name in _PLAIN_OUTPUTS or NAME.fullmatch(name.removeprefix("component.").removeprefix("memory."))):
            refuse("graph.outputs", f"{name[:60]!r} is not an output name")
        if not 0 <= value < len(kinds) or kinds[value] != "tensor":
            refuse("graph.outputs", f"output {name!r} is not a tensor of this graph")


def _check_constants(constants: tuple[Constant, ...]) -> None:
    if sum(len(constant.data) for constant in constants) > MAX_CONSTANT_ELEMENTS:
        refuse("graph.size", f"constants of more than {MAX_CONSTANT_ELEMENTS:,} numbers")
    for constant in constants:
        if constant.dtype not in ops.DTYPES or any(not 0 <= size <= MAX_CONSTANT_ELEMENTS for size in constant.shape):
            refuse("graph.constant", "a constant has an impossible dtype or shape")
        if len(constant.shape) > MAX_DIMENSIONS or math.prod(constant.shape) != len(constant.data):
            refuse("graph.constant", "a constant's numbers do not fill its shape")
        for item in constant.data:
            if not fits_dtype(item, constant.dtype):
                refuse("graph.constant", f"a constant holds something that is not a {constant.dtype} number")


def _check_cost(function: FunctionGraph, outputs: Mapping[str, tuple[tuple[int, ...], str]]) -> list[Any]:
    from rewardsmith.reward.verify import check_shapes  # deferred: verify runs graphs, which needs this module

    return check_shapes(function, outputs)


def _check_runs(passed: Mapping[str, _Passed]) -> None:
    """The last check of all, and the only one that computes anything."""
    from rewardsmith.reward.verify import check_on_numbers  # deferred as above

    for name, (function, extents) in passed.items():
        with _about_function(name):
            check_on_numbers(function, extents)


_FRAMES: tuple[Source, ...] = ("obs", "next_obs")
_PLAIN_OUTPUTS = ("total", "potential", "success", "progress")
