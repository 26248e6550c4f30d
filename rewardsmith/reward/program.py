"""Runs checked reward and goal graphs on real tensors: on CPU or GPU, differentiable, without the candidate's code."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rewardsmith.errors import UsageError, unknown
from rewardsmith.reward import ops
from rewardsmith.reward.graph import FunctionGraph, GoalGraph, Input, MemorySpec, RewardGraph, node_references, to_json
from rewardsmith.reward.interpreter import Compiled, needed_nodes
from rewardsmith.reward.verify import Extent, check_shapes

Features = Mapping[str, Tensor]
Memory = dict[str, Tensor]
Params = Mapping[str, float | Tensor]


class RewardOutput(NamedTuple):
    """`total` (N,) and `components` {name: (N,)} in float32; `memory` {name: (N, ...)} after the step, or None."""

    total: Tensor
    components: dict[str, Tensor]
    memory: Memory | None


class RolloutReward(NamedTuple):
    """Rewards of a rollout of T steps in N environments.

    Attributes:
        total: (T, N) float32.
        components: {name: (T, N)} float32.
        memory_before: {name: (T, N, ...)}, what the reward remembered before each step; None without memory.
        memory: {name: (N, ...)} after the last step, to hand in with the next rollout; None without memory.
    """

    total: Tensor
    components: dict[str, Tensor]
    memory_before: Memory | None
    memory: Memory | None


class RewardProgram:
    """A reward that can be called. Build it from a graph that `parse_graph` or `compile_reward` has checked.

    `uses_memory` says that it keeps memory, `remembers` that what it pays depends on it.
    """

    def __init__(self, graph: RewardGraph) -> None:
        self.graph = graph
        self.parameters: dict[str, float] = dict(graph.parameters)
        self.structural: tuple[str, ...] = graph.structural
        self._components = tuple(name for name in graph.reward.outputs if name.startswith("component."))
        self.component_names = tuple(name.removeprefix("component.") for name in self._components)
        self.uses_memory = bool(graph.memory)
        self.has_potential = graph.potential is not None
        self.memory_spec = {spec.name: (spec.shape, ops.DTYPES[spec.dtype]) for spec in graph.memory}
        read = {entry.name for entry in graph.reward.inputs if entry.source in ("obs", "next_obs")}
        read |= {entry.name for entry in graph.potential.inputs} if graph.potential else set()
        self.unused_features = tuple(name for name in graph.features if name not in read)
        self._defaults: dict[torch.device, dict[str, Tensor]] = {}

        outputs = graph.reward.outputs
        self._rewards = ["total", *self._components]
        self._memory_keys = [f"memory.{spec.name}" for spec in graph.memory]
        self.remembers = _reads_memory(graph.reward, [outputs[name] for name in self._rewards])
        self._whole = Compiled(graph.reward, [outputs[name] for name in (*self._rewards, *self._memory_keys)])
        self._reward_only = Compiled(graph.reward, [outputs[name] for name in self._rewards])

    @classmethod
    def from_graph(cls, graph: RewardGraph) -> RewardProgram:
        return cls(graph)

    def to_json(self) -> str:
        """The graph as canonical JSON, for `parse_graph`."""
        return to_json(self.graph)

    @functools.cached_property
    def graph_id(self) -> str:
        return self.graph.graph_id

    def __call__(
        self, obs: Features, action: Tensor, next_obs: Features, *, memory: Memory | None = None,
        params: Params | None = None,
    ) -> RewardOutput:  # fmt: skip
        """Reward of N transitions.

        Args:
            obs, next_obs: named features (N, ...); `next_obs` has "terminated" (N,) bool too.
            action: (N, A) float32, or (N,) or (N, A) int64.
            memory: what `initial_memory` or the last call gave; default: a fresh start.
            params: values in place of the defaults; tensors may require gradients.

        Raises:
            UsageError: `params` names a parameter that does not exist or is structural.
        """
        device, rows = action.device, action.shape[0]
        if self.uses_memory and memory is None:
            memory = self.initial_memory(rows, device)
        values = _collect(self.graph.reward.inputs, self._parameter_tensors(params, device), action, memory or {},
                          obs=obs, next_obs=next_obs)  # fmt: skip
        if not self.uses_memory:
            total, *components = self._reward_only(values, device)
            return RewardOutput(total, dict(zip(self.component_names, components, strict=True)), None)
        results = self._whole(values, device)
        split = len(self._rewards)
        return RewardOutput(
            results[0],
            dict(zip(self.component_names, results[1:split], strict=True)),
            dict(zip(self.memory_spec, results[split:], strict=True)),
        )

    def potential(self, obs: Features, *, params: Params | None = None) -> Tensor:
        """Potential (N,) of N states; zeros when the reward has none."""
        some = next(iter(obs.values()))
        if self._potential is None or self.graph.potential is None:
            return torch.zeros(some.shape[0], device=some.device)
        values = _collect(self.graph.potential.inputs, self._parameter_tensors(params, some.device), some, {}, obs=obs)
        return self._potential(values, some.device)[0]

    @functools.cached_property
    def _potential(self) -> Compiled | None:
        graph = self.graph.potential
        return None if graph is None else Compiled(graph, [graph.outputs["potential"]])

    def initial_memory(self, n: int, device: torch.device | str) -> Memory:
        """Memory (n, ...) of n episodes that are about to start."""
        return {
            spec.name: torch.tensor(spec.initial, dtype=ops.DTYPES[spec.dtype], device=device)
            .reshape(spec.shape)
            .expand(n, *spec.shape)
            .clone()
            for spec in self.graph.memory
        }

    def over_rollout(
        self, obs: Features, action: Tensor, next_obs: Features, starts: Tensor, *, memory: Memory | None = None,
        params: Params | None = None,
    ) -> RolloutReward:  # fmt: skip
        """Rewards of a whole rollout, computed at once. Only the memory's own update is stepped through time.

        Args:
            obs, next_obs: named features (T, N, ...).
            action: (T, N, ...).
            starts: (T, N) bool; True where a step is the first of its episode: memory is reset before it.
            memory: {name: (N, ...)} left by the rollout before; default: a fresh start.
            params: as in `__call__`.
        """
        steps, envs = action.shape[:2]
        flat = {"obs": _flatten(obs), "next_obs": _flatten(next_obs)}
        flat_action = action.flatten(0, 1)
        before: Memory | None = None
        flat_before: Memory = {}
        if self.uses_memory:
            parameters = self._parameter_tensors(params, action.device)
            fresh = self.initial_memory(envs, action.device)
            before, memory = self._stepper.run(flat, flat_action, parameters, starts, memory or fresh, fresh)
            flat_before = _flatten(before)
        out = self(flat["obs"], flat_action, flat["next_obs"], memory=flat_before or None, params=params)
        return RolloutReward(
            out.total.view(steps, envs),
            {name: value.view(steps, envs) for name, value in out.components.items()},
            before,
            memory if self.uses_memory else None,
        )

    @functools.cached_property
    def _stepper(self) -> _MemoryStepper:
        return _MemoryStepper(self.graph.reward, self.graph.memory)

    def _parameter_tensors(self, params: Params | None, device: torch.device) -> Mapping[str, Tensor]:
        """All parameters as 0-dim float64 tensors on `device`."""
        defaults = self._defaults.get(device)
        if defaults is None:
            with torch.inference_mode(False):
                defaults = {n: torch.tensor(v, dtype=torch.float64, device=device) for n, v in self.parameters.items()}
            if device.type != "meta" and all(type(value) is Tensor for value in defaults.values()):
                self._defaults[device] = defaults
        if not params:
            return defaults
        for name in params:
            if name not in defaults:
                raise UsageError(unknown("parameter", name, defaults))
            if name in self.structural:
                raise UsageError(
                    f"parameter {name!r} shapes the graph itself and is fixed at {self.parameters[name]:g}",
                    hint="change its default in the source and check the reward again",
                )
        given = {n: torch.as_tensor(v, dtype=torch.float64, device=device) for n, v in params.items()}
        return {**defaults, **given}


class _MemoryStepper:
    """Advances memory through a rollout.

    The graph is cut in two: what feeds the next memory but does not itself depend on memory runs once over all T*N
    rows, and only the rest is stepped. The rewards themselves are not computed here: once the memory before every step
    is known, all rows are independent again.
    """

    def __init__(self, function: FunctionGraph, memory: Sequence[MemorySpec]) -> None:
        self._inputs = function.inputs
        self._names = [spec.name for spec in memory]
        wanted = [function.outputs[f"memory.{name}"] for name in self._names]
        extents = check_shapes(function, {})
        first = function.first_node
        inputs = range(len(function.inputs))
        stepped = {i for i in inputs if function.inputs[i].source == "memory"}
        needed = needed_nodes(function, wanted, list(inputs))
        for slot in needed:
            if stepped.intersection(_reads(function, slot)):
                stepped.add(slot)
        # A value that cannot be cut into time steps (no batch in front, or a folded one) is stepped too.
        for slot in reversed(needed):
            if slot in stepped:
                stepped.update(r for r in _reads(function, slot) if r >= first and not _per_row(extents[r]))
        outer = sorted(
            {r for s in stepped if s >= first for r in _reads(function, s) if r not in stepped} | set(wanted)
        )
        self._across = [r for r in outer if (r >= first or r in inputs) and r not in stepped]
        self._memory_inputs = [i for i in inputs if function.inputs[i].source == "memory"]
        self._fixed = [r for r in self._across if r in inputs and function.inputs[r].source == "parameter"]
        self._across = [r for r in self._across if r not in self._fixed]
        self._once = Compiled(function, self._across)
        self._step = Compiled(function, wanted, [*self._memory_inputs, *self._fixed, *self._across])

    def run(
        self, flat: Mapping[str, Features], action: Tensor, parameters: Mapping[str, Tensor], starts: Tensor,
        memory: Memory, fresh: Memory,
    ) -> tuple[Memory, Memory]:  # fmt: skip
        """Returns memory before every step, {name: (T, N, ...)}, and after the last one, {name: (N, ...)}."""
        steps, envs = starts.shape
        values = _collect(self._inputs, parameters, action, {name: fresh[name] for name in self._names}, **flat)
        across = [v.unflatten(0, (steps, envs)).unbind(0) for v in self._once(values, action.device)]
        fixed = [values[i] for i in self._fixed]
        order = [self._inputs[i].name for i in self._memory_inputs]
        resets = starts.any(dim=1).tolist()
        history: dict[str, list[Tensor]] = {name: [] for name in self._names}
        for t in range(steps):
            if resets[t]:
                memory = {name: _reset(value, fresh[name], starts[t]) for name, value in memory.items()}
            for name in self._names:
                history[name].append(memory[name])
            now = [*(memory[name] for name in order), *fixed, *(value[t] for value in across)]
            memory = dict(zip(self._names, self._step(now, action.device), strict=True))
        return {name: torch.stack(values) for name, values in history.items()}, memory


class GoalProgram:
    """A model-written goal: `step` gives named quantities per transition, `episode` judges a whole episode."""

    def __init__(self, graph: GoalGraph) -> None:
        self.graph = graph
        self.names = tuple(graph.step.outputs)
        self._step = Compiled(graph.step, list(graph.step.outputs.values()))
        self._episode = Compiled(graph.episode, [graph.episode.outputs[name] for name in ("progress", "success")])

    @classmethod
    def from_graph(cls, graph: GoalGraph) -> GoalProgram:
        return cls(graph)

    def to_json(self) -> str:
        """The graph as canonical JSON, for `parse_goal`."""
        return to_json(self.graph)

    @functools.cached_property
    def graph_id(self) -> str:
        return self.graph.graph_id

    def step(self, obs: Features, action: Tensor, next_obs: Features) -> dict[str, Tensor]:
        """Named quantities (N,) float32 of N transitions."""
        values = _collect(self.graph.step.inputs, {}, action, {}, obs=obs, next_obs=next_obs)
        return dict(zip(self.names, self._step(values, action.device), strict=True))

    def episode(
        self, total: Features, last: Features, low: Features, high: Features, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(progress, success), each (N,) float32, of N episodes; success is 0 or 1, higher progress is better.

        Args:
            total, last, low, high: sum over the episode, last value, minimum and maximum of what `step` gave, (N,).
            length: (N,) steps.
        """
        frames = {"total": total, "last": last, "low": low, "high": high}
        length = length.to(torch.float32)
        values = [
            length if e.source == "length" else frames[e.source][e.name].to(torch.float32)
            for e in self.graph.episode.inputs
        ]
        progress, success = self._episode(values, length.device)
        return progress, (success > 0.5).to(torch.float32)


