"""A policy whose weights are one vector, so that updates of it can be differentiated twice; and values of many parts.

The population's networks have a backward pass by hand, which is fast and goes one way only. This one is autograd's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from rewardsmith.train.heads import make_head
from rewardsmith.types import ActionSpec


class Actor:
    """An MLP with tanh layers and the trainer's action head; its D weights are handed in as `theta` (D,)."""

    def __init__(self, inputs: int, hidden: Sequence[int], action: ActionSpec, *, rescale: bool) -> None:
        self.head = make_head(action, rescale=rescale)
        self._sizes = list(pairwise([inputs, *hidden, self.head.width]))
        self.size = sum((rows + 1) * columns for rows, columns in self._sizes) + self.head.log_std_width

    def initial(self, generator: torch.Generator) -> Tensor:
        """Orthogonal weights (gain sqrt 2, 0.01 for the last layer), zero biases and log deviations."""
        parts: list[Tensor] = []
        for i, (rows, columns) in enumerate(self._sizes):
            gain = 0.01 if i == len(self._sizes) - 1 else math.sqrt(2)
            weight = nn.init.orthogonal_(torch.empty(rows, columns), gain, generator=generator)
            parts += [weight.flatten(), torch.zeros(columns)]
        return torch.cat([*parts, torch.zeros(self.head.log_std_width)])

    def __call__(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outputs (1, n, width) for inputs (n, inputs), and the log deviations (1, 1, A) of continuous actions."""
        at = 0
        for i, (rows, columns) in enumerate(self._sizes):
            weight = theta[at : at + rows * columns].view(rows, columns)
            at += (rows + 1) * columns
            x = x @ weight + theta[at - columns : at]
            x = torch.tanh(x) if i < len(self._sizes) - 1 else x
        log_std = theta[at:].view(1, 1, -1) if self.head.log_std_width else None
        return x[None], log_std

    def log_prob(self, theta: Tensor, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability (n,) of raw actions (n, A), and the policy's entropy (n,)."""
        out, log_std = self(theta, x)
        return self.head.choice(out, log_std, raw[None]).log_prob[0], self.head.entropy(out, log_std)[0]


def value_network(inputs: int, hidden: Sequence[int], outputs: int, generator: torch.Generator) -> nn.Sequential:
    """Values (n, outputs) for inputs (n, inputs)."""
    layers: list[nn.Module] = []
    sizes = list(pairwise([inputs, *hidden, outputs]))
    for i, (rows, columns) in enumerate(sizes):
        linear = nn.Linear(rows, columns)
        nn.init.orthogonal_(linear.weight, 1.0 if i == len(sizes) - 1 else math.sqrt(2), generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()] if i < len(sizes) - 1 else [linear]
    return nn.Sequential(*layers)
