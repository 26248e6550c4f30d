"""Rewards of a rollout: one call per candidate over all rows of all its members in the shard.

Rewards with memory are the exception: their memory is part of the policy's input, so they are stepped in the rollout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from rewardsmith.train.recorder import Features, Transitions, pad_rows, padded_rows
from rewardsmith.types import Member


class Program(Protocol):
    """What training needs of a reward program (see `rewardsmith.reward.program.RewardProgram`)."""

    @property
    def uses_memory(self) -> bool: ...
    @property
    def has_potential(self) -> bool: ...
    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Any: ...
    def potential(self, obs: Any) -> Tensor: ...
    def initial_memory(self, n: int, device: Any) -> dict[str, Tensor]: ...


class Block(NamedTuple):
    """The members of one candidate: a contiguous range of the population."""

    candidate: str
    program: Program
    start: int
    stop: int


def blocks_of(members: Sequence[Member], programs: Mapping[str, Program]) -> list[Block]:
    """The candidates' ranges in a population.

    Raises: ValueError: a candidate's members do not stand together, or widths of memory differ.
    """
    blocks: list[Block] = []
    for i, member in enumerate(members):
        if blocks and blocks[-1].candidate == member.candidate:
            blocks[-1] = blocks[-1]._replace(stop=i + 1)
        elif any(b.candidate == member.candidate for b in blocks):
            raise ValueError(f"the members of {member.candidate} do not stand together")
        else:
            blocks.append(Block(member.candidate, programs[member.candidate], i, i + 1))
    if len({memory_width(b.program) for b in blocks}) > 1:
        raise ValueError("members with different memory widths cannot share a population")
    return blocks


class PaidBlock(NamedTuple):
    """What the members of one candidate were paid in a rollout."""

    block: Block
    reward: Tensor  # (T, members, N), potential shaping included
    components: dict[str, Tensor]  # each (T, members, N)
    sums: Tensor  # of components (C, members) float64

    def means(self, sums: np.ndarray) -> list[dict[str, float]]:
        """Mean per step of each component, per member, from `sums` on the host; over the rows where it is finite."""
        found: list[dict[str, float]] = [{} for _ in range(sums.shape[1])]
        for (name, value), row in zip(self.components.items(), sums, strict=True):
            for j, total in enumerate(row):
                if np.isfinite(total):
                    found[j][name] = float(total) / value[:, j].numel()
                else:
                    rows = value[:, j][torch.isfinite(value[:, j])].double()
                    found[j][name] = float(rows.mean()) if len(rows) else 0.0
        return found

    def explain(self, member: int) -> str:
        """Where a member's reward was not finite, in words."""
        j = member - self.block.start
        bad = sorted(k for k, v in self.components.items() if not bool(torch.isfinite(v[:, j]).all()))
        rows = ~torch.isfinite(self.reward[:, j])
        return f"{int(rows.sum())} of {rows.numel()} rows; components: {', '.join(bad) or 'none, only the total'}"


class RolloutRewards(NamedTuple):
    """All on the device, so that nobody waits for it before the updates."""

    total: Tensor  # (T, P, N) float32, potential shaping included; zero for members with a reward that is not finite
    sums: Tensor  # (P,) float64, of all a member's rewards; not finite if one of them is not
    paid: list[PaidBlock]  # of candidates whose reward did not raise
    errors: dict[int, str]  # member index -> what its reward raised