def _collect(
    inputs: Sequence[Input], parameters: Mapping[str, Tensor], action: Tensor, memory: Features, **frames: Features
) -> list[Tensor]:
    """The tensors of `inputs`, in order."""
    values = []
    for entry in inputs:
        if entry.source == "action":
            values.append(action)
        elif entry.source == "parameter":
            values.append(parameters[entry.name])
        elif entry.source == "memory":
            values.append(memory[entry.name])
        else:
            values.append(frames[entry.source][entry.name])
    return values


def _flatten(features: Features) -> Memory:
    """(T, N, ...) to (T*N, ...)."""
    return {name: value.flatten(0, 1) for name, value in features.items()}


def _reads_memory(function: FunctionGraph, wanted: Sequence[int]) -> bool:
    """Whether any of the wanted values is computed from memory."""
    needed = [*needed_nodes(function, wanted, range(len(function.inputs))), *wanted]
    read = {ref for slot in needed if slot >= function.first_node for ref in _reads(function, slot)} | set(wanted)
    return any(entry.source == "memory" and i in read for i, entry in enumerate(function.inputs))


def _reset(value: Tensor, fresh: Tensor, start: Tensor) -> Tensor:
    return torch.where(start.reshape(-1, *([1] * (value.dim() - 1))), fresh, value)


def _reads(function: FunctionGraph, slot: int) -> list[int]:
    first = function.first_node
    return list(node_references(function.nodes[slot - first])) if slot >= first else []


def _per_row(extent: object) -> bool:
    return isinstance(extent, Extent) and extent.rows == 1 and extent.batch_dim == 0
