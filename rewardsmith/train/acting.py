"""Policies prepared for acting: what does not change between two updates is folded into copied weights beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rewardsmith.train.network import Activation
from rewardsmith.train.normalize import CLIP


class Actor:
    """P policies that act for few rows each, in few operations a step.

    The weights lie input first, which is faster for few rows; the normalizer's scale and the linear part of the
    activation are in them. Outputs are those of the network to float32 rounding; learning runs the network itself.
    """

    def __init__(
        self,
        layers: Sequence[tuple[Tensor, Tensor]],
        activation: Activation,
        normalizer: tuple[Tensor, Tensor] | None,
    ) -> None:
        """Args:
        layers: weights (P, out, in) and biases (P, out, 1), copied.
        normalizer: what is taken from inputs and what then multiplies them, each (P, 1, in); None: nothing.
        """
        self._core_ = activation.core_
        self._normalizer: tuple[Tensor, Tensor] | None = None
        factor: float | Tensor = 1.0
        offset = 0.0
        if normalizer is not None:
            shift, scale = normalizer
            self._normalizer = shift, CLIP / scale
            factor = scale.mT
        self._layers: list[tuple[Tensor, Tensor]] = []
        for i, (weight, bias) in enumerate(layers):
            after = activation.scale if i < len(layers) - 1 else 1.0
            columns = weight.mT
            folded = (bias.mT + offset * columns.sum(1, keepdim=True)) * after
            self._layers.append(((columns * (factor * after)).contiguous(), folded.contiguous()))
            factor, offset = activation.factor, activation.offset

    @property
    def bias(self) -> Tensor:
        """Of the last layer, (P, 1, out)."""
        return self._layers[-1][1]

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Outputs (P, n, out) for raw inputs (P, n, in); `bias` (P, n, out) replaces that of the last layer."""
        if self._normalizer:
            shift, bound = self._normalizer
            x = torch.clamp(x - shift, -bound, bound)
        for weight, own in self._layers[:-1]:
            x = self._core_(torch.baddbmm(own, x, weight))
        return torch.baddbmm(self.bias if bias is None else bias, x, self._layers[-1][0])