class _Made(Mapping[str, Tensor]):
    """Features made of others when they are first asked for: a reward reads a few of the many that there are."""

    def __init__(self, source: Mapping[str, Tensor], make: Callable[[Tensor], Tensor]) -> None:
        self._source, self._make, self._made = source, make, dict[str, Tensor]()

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._made:
            self._made[name] = self._make(self._source[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._source)

    def __len__(self) -> int:
        return len(self._source)


class Paid(NamedTuple):
    """What one program paid on a set of rows."""

    total: Tensor  # (M,) float32
    components: dict[str, Tensor]  # each (M,)
    memory: dict[str, Tensor] | None


def pay(
    program: Program,
    before: Mapping[str, Tensor],
    action: Tensor,
    after: Mapping[str, Tensor],
    memory: Mapping[str, Tensor] | None = None,
) -> Paid:
    """Call a program on M rows; each row's result is the same whatever the other rows are.

    Raises: ValueError: the total or a component is not one number per row. Anything that the program raises.
    """
    rows = len(action)
    shown = pad_rows(action)
    padded = None if memory is None else {k: pad_rows(v) for k, v in memory.items()}
    out = program(_Made(before, pad_rows), shown, _Made(after, pad_rows), memory=padded)
    numbers = lambda value, what: _per_row(value, len(shown), what)[:rows]
    components = {k: numbers(v, f"component {k}") for k, v in out.components.items()}
    new_memory = None
    if out.memory is not None:
        _require_rows(out.memory, len(shown))
        new_memory = {k: v[:rows] for k, v in out.memory.items()}
    return Paid(numbers(out.total, "the total"), components, new_memory)


def _per_row(value: Any, rows: int, what: str) -> Tensor:
    """`value` as (rows,) float32; a column (rows, 1) is taken, too.

    Raises: ValueError: it is not one number per row.
    """
    if not isinstance(value, Tensor):
        raise ValueError(f"{what} is no tensor but {type(value).__name__}")
    if tuple(value.shape) not in ((rows,), (rows, 1)):
        raise ValueError(f"{what} has the shape {tuple(value.shape)} for {rows} rows")
    return value.reshape(rows).float()


def _require_rows(memory: Mapping[str, Tensor], rows: int) -> None:
    """Raises: ValueError: an entry of the memory has not one row for each."""
    for name, value in memory.items():
        if tuple(value.shape[:1]) != (rows,):
            raise ValueError(f"memory {name} has the shape {tuple(value.shape)} for {rows} rows")


def rollout_rewards(
    blocks: Sequence[Block],
    transitions: Transitions,
    action: Tensor,
    terminated: Tensor,
    *,
    num_envs: int,
    gamma: float,
    paid: Sequence[Paid | str] | None = None,
) -> RolloutRewards:
    """All members' rewards of a rollout.

    Args:
        action: applied actions (T, B, ...), B = P * num_envs.
        terminated: (T, B) bool.
        paid: with memory: what each block was paid during the rollout on its (T * rows,) rows, or its error.
    """
    steps, members = len(terminated), terminated.shape[1] // num_envs
    total = torch.zeros(steps, members, num_envs, device=terminated.device)
    rewarded: list[PaidBlock] = []
    errors: dict[int, str] = {}
    for i, block in enumerate(blocks):
        span = slice(block.start * num_envs, block.stop * num_envs)
        shape = (steps, block.stop - block.start, num_envs)
        rows = lambda value, span=span: value[:, span].flatten(0, 1)
        before, after = _Made(transitions.before, rows), _Made(transitions.after, rows)
        ended = rows(terminated)
        try:
            if paid is None:
                outcome = _Made({**transitions.after, "terminated": terminated}, rows)
                got = pay(block.program, before, rows(action), outcome)
            else:
                got = paid[i]
            if isinstance(got, str):
                raise RuntimeError(got)
            reward = got.total.view(shape)
            if block.program.has_potential:
                reward = reward + _shaping(block.program, before, after, ended, gamma).view(shape)
        except Exception as error:  # the reward is the candidate's: whatever it raises ends its members, not the job
            message = f"{type(error).__name__}: {error}" if not isinstance(error, RuntimeError) else str(error)
            errors.update(dict.fromkeys(range(block.start, block.stop), message))
            continue
        total[:, block.start : block.stop] = reward
        components = {k: v.view(shape) for k, v in got.components.items()}
        rewarded.append(PaidBlock(block, reward, components, _component_sums(components, reward)))
    sums = total.transpose(0, 1).flatten(1).sum(1, dtype=torch.float64)
    return RolloutRewards(torch.where(torch.isfinite(sums)[:, None], total, 0.0), sums, rewarded, errors)


def _component_sums(components: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """(C, members) float64 sums of C components (T, members, N)."""
    if not components:
        return like.new_zeros(0, like.shape[1], dtype=torch.float64)
    return torch.stack(list(components.values())).transpose(1, 2).flatten(2).sum(2, dtype=torch.float64)


def _shaping(
    program: Program, before: Mapping[str, Tensor], after: Mapping[str, Tensor], terminated: Tensor, gamma: float
) -> Tensor:
    """gamma * (1 - terminated) * potential(next) - potential(obs), (M,)."""
    here, there = (_potential(program, states, len(terminated)) for states in (before, after))
    return torch.where(terminated, torch.zeros_like(there), there * gamma) - here


def _potential(program: Program, states: Mapping[str, Tensor], rows: int) -> Tensor:
    """A program's potential of M states, (M,) float32."""
    found = program.potential(_Made(states, pad_rows))
    return _per_row(found, padded_rows(rows), "the potential")[:rows]


class MemoryTrack:
    """Steps the memory of rewards with memory, and shows it to the policy as extra inputs."""

    def __init__(self, programs: Sequence[tuple[Program, int, int]], rows: int, device: torch.device) -> None:
        """`programs`: (program, first row, last row + 1), together covering all `rows` of the world."""
        self._programs, self._device = programs, device
        self._initial = [program.initial_memory(1, device) for program, _, _ in programs]
        self._memory = [program.initial_memory(stop - start, device) for program, start, stop in programs]
        self.flat = torch.zeros(rows, memory_width(programs[0][0]), device=device)
        self._refresh()

    def _refresh(self) -> None:
        for (_, start, stop), memory in zip(self._programs, self._memory, strict=True):
            if memory:
                self.flat[start:stop] = torch.cat(
                    [memory[k].reshape(stop - start, -1).float() for k in sorted(memory)], 1
                )

    def step(self, before: Features, action: Tensor, after: Features, terminated: Tensor) -> list[Paid | str]:
        """Advance every program by one step on all rows; per program what it paid, or its error."""
        results: list[Paid | str] = []
        for i, (program, start, stop) in enumerate(self._programs):
            span = slice(start, stop)
            seen = {k: v[span] for k, v in after.items()} | {"terminated": terminated[span]}
            try:
                paid = pay(program, {k: v[span] for k, v in before.items()}, action[span], seen, self._memory[i])
                memory = _like(paid.memory or {}, self._memory[i])
            except Exception as error:  # the candidate's fault, see `rollout_rewards`
                results.append(f"{type(error).__name__}: {error}")
                continue
            self._memory[i] = {k: v.clone() for k, v in memory.items()}
            results.append(paid)
        self._refresh()
        return results

    def reset(self, ids: np.ndarray) -> None:
        """Start new episodes in rows `ids`."""
        for (_, start, stop), memory, initial in zip(self._programs, self._memory, self._initial, strict=True):
            own = torch.from_numpy(ids[(ids >= start) & (ids < stop)] - start).to(self._device)
            for name, value in memory.items():
                value[own] = initial[name]
        self._refresh()

    def get(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The memory of world rows start:stop, which belong to one program."""
        for (_, first, last), memory in zip(self._programs, self._memory, strict=True):
            if first <= start and stop <= last:
                return {k: v[start - first : stop - first].cpu().numpy().copy() for k, v in memory.items()}
        raise ValueError(f"rows {start}:{stop} belong to no single program")

    def set(self, start: int, stop: int, saved: Mapping[str, np.ndarray]) -> None:
        for (_, first, last), memory in zip(self._programs, self._memory, strict=True):
            if first <= start and stop <= last:
                for name, value in memory.items():
                    value[start - first : stop - first] = torch.from_numpy(saved[name]).to(value)
        self._refresh()


def _like(memory: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """`memory` if it is of the form that it had before the step.

    Raises: ValueError: it is not.
    """
    form = lambda m: {k: f"{str(v.dtype).removeprefix('torch.')}{tuple(v.shape[1:])}" for k, v in sorted(m.items())}
    if form(memory) != form(before):
        raise ValueError(f"the memory changes its form from {form(before)} to {form(memory)}")
    return memory


def memory_width(program: Program) -> int:
    """How many numbers a program's memory adds to the policy's input; 0 without memory."""
    if not program.uses_memory:
        return 0
    return sum(math.prod(v.shape[1:]) for v in program.initial_memory(1, "cpu").values())


def stack_paid(steps: Sequence[Sequence[Paid | str]]) -> list[Paid | str]:
    """Per program, the (T * rows,) rows of what was paid over T steps; the first error wins."""
    stacked: list[Paid | str] = []
    for per_step in zip(*steps, strict=True):
        errors = [p for p in per_step if isinstance(p, str)]
        if errors:
            stacked.append(errors[0])
            continue
        paid = [p for p in per_step if not isinstance(p, str)]
        names = paid[0].components
        if any(p.components.keys() != names.keys() for p in paid):
            stacked.append("the names of the components change from step to step")
            continue
        stacked.append(
            Paid(
                torch.cat([p.total for p in paid]),
                {k: torch.cat([p.components[k] for p in paid]) for k in names},
                None,
            )
        )
    return stacked
