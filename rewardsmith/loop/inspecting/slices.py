"""The reward over two features at a time, all others held: a grid for each pair, and the recorded states as dots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.errors import UsageError, unknown
from rewardsmith.loop.inspecting.episodes import TOTAL, Transitions, failing_on
from rewardsmith.reward.program import RewardProgram
from rewardsmith.types import ActionSpec, FeatureSpec, RewardInterface

POTENTIAL = "the potential"
MAX_AXES = 12  # features to choose from
GRIDS = (41, 31, 21, 15, 11)  # cells along an axis; fewer where there is much to draw
MAX_CELLS = 700_000  # of all grids together: two bytes each in the page
DOTS = 600  # of each kind of states
CORE = (0.5, 99.5)  # percentiles of the states between which axes reach, and a little further
ROOM = 0.08  # of an axis beyond the states, on either side


class Axis(NamedTuple):
    """One number of a feature: the feature itself, or one entry of it."""

    label: str  # "torso_height", "velocity[2]"
    feature: str
    entry: tuple[int, ...]
    unit: str
    grid: np.ndarray  # (G,) values in ascending order
    whole: bool  # whether it takes whole numbers only
    read: bool  # whether the reward reads the feature


class Held(NamedTuple):
    """What one number of a state or action is held at."""

    label: str
    value: float
    unit: str


class Dots(NamedTuple):
    """Recorded states of one kind."""

    title: str
    at: np.ndarray  # (axes, D) values after the step
    paid: np.ndarray  # (quantities, D) what the step was really paid; NaN where that is not known


Grids = dict[tuple[int, int], np.ndarray]


class Slices(NamedTuple):
    """`still[i, k]`, with i < k, is (quantities, G, G) float32: the row is the place on axis k, the column on axis i.

    Attributes:
        first: the two axes to show first.
        still: a state before and after the step alike.
        moved: a step from the held state to such a one; empty for a reward that looks at no state before a step.
        quantities: the total, the components, and the potential where there is one.
        held: of the features that the reward reads; `action` likewise.
    """

    axes: tuple[Axis, ...]
    first: tuple[int, int]
    quantities: tuple[str, ...]
    still: Grids
    moved: Grids
    dots: tuple[Dots, ...]
    held: tuple[Held, ...]
    action: tuple[Held, ...]


class Seen(NamedTuple):
    """Recorded transitions of one kind, and what they were paid by name, each (M,)."""

    title: str
    rows: Transitions
    paid: Mapping[str, np.ndarray]


def slices(
    program: RewardProgram, interface: RewardInterface, seen: Sequence[Seen], *, shown: Sequence[str] = ()
) -> Slices | None:
    """The reward over pairs of features; None where there are no two features that are numbers.

    The others are held at the median of the first kind of states in `seen`. No step ends the episode; the action is the
    median one, and memory is as at an episode's start.

    Args:
        shown: labels of the two features to show first.

    Raises:
        UsageError: `shown` are not two known features, or one never varies.
        NothingAcceptable: the reward fails on such states.
    """
    require_two(shown, interface)
    centre = _centre(seen[0].rows)
    axes = _axes(program, interface, seen)
    for name in shown:
        if name not in [axis.label for axis in axes]:
            raise UsageError(
                f"{name} is the same in all recorded states, so there is nothing to show over it",
                hint="name another feature, or a policy that changes it (--policy)",
            )
    if len(axes) < 2:
        return None
    effect = {axis.label: _effect(program, centre, axis) for axis in axes}
    ranked = sorted(axes, key=lambda axis: (axis.label not in shown, not axis.read, -effect[axis.label]))
    quantities = (TOTAL, *program.component_names, *([POTENTIAL] if program.has_potential else []))
    compares = any(entry.source == "obs" for entry in program.graph.reward.inputs)
    count, cells = _affordable(len(ranked), len(quantities) * (1 + compares))
    chosen = ranked[:count]
    pair = list(shown) or [axis.label for axis in chosen[:2]]
    order = {feature.name: place for place, feature in enumerate(interface.features)}
    chosen = sorted((_of_size(axis, cells) for axis in chosen), key=lambda axis: (order[axis.feature], axis.entry))
    place = {axis.label: number for number, axis in enumerate(chosen)}
    return Slices(
        axes=tuple(chosen),
        first=(place[pair[0]], place[pair[1]]),
        quantities=quantities,
        still=_grids(program, centre, chosen, before=True),
        moved=_grids(program, centre, chosen, before=False) if compares else {},
        dots=tuple(_dots(kind, chosen, quantities) for kind in seen),
        held=tuple(_held(program, interface, centre)),
        action=tuple(_action(interface.action, centre.action)),
    )


def require_two(shown: Sequence[str], interface: RewardInterface) -> None:
    """Raises: UsageError: there are names, and not those of two different numbers of the features."""
    known = [label for feature in interface.features for label, _ in _numbers(feature)]
    for name in shown:
        if name not in known:
            inside = [label for label in known if label.startswith(f"{name}[")]
            hint = f"of {name}, name one entry, such as {inside[0]}" if inside else "name a feature that is one number"
            raise UsageError(unknown("feature", name, known), hint=hint)
    if shown and (len(shown) != 2 or len(set(shown)) != 2):
        raise UsageError("a heat map is over two different features", hint=f"--features {','.join(known[:2])}")


def _numbers(feature: FeatureSpec) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Labels and places of the numbers of a feature: "height", "velocity[2]"; none of text."""
    if feature.dtype != "uint8":
        for entry in np.ndindex(feature.shape):
            yield f"{feature.name}[{','.join(map(str, entry))}]" if entry else feature.name, entry


