"""Metrics: success and fitness measured on the trusted side, from named features, after the fact."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from rewardsmith.errors import EnvironmentFault, unknown

Quantities = dict[str, Tensor]


class Metric(Protocol):
    """Per-step quantities, then a verdict per episode. `about` says in one line what counts as success."""

    about: str

    def step(
        self,
        features: Quantities,
        previous: Quantities,
        *,
        action: Tensor,
        native_reward: Tensor,
        terminated: Tensor,
        info: Mapping[str, Tensor] | None = None,
    ) -> Quantities:
        """Named quantities of a step, each (M,) floating, any M.

        Args:
            features: after the step; on done rows the last real ones.
            previous: before the step.
            info: the world's `info` of that step.
        """
        ...

    def episode(
        self, sums: Quantities, last: Quantities, low: Quantities, high: Quantities, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(fitness, success), each (E,) float64: higher is better, success in [0, 1].

        Args:
            sums, last, low, high: sum, last value, minimum and maximum of each quantity over an episode, each (E,).
            length: steps, (E,).
        """
        ...


STEP_OFFERS = ("action", "native_reward", "terminated", "info")
EPISODE_OFFERS = ("low", "high", "length")


class PackMetric:
    """A pack's `step(features, previous)` and `episode(sums, last)` as a `Metric`.

    Either function may also name, as further parameters, what else it wants: step `action`, `native_reward`,
    `terminated`, `info`; episode `low`, `high`, `length`. `sums` carries `length` too.
    """

    def __init__(self, step: Callable[..., Quantities], episode: Callable[..., Any], about: str) -> None:
        """Raises: EnvironmentFault: a function names a parameter that there is not."""
        self.about = about
        self._step, self._episode = step, episode
        self._step_wants = _extra_parameters(step, STEP_OFFERS)
        self._episode_wants = _extra_parameters(episode, EPISODE_OFFERS)

    @property
    def judges_recordings(self) -> bool:
        """Whether recorded episodes tell it all it wants: their features and actions, and how they ended."""
        return not {"native_reward", "info"} & set(self._step_wants)

    def step(
        self,
        features: Quantities,
        previous: Quantities,
        *,
        action: Tensor,
        native_reward: Tensor,
        terminated: Tensor,
        info: Mapping[str, Tensor] | None = None,
    ) -> Quantities:
        offered = {"action": action, "native_reward": native_reward, "terminated": terminated, "info": info or {}}
        with _told("step", self._step):
            values = self._step(features, previous, **{key: offered[key] for key in self._step_wants})
            return {key: value.to(torch.float64) for key, value in values.items()}

    def episode(
        self, sums: Quantities, last: Quantities, low: Quantities, high: Quantities, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        offered = {"low": low, "high": high, "length": length}
        wanted = {key: offered[key] for key in self._episode_wants}
        with _told("episode", self._episode):
            fitness, success = self._episode({**sums, "length": length}, last, **wanted)
            return fitness.to(torch.float64), success.to(torch.float64).clamp(0.0, 1.0)


@contextmanager
def _told(name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Whatever a person's metric raises is told with its file and line."""
    try:
        yield
    except Exception as error:  # a boundary: the metric is the user's code
        file = inspect.getsourcefile(function) or "the metric"
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        where = f"{file}, line {lines[-1]}" if lines else file
        raise EnvironmentFault(
            f"{where}: {name}() of the metric fails: {type(error).__name__}: {error}",
            hint="step(features, previous) returns a dict of tensors (N,), episode(sums, last) returns "
            "(fitness, success); see envs/README.md",
        ) from error


class GoalMetric:
    """A frozen goal program (`rewardsmith.reward`) as a `Metric`: its progress is the fitness."""

    def __init__(self, program: Any, about: str = "") -> None:
        self.about = about or "the run's goal program"
        self._program = program

    def step(
        self,
        features: Quantities,
        previous: Quantities,
        *,
        action: Tensor,
        native_reward: Tensor,
        terminated: Tensor,
        info: Mapping[str, Tensor] | None = None,
    ) -> Quantities:
        del native_reward, info  # a goal sees what a reward sees
        values = self._program.step(previous, action, {**features, "terminated": terminated})
        return {key: value.to(torch.float64) for key, value in values.items()}

    def episode(
        self, sums: Quantities, last: Quantities, low: Quantities, high: Quantities, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        progress, success = self._program.episode(sums, last, low, high, length)
        return progress.to(torch.float64), success.to(torch.float64).clamp(0.0, 1.0)


class NativeMetric:
    """The environment's own measure: fitness is the return; success is `info["is_success"]` at the end of the episode,
    else a return of at least the published reward threshold, else 0."""

    def __init__(self, *, has_success: bool, threshold: float | None) -> None:
        self.has_success, self._threshold = has_success, threshold
        self.knows_success = has_success or threshold is not None
        if has_success:
            self.about = 'the environment\'s own info["is_success"] at the end of the episode; fitness is its return'
        elif threshold is not None:
            self.about = f"the environment's own return; success from its published threshold {threshold:g}"
        else:
            self.about = "the environment's own return; it defines no success"

    def step(
        self,
        features: Quantities,
        previous: Quantities,
        *,
        action: Tensor,
        native_reward: Tensor,
        terminated: Tensor,
        info: Mapping[str, Tensor] | None = None,
    ) -> Quantities:
        out = {"native_reward": native_reward.to(torch.float64)}
        if self.has_success:
            out["is_success"] = (info or {})["is_success"].to(torch.float64)
        return out

    def episode(
        self, sums: Quantities, last: Quantities, low: Quantities, high: Quantities, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        fitness = sums["native_reward"].to(torch.float64)
        if self.has_success:
            return fitness, last["is_success"].to(torch.float64).clamp(0.0, 1.0)
        if self._threshold is not None:
            return fitness, (fitness >= self._threshold).to(torch.float64)
        return fitness, torch.zeros_like(fitness)


class Unmeasured:
    """Where people say what is good, nothing is measured: fitness and success are 0, of every episode."""

    about = "what people say when they compare films of the policies"

    def step(
        self,
        features: Quantities,
        previous: Quantities,
        *,
        action: Tensor,
        native_reward: Tensor,
        terminated: Tensor,
        info: Mapping[str, Tensor] | None = None,
    ) -> Quantities:
        return {"steps": torch.ones_like(native_reward, dtype=torch.float64)}

    def episode(
        self, sums: Quantities, last: Quantities, low: Quantities, high: Quantities, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(sums["steps"]), torch.zeros_like(sums["steps"])


def score_episodes(metric: Metric, quantities: Quantities, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """(fitness, success), each (E,), of whole episodes laid end to end.

    Args:
        quantities: what `metric.step` gave, each (M,).
        lengths: steps of each episode, (E,) int64, summing to M.
    """
    parts = {key: torch.split(value.to(torch.float64), lengths.tolist()) for key, value in quantities.items()}

    def reduce(function: Callable[[Tensor], Tensor]) -> Quantities:
        return {key: torch.stack([function(part) for part in pieces]) for key, pieces in parts.items()}

    ends = reduce(torch.sum), reduce(lambda part: part[-1]), reduce(torch.amin), reduce(torch.amax)
    return metric.episode(*ends, lengths.to(torch.float64))


def _extra_parameters(function: Callable[..., Any], offered: Sequence[str]) -> list[str]:
    """Names of the parameters after the first two. Raises: EnvironmentFault: one is not among what is `offered`."""
    wanted = list(inspect.signature(function).parameters)[2:]
    if strange := next((name for name in wanted if name not in offered), None):
        raise EnvironmentFault(
            f"{inspect.getsourcefile(function)}: {function.__name__}() of the metric asks for an "
            f"{unknown('parameter', strange, offered)}",
            hint="a goal that a model wrote has another form than a metric file: docs/refine.md compares them",
        )
    return wanted
