"""One reward graph out of several: what ensembles, sums and conjunctions of rewards are built with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewardsmith.errors import UsageError
from rewardsmith.reward.graph import Constant, FunctionGraph, Input, MemorySpec, Node, RewardGraph, parse_graph, to_json
from rewardsmith.reward.vocabulary import NAME
from rewardsmith.types import RewardInterface

RESERVED = ("weight",)  # parameters of the whole begin with it

Term = Callable[["GraphBuilder", str, int], int]
Total = Callable[["GraphBuilder", Sequence[int]], int]


def ref(value: int) -> dict[str, int]:
    """A value of the function as an argument of a node."""
    return {"ref": value}


def assemble(
    parts: Mapping[str, RewardGraph],
    interface: RewardInterface,
    *,
    term: Term,
    total: Total,
    parameters: Mapping[str, float] | None = None,
) -> RewardGraph:
    """A reward whose components are a term for each part.

    Parameters and memory of the parts are kept under `<part>_<name>`.

    Args:
        parts: graphs by a short name (`[a-z][a-z0-9_]*`), which becomes the name of a component.
        term: from the builder, a part's name and its total (N,) to its term (N,).
        total: from the builder and all terms to the total.
        parameters: those that `term` brings in.

    Raises:
        UsageError: a name is not usable, or a part has a potential.
        RewardRefused: together the parts are too large.
    """
    builder = GraphBuilder()
    terms: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for name, graph in parts.items():
        _check_part(name, graph)
        values = builder.inline(graph.reward, prefix=f"{name}_")
        terms[name] = term(builder, name, values["total"])
        outputs |= {f"memory.{name}_{spec.name}": values[f"memory.{spec.name}"] for spec in graph.memory}
    outputs["total"] = total(builder, list(terms.values()))
    outputs |= {f"component.{name}": value for name, value in terms.items()}
    some = next(iter(parts.values()))
    own = {f"{name}_{key}": value for name, graph in parts.items() for key, value in graph.parameters.items()}
    whole = RewardGraph(
        interface=some.interface,
        features=some.features,
        parameters={**(parameters or {}), **own},
        structural=tuple(f"{name}_{key}" for name, graph in parts.items() for key in graph.structural),
        memory=tuple(
            MemorySpec.model_validate(spec.model_dump() | {"name": f"{name}_{spec.name}"})
            for name, graph in parts.items()
            for spec in graph.memory
        ),
        reward=builder.function(outputs),
    )
    return parse_graph(to_json(whole), interface)


def _check_part(name: str, graph: RewardGraph) -> None:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise UsageError(
            f"{name!r} cannot name a part of a reward", hint='use lower case letters and digits, not "weight"'
        )
    if graph.potential is not None:
        raise UsageError(f"{name} has a potential, and potentials cannot be combined", hint="leave it out")


class GraphBuilder:
    """Grows one function. Inputs, constants and nodes are numbered apart until all are known: kind * _KIND + place."""

    _KIND = 1_000_000

    def __init__(self) -> None:
        self._inputs: dict[tuple[str, str], tuple[int, Input]] = {}
        self._constants: list[Constant] = []
        self._nodes: list[Node] = []

    def inline(self, function: FunctionGraph, *, prefix: str) -> dict[str, int]:
        """Copy a function in; features and the action are shared, parameters and memory get the prefix."""
        numbers = [self._input(entry, prefix) for entry in function.inputs]
        for constant in function.constants:
            self._constants.append(constant)
            numbers.append(self._KIND + len(self._constants) - 1)
        for node in function.nodes:
            args, kwargs = _renumbered(list(node.args), numbers), _renumbered(node.kwargs, numbers)
            numbers.append(self._append(Node(op=node.op, args=tuple(args), kwargs=kwargs)))
        return {name: numbers[value] for name, value in function.outputs.items()}

    def _input(self, entry: Input, prefix: str) -> int:
        if entry.source in ("parameter", "memory"):
            entry = Input.model_validate(entry.model_dump() | {"name": prefix + entry.name})
        return self._inputs.setdefault((entry.source, entry.name), (len(self._inputs), entry))[0]

    def add(self, op: str, *args: Any, **kwargs: Any) -> int:
        """A node; returns its number."""
        return self._append(Node(op=op, args=args, kwargs=kwargs))

    def _append(self, node: Node) -> int:
        self._nodes.append(node)
        return 2 * self._KIND + len(self._nodes) - 1

    def function(self, outputs: Mapping[str, int]) -> FunctionGraph:
        """The finished function, its values numbered in the order inputs, constants, nodes."""
        starts = 0, len(self._inputs), len(self._inputs) + len(self._constants)

        def final(number: int) -> int:
            return starts[number // self._KIND] + number % self._KIND

        return FunctionGraph(
            inputs=tuple(entry for _, entry in self._inputs.values()),
            constants=tuple(self._constants),
            nodes=tuple(
                Node(
                    op=node.op,
                    args=tuple(_changed(list(node.args), final)),
                    kwargs=_changed(node.kwargs, final),
                )
                for node in self._nodes
            ),
            outputs={name: final(value) for name, value in outputs.items()},
        )


def _renumbered(value: Any, numbers: list[int]) -> Any:
    return _changed(value, numbers.__getitem__)


def _changed(value: Any, change: Callable[[int], int]) -> Any:
    """An argument with every reference in it changed."""
    if isinstance(value, dict):
        return {key: change(v) if key == "ref" else _changed(v, change) for key, v in value.items()}
    return [_changed(item, change) for item in value] if isinstance(value, (list, tuple)) else value