def _centre(rows: Transitions) -> Transitions:
    """One transition: medians of what is a real number, and the most frequent value of everything else."""
    obs = {name: _typical(value) for name, value in rows.obs.items()}
    next_obs = obs | {"terminated": torch.zeros(1, dtype=torch.bool)}
    return Transitions(obs, _typical(rows.action), next_obs)


def _typical(value: Tensor) -> Tensor:
    """(1, ...) of values (M, ...)."""
    if value.dtype == torch.float32:
        finite = torch.where(value.isfinite(), value, torch.nan)
        return torch.nan_to_num(torch.nanmedian(finite, dim=0, keepdim=True).values)
    rows, counts = torch.unique(value, dim=0, return_counts=True)
    return rows[counts.argmax()][None]


def _axes(program: RewardProgram, interface: RewardInterface, seen: Sequence[Seen]) -> list[Axis]:
    """Every number that varies in what was seen."""
    found = []
    for feature in interface.features:
        read = feature.name not in program.unused_features
        for label, entry in _numbers(feature):
            values = np.concatenate([_entry(kind.rows.next_obs[feature.name], entry) for kind in seen])
            if (reach := _reach(values)) is None:
                continue
            axis = Axis(label, feature.name, entry, feature.unit, np.array(reach), feature.dtype != "float32", read)
            found.append(_of_size(axis, GRIDS[0]))
    return found


def _entry(value: Tensor, entry: tuple[int, ...]) -> np.ndarray:
    return value[(slice(None), *entry)].double().numpy(force=True)


def _reach(values: np.ndarray) -> tuple[float, float] | None:
    """From where to where an axis goes; None for what never varies."""
    values = values[np.isfinite(values)]
    if not len(values) or np.ptp(values) == 0:
        return None
    low, high = np.percentile(values, CORE)
    if low == high:
        low, high = values.min(), values.max()
    room = ROOM * (high - low)
    return float(low - room), float(high + room)


def _of_size(axis: Axis, cells: int) -> Axis:
    """The axis with so many values."""
    grid = np.linspace(axis.grid[0], axis.grid[-1], cells)
    return axis._replace(grid=np.round(grid) if axis.whole else grid)


