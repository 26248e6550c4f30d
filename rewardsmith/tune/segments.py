"""Stretches of recorded episodes, and what a reward pays for them under any of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from rewardsmith.bank import Bank
from rewardsmith.errors import UsageError
from rewardsmith.reward.program import Params, RewardProgram

Per = Literal["step", "segment"]


class RewardFails(UsageError):
    """An operation of the reward's graph fails on recorded transitions, or pays something that is not finite."""


@dataclass(frozen=True)
class Segments:
    """S stretches of a bank, each within one episode; they may overlap.

    Shaping by a `potential` is left out everywhere: it changes no preference between policies.

    Attributes:
        bank: the recorded episodes.
        start, end: (S,) int64, first row of the bank and one past the last.

    Raises:
        UsageError: there is none, or one is empty, beyond the bank, or spans several episodes.
    """

    bank: Bank
    start: Tensor
    end: Tensor

    def __post_init__(self) -> None:
        empty = len(self.start) == 0 or bool((self.start >= self.end).any())
        if empty or int(self.start.min()) < 0 or int(self.end.max()) > len(self.bank):
            raise UsageError("a segment is empty or reaches beyond the bank", hint="give rows that are in the bank")
        if bool((self.bank.episode[self.start] != self.bank.episode[self.end - 1]).any()):
            raise UsageError("a segment spans several episodes", hint="cut it where an episode ends")

    @classmethod
    def episodes(cls, bank: Bank) -> Segments:
        """The bank's whole episodes, in order."""
        end = torch.bincount(bank.episode, minlength=bank.episodes).cumsum(0)
        return cls(bank, torch.cat([end.new_zeros(1), end[:-1]]), end)

    def __len__(self) -> int:
        return len(self.start)

    def take(self, index: Tensor) -> Segments:
        """The segments at `index` (K,) int64, in that order."""
        return Segments(self.bank, self.start[index], self.end[index])

    @property
    def lengths(self) -> Tensor:
        """(S,) int64 steps."""
        return self.end - self.start

    def pay(self, program: RewardProgram, params: Params | None = None, *, per: Per = "step") -> Tensor:
        """(S,) float64: see `rewards` and `collect`."""
        return self.collect(self.rewards(program, params), per)

    def rewards(self, program: RewardProgram, params: Params | None = None) -> Tensor:
        """(R,) float32: the reward of every step of every segment, one segment after the other.

        A reward with memory is stepped from the start of each episode, so a segment counts what happened before it.

        Args:
            params: values in place of the defaults; tensors may require gradients.

        Raises:
            UsageError: `params` names a parameter that does not exist or is structural.
            RewardFails: an operation fails.
        """
        try:
            if not program.remembers:
                return program(*self._steps, params=params).total
            stepped = self._stepped
            frames = stepped.frames
            return program.over_rollout(*frames, stepped.starts, params=params).total.flatten()[stepped.cells]
        except UsageError:
            raise
        except Exception as error:  # whatever an operation of the candidate's graph raises is the candidate's fault
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise RewardFails(f"the reward fails on recorded transitions: {reason}") from error

    def collect(self, rewards: Tensor, per: Per) -> Tensor:
        """(S,) float64: mean per step, or sum, of what `rewards` gave."""
        owner = torch.repeat_interleave(torch.arange(len(self)), self.lengths)
        sums = torch.zeros(len(self), dtype=torch.float64).index_add(0, owner, rewards.double())
        return sums / self.lengths if per == "step" else sums

    @cached_property
    def _rows(self) -> Tensor:
        """(R,) rows of the bank."""
        spans = zip(self.start.tolist(), self.end.tolist(), strict=True)
        return torch.cat([torch.arange(start, end) for start, end in spans])

    @cached_property
    def _steps(self) -> _Frames:
        return _frames(self.bank, self._rows)

    @cached_property
    def _stepped(self) -> _Stepped:
        """The episodes that the segments are from, laid out for a reward with memory."""
        whole = Segments.episodes(self.bank).take(torch.unique(self.bank.episode[self.start]))
        column, offset = _packed(whole.lengths.tolist())
        steps, columns = int(whole.lengths.max()), max(column) + 1
        first = torch.tensor(offset) * columns + torch.tensor(column)
        cell = torch.full((len(self.bank),), -1)
        cell[whole._rows] = torch.cat(
            [at + columns * torch.arange(length) for at, length in zip(first, whole.lengths.tolist(), strict=True)]
        )
        row = torch.zeros(steps * columns, dtype=torch.int64)
        row[cell[whole._rows]] = whole._rows
        starts = torch.zeros(steps * columns, dtype=torch.bool)
        starts[first] = True
        shape = steps, columns
        return _Stepped(_frames(self.bank, row.view(shape)), starts.view(shape), cell[self._rows])


class _Frames(NamedTuple):
    obs: dict[str, Tensor]
    action: Tensor
    next_obs: dict[str, Tensor]


class _Stepped(NamedTuple):
    """Episodes end to end in columns of equal length: frames (T, N, ...), starts (T, N), cells (R,) into T * N."""

    frames: _Frames
    starts: Tensor
    cells: Tensor


def _frames(bank: Bank, rows: Tensor) -> _Frames:
    obs, next_obs = ({name: v[rows] for name, v in frame.items()} for frame in (bank.obs, bank.next_obs))
    return _Frames(obs, bank.action[rows], next_obs)


def _packed(lengths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Column and offset of each episode, in columns as long as the longest: the next column where one is full."""
    columns, offsets = [], []
    column = used = 0
    for length in lengths:
        if used + length > max(lengths):
            column, used = column + 1, 0
        columns.append(column)
        offsets.append(used)
        used += length
    return columns, offsets
