"""A reward learned from comparisons of segments: what preferences that design reward code are measured against.

That a segment is preferred to another has the odds exp(the difference of their summed rewards), the model of Bradley
and Terry (Christiano et al. 2017, arXiv 1706.03741, equation 1). Networks of tanh output, an ensemble whose members
learn from resampled comparisons, and questions about what they disagree on are those of B-Pref's PrefPPO (Lee et al.
2021, arXiv 2111.03026). Departure: every `fit` starts anew, so that a reward is a function of its seed and the
comparisons alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from rewardsmith.errors import UsageError
from rewardsmith.reward.program import RewardOutput
from rewardsmith.types import ActionSpec, RewardInterface

MEMBERS = 3
HIDDEN = (64, 64)
FAR = 10.0  # standardized inputs are cut off there: policies come to where no comparison has been


class Segments(NamedTuple):
    """S stretches of up to L steps, each within one episode."""

    inputs: Tensor  # (S, L, width), as `LearnedReward.inputs` gives them
    counted: Tensor  # (S, L) bool; False after the end of the episode

    def at(self, rows: Tensor) -> Segments:
        return Segments(self.inputs[rows], self.counted[rows])


class Comparisons(NamedTuple):
    """Of Q pairs of segments, which one is preferred."""

    first: Segments
    second: Segments
    preferred: Tensor  # (Q,) float32: 1 the first, 0 the second, 0.5 tied


def joined(parts: Sequence[Comparisons]) -> Comparisons:
    """All comparisons of several sets, whose segments are equally long."""
    sides = [
        Segments(torch.cat([s.inputs for s in side]), torch.cat([s.counted for s in side]))
        for side in ([part.first for part in parts], [part.second for part in parts])
    ]
    return Comparisons(sides[0], sides[1], torch.cat([part.preferred for part in parts]))


class LearnedReward:
    """A reward program for the trainer, zero until it is fitted. It has neither memory nor a potential.

    Args:
        interface: of the environment; text is not read.
        seed: of the networks' first weights and of what they learn from.
        device: where it learns and pays.
    """

    uses_memory = False
    has_potential = False

    def __init__(self, interface: RewardInterface, *, seed: int = 0, device: str | torch.device = "cpu") -> None:
        self._names = [feature.name for feature in interface.features if feature.dtype != "uint8"]
        self._action, self._seed, self._device = interface.action, seed, torch.device(device)
        self.width = sum(math.prod(f.shape) for f in interface.features if f.name in self._names)
        self.width += _action_width(interface.action)
        self._mean = torch.zeros(self.width, device=self._device)
        self._deviation = torch.ones_like(self._mean)
        self._layers: list[tuple[Tensor, Tensor]] = []  # of all members: weights (E, in, out), biases (E, 1, out)

    # --- as a reward program ------------------------------------------------------------------------------------------

    def inputs(self, obs: Mapping[str, Tensor], action: Tensor) -> Tensor:
        """What the networks see of N steps, (N, width) float32: the features before them, and the actions."""
        rows = len(action)
        return torch.cat([*(obs[name].reshape(rows, -1).float() for name in self._names), self._acted(action)], 1)

    def _acted(self, action: Tensor) -> Tensor:
        """Actions as (N, A) numbers: 0 and 1 for each choice of a discrete one."""
        spec = self._action
        if spec.kind == "continuous":
            return action.reshape(len(action), -1).float()
        choices = [spec.n or 0] if spec.kind == "discrete" else list(spec.nvec or ())
        columns = action.reshape(len(action), -1).unbind(1)
        return torch.cat([one_hot(c, n).float() for c, n in zip(columns, choices, strict=True)], 1)

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> RewardOutput:
        """Rewards (N,) in (-1, 1): the mean of the ensemble."""
        with torch.no_grad():
            total = self._outputs(self.inputs(obs, action).expand(max(1, self.members), -1, -1)).mean(0)
        return RewardOutput(total, {"learned": total}, None)

    def potential(self, obs: Mapping[str, Tensor]) -> Tensor:
        return torch.zeros(len(next(iter(obs.values()))), device=self._device)

    def initial_memory(self, n: int, device: Any) -> dict[str, Tensor]:
        return {}

    # --- learning -----------------------------------------------------------------------------------------------------

    @property
    def members(self) -> int:
        """Networks in the ensemble; 0 before it is fitted."""
        return len(self._layers[0][0]) if self._layers else 0

    def fit(self, seen: Comparisons, *, steps: int = 150, batch: int = 32, learning_rate: float = 1e-3) -> float:
        """Learn anew from all comparisons so far. Returns the mean cross-entropy of the last tenth of the steps, nats.

        Args:
            steps: gradient steps (Adam), each on `batch` comparisons that every member draws for itself.

        Raises: UsageError: there are no comparisons, or their shapes or numbers are wrong.
        """
        self._require_fit(seen)
        rng = torch.Generator().manual_seed(self._seed)
        rows = torch.cat([side.inputs[side.counted] for side in (seen.first, seen.second)])
        self._mean, self._deviation = rows.mean(0), rows.std(0, correction=0)
        # What never changed tells nothing: it is divided by its own size, so that small later changes stay small.
        self._deviation = torch.where(self._deviation > 1e-6, self._deviation, self._mean.abs().clamp_min(1.0))
        self._layers = [
            (weight.to(self._device).requires_grad_(), bias.to(self._device).requires_grad_())
            for weight, bias in _initial((self.width, *HIDDEN, 1), rng)
        ]
        adam = torch.optim.Adam([p for layer in self._layers for p in layer], lr=learning_rate)
        losses = []
        with torch.enable_grad():
            for _ in range(steps):
                drawn = torch.randint(len(seen.preferred), (MEMBERS, batch), generator=rng).to(self._device)
                logits = self._sums(seen.first.at(drawn)) - self._sums(seen.second.at(drawn))
                loss = binary_cross_entropy_with_logits(logits, seen.preferred[drawn], reduction="none").mean(1).sum()
                adam.zero_grad()
                loss.backward()
                adam.step()
                losses.append(loss.item() / MEMBERS)
        self._layers = [(weight.detach(), bias.detach()) for weight, bias in self._layers]
        last = losses[-max(1, steps // 10) :]
        return sum(last) / len(last)

    def preference(self, first: Segments, second: Segments) -> Tensor:
        """How likely each member of the ensemble thinks that the first segment is preferred, (E, Q)."""
        return torch.sigmoid(self._summed(first) - self._summed(second))

    def disagreement(self, first: Segments, second: Segments) -> Tensor:
        """Deviation of the members' answers, (Q,): what to ask about next (Christiano et al., section 2.2.4)."""
        return self.preference(first, second).std(0, correction=0)

    def accuracy(self, held_out: Comparisons) -> float | None:
        """Share of comparisons, ties aside, that the ensemble's mean reward answers right; None if all are ties.

        A pair that it pays the same counts one half.
        """
        decided = held_out.preferred != 0.5
        if not bool(decided.any()):
            return None
        gap = (self._summed(held_out.first) - self._summed(held_out.second)).mean(0)
        right = torch.sign(gap[decided]) * torch.sign(held_out.preferred[decided] - 0.5)
        return float(((right + 1) / 2).mean())

    def _summed(self, side: Segments) -> Tensor:
        """Every member's rewards over the same S segments, summed: (E, S)."""
        with torch.no_grad():
            return self._sums(Segments(*(t.expand(max(1, self.members), *t.shape) for t in side)))

    def _sums(self, segments: Segments) -> Tensor:
        """Each member's rewards over segments of its own (E, S, L, width), summed: (E, S)."""
        inputs, counted = segments
        members, count, length, width = inputs.shape
        paid = self._outputs(inputs.reshape(members, count * length, width)).view(members, count, length)
        return (paid * counted).sum(2)

    def _outputs(self, x: Tensor) -> Tensor:
        """Each member's rewards of N steps of its own (E, N, width): (E, N)."""
        if not self._layers:
            return torch.zeros(x.shape[:2], device=x.device)
        x = ((x - self._mean) / self._deviation).clamp(-FAR, FAR)
        for weight, bias in self._layers[:-1]:
            x = torch.relu(torch.baddbmm(bias, x, weight))
        weight, bias = self._layers[-1]
        return torch.tanh(torch.baddbmm(bias, x, weight))[..., 0]

    def _require_fit(self, seen: Comparisons) -> None:
        """Raises: UsageError: see `fit`."""
        count = len(seen.preferred)
        for side in (seen.first, seen.second):
            shape = tuple(side.inputs.shape)
            if len(shape) != 3 or shape[0] != count or shape[2] != self.width or side.counted.shape != shape[:2]:
                raise UsageError(
                    f"segments have the shapes {shape} and {tuple(side.counted.shape)} for {count} comparisons",
                    hint=f"inputs (comparisons, steps, {self.width}), counted (comparisons, steps)",
                )
            if not bool(torch.isfinite(side.inputs).all()):
                raise UsageError("a segment has numbers that are not finite")
            if not bool(side.counted.any(1).all()):
                raise UsageError("a segment has no steps")
        if not count:
            raise UsageError("nothing can be learned from no comparisons")
        if not bool(((seen.preferred >= 0) & (seen.preferred <= 1)).all()):
            raise UsageError("a preference is 1 for the first segment, 0 for the second, or between them")


def _action_width(spec: ActionSpec) -> int:
    if spec.kind == "continuous":
        return math.prod(spec.shape)
    return spec.n or 0 if spec.kind == "discrete" else sum(spec.nvec or ())


def _initial(widths: Sequence[int], rng: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Weights (E, in, out) and biases (E, 1, out), uniform within 1 / sqrt(in), other ones for each member."""
    layers = []
    for before, after in pairwise(widths):
        uniform = lambda *shape, reach=before**-0.5: reach * (2 * torch.rand(*shape, generator=rng) - 1)
        layers.append((uniform(MEMBERS, before, after), uniform(MEMBERS, 1, after)))
    return layers