def _affordable(axes: int, quantities: int) -> tuple[int, int]:
    """How many axes there can be, and how many cells along each."""
    for count in range(min(axes, MAX_AXES), 1, -1):
        for cells in GRIDS:
            if count * (count - 1) // 2 * quantities * cells**2 <= MAX_CELLS:
                return count, cells
    return 2, GRIDS[-1]


def _effect(program: RewardProgram, centre: Transitions, axis: Axis) -> float:
    """How much the total varies along one axis, one way or the other; what is not finite counts as none."""
    totals = (evaluate(program, _varied(centre, [(axis, axis.grid)], before=before))[0] for before in (True, False))
    return max(float(np.ptp(finite)) if len(finite := total[np.isfinite(total)]) else 0.0 for total in totals)


def _grids(program: RewardProgram, centre: Transitions, axes: Sequence[Axis], *, before: bool) -> Grids:
    """Each (quantities, G, G)."""
    found = {}
    for (i, across), (k, up) in combinations(enumerate(axes), 2):
        y, x = np.meshgrid(up.grid, across.grid, indexing="ij")
        rows = _varied(centre, [(across, x.ravel()), (up, y.ravel())], before=before)
        found[i, k] = evaluate(program, rows).reshape(-1, *x.shape)
    return found


def _varied(centre: Transitions, at: Sequence[tuple[Axis, np.ndarray]], *, before: bool) -> Transitions:
    """Copies of the one transition with these numbers in the state after the step, and with `before` in both."""
    rows = len(at[0][1])
    wide = lambda value: value.expand(rows, *value.shape[1:])
    obs = {name: wide(value) for name, value in centre.obs.items()}
    for axis, values in at:
        changed = obs[axis.feature].clone()
        changed[(slice(None), *axis.entry)] = torch.from_numpy(np.ascontiguousarray(values)).to(changed.dtype)
        obs[axis.feature] = changed
    held = obs if before else {name: wide(value) for name, value in centre.obs.items()}
    return Transitions(held, wide(centre.action), obs | {"terminated": wide(centre.next_obs["terminated"])})


def evaluate(program: RewardProgram, rows: Transitions) -> np.ndarray:
    """(quantities, M) float32: the total, the components and the potential, each row as an episode's first step."""
    with failing_on("the states of the heat map"), torch.no_grad():
        paid = program(rows.obs, rows.action, rows.next_obs)
        found = [paid.total, *(paid.components[name] for name in program.component_names)]
        if program.has_potential:
            found.append(program.potential({name: v for name, v in rows.next_obs.items() if name != "terminated"}))
        return torch.stack([value.float() for value in found]).numpy(force=True)


def _dots(kind: Seen, axes: Sequence[Axis], quantities: Sequence[str]) -> Dots:
    rows = len(kind.rows.action)
    chosen = np.unique(np.linspace(0, rows - 1, min(rows, DOTS)).round().astype(np.int64))
    nothing = np.full(rows, np.nan)
    return Dots(
        title=kind.title,
        at=np.stack([_entry(kind.rows.next_obs[axis.feature], axis.entry)[chosen] for axis in axes]),
        paid=np.stack([np.asarray(kind.paid.get(name, nothing))[chosen] for name in quantities]),
    )


def _held(program: RewardProgram, interface: RewardInterface, centre: Transitions) -> list[Held]:
    """The numbers of the features that the reward reads."""
    held = []
    for feature in interface.features:
        if feature.name in program.unused_features:
            continue
        for label, entry in _numbers(feature):
            held.append(Held(label, float(_entry(centre.obs[feature.name], entry)[0]), feature.unit))
    return held


def _action(spec: ActionSpec, action: Tensor) -> list[Held]:
    values = action[0].reshape(-1).tolist()
    if spec.kind == "discrete":
        return [Held("action", float(values[0]), "")]
    return [Held(f"action[{number}]", float(value), "") for number, value in enumerate(values)]
