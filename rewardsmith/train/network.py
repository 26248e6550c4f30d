"""Actor and critic of all members in one flat `(P, nparam)` tensor: batched matrix products, hand-written gradient.

Inside, a layer's values are (P, width, n): with rows last, the products with a narrow head are several times faster.
Two rules keep a member's numbers independent of its neighbours, bit for bit (tested): every block starts on a
multiple of 16 floats and widths are multiples of 4, because matrix kernels choose their path by alignment; and
rows are a multiple of 32 floats, because elementwise kernels treat the remainder of a tensor differently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.train.config import LANES

_BLOCK = 16
_WIDTH = 4
_NARROW = 16  # a product with so few columns is several times slower than its transpose


def padded(width: int, multiple: int = _WIDTH) -> int:
    """`width` rounded up to a multiple."""
    return -(-width // multiple) * multiple


class Activation(NamedTuple):
    """A nonlinearity, factor * core(scale * x) + offset, and how a gradient `d` of its output becomes its input's."""

    scale: float  # a matrix product multiplies by it for nothing
    core_: Callable[[Tensor], Tensor]  # in place
    factor: float
    offset: float
    backward_: Callable[[Tensor, Tensor], Tensor]  # of d and of what came out

    def apply_(self, x: Tensor) -> Tensor:
        """The nonlinearity of x / scale, in place."""
        x = self.core_(x)
        return x if (self.factor, self.offset) == (1, 0) else x.mul_(self.factor).add_(self.offset)


ACTIVATIONS = {
    # tanh(x) = 2 * sigmoid(2x) - 1: the same to float32 precision, and several times cheaper on CPUs
    "tanh": Activation(
        2, Tensor.sigmoid_, 2, -1, lambda d, out: torch.ops.aten.tanh_backward.grad_input(d, out, grad_input=d)
    ),
    "relu": Activation(
        1, Tensor.relu_, 1, 0, lambda d, out: torch.ops.aten.threshold_backward.grad_input(d, out, 0, grad_input=d)
    ),
}


class Layer(NamedTuple):
    """Views into the flat tensors: weight (P, out, in), bias (P, out, 1) and their gradients."""

    weight: Tensor
    bias: Tensor
    weight_grad: Tensor
    bias_grad: Tensor


class Trace(NamedTuple):
    """What a forward pass leaves for the backward pass: the input of every layer, and the output."""

    inputs: list[Tensor]  # each (P, width of the layer's input, n)
    out: Tensor  # (P, n, width)


class ActorCritic:
    """Separate networks for policy and value, P members at once.

    Args:
        members: P, at least 2 (a single member is paired with a twin by the caller).
        inputs: width of the input, already padded.
        outputs: width of the policy's output, already padded; of the value's only the first counts.
        log_std: width of the state-independent log standard deviation, 0 for none.
        activation: of the hidden layers, `tanh` or `relu`.
    """

    def __init__(
        self,
        members: int,
        inputs: int,
        outputs: int,
        hidden: Sequence[int],
        *,
        log_std: int,
        activation: str = "tanh",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        sizes: list[tuple[str, tuple[int, int]]] = []
        for net, last in (("policy", outputs), ("value", padded(1))):
            widths = [inputs, *hidden, last]
            for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
                sizes += [(f"{net}.{i}.weight", (fan_out, fan_in)), (f"{net}.{i}.bias", (fan_out, 1))]
        if log_std:
            sizes.append(("log_std", (1, log_std)))
        offsets, end = {}, 0
        for name, shape in sizes:
            offsets[name] = (end, shape)
            end += padded(math.prod(shape), _BLOCK)
        self.flat = torch.zeros(members, padded(end, LANES), device=device, dtype=dtype)
        self.grad = torch.zeros_like(self.flat)
        self._offsets = offsets
        self.activation = ACTIVATIONS[activation]
        self.depth = len(hidden) + 1
        self.policy_layers = self._layers("policy")
        self.value_layers = self._layers("value")
        self.log_std = self.view("log_std") if log_std else None  # (P, 1, A)
        self.log_std_grad = self.view("log_std", self.grad) if log_std else None

    def view(self, name: str, flat: Tensor | None = None) -> Tensor:
        """The named block of every member, (P, rows, columns), as a view of `flat` (default: the weights)."""
        flat = self.flat if flat is None else flat
        start, shape = self._offsets[name]
        return flat[:, start : start + math.prod(shape)].view(flat.shape[0], *shape)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._offsets)

    def _layers(self, net: str) -> list[Layer]:
        return [
            Layer(
                self.view(f"{net}.{i}.weight"),
                self.view(f"{net}.{i}.bias"),
                self.view(f"{net}.{i}.weight", self.grad),
                self.view(f"{net}.{i}.bias", self.grad),
            )
            for i in range(self.depth)
        ]

    def initialize(self, member: int, rng: np.random.Generator, *, inputs: int, outputs: int) -> None:
        """Orthogonal weights (gain sqrt 2; policy head 0.01, value head 1) on the unpadded block, zero elsewhere."""
        self.flat[member].zero_()
        for layers, last, head_gain in ((self.policy_layers, outputs, 0.01), (self.value_layers, 1, 1.0)):
            for i, layer in enumerate(layers):
                fan_in = inputs if i == 0 else layer.weight.shape[2]
                fan_out = last if i == self.depth - 1 else layer.weight.shape[1]
                gain = head_gain if i == self.depth - 1 else math.sqrt(2)
                weight = torch.from_numpy(orthogonal(rng, fan_in, fan_out).T * gain)
                layer.weight[member, :fan_out, :fan_in] = weight.to(layer.weight)

    def policy(self, x: Tensor) -> Tensor:
        """Policy outputs (P, n, outputs) for inputs (P, n, inputs)."""
        return self._run(self.policy_layers, x, [])

    def value(self, x: Tensor) -> Tensor:
        """State values (P, n) for inputs (P, n, inputs)."""
        return self._run(self.value_layers, x, [])[..., 0]

    def trace_policy(self, x: Tensor) -> Trace:
        inputs: list[Tensor] = []
        return Trace(inputs, self._run(self.policy_layers, x, inputs))

    def trace_value(self, x: Tensor) -> Trace:
        inputs: list[Tensor] = []
        return Trace(inputs, self._run(self.value_layers, x, inputs))

    def _run(self, layers: list[Layer], x: Tensor, inputs: list[Tensor]) -> Tensor:
        """Outputs (P, n, width) for `x` (P, n, inputs); appends the input of every layer, (P, in, n), to `inputs`."""
        x = x.transpose(1, 2)
        for layer in layers[:-1]:
            inputs.append(x)
            scale = self.activation.scale
            x = self.activation.apply_(torch.baddbmm(layer.bias, layer.weight, x, beta=scale, alpha=scale))
        inputs.append(x)
        return torch.baddbmm(layers[-1].bias, layers[-1].weight, x).transpose(1, 2)

    def backward_policy(self, trace: Trace, d_out: Tensor) -> None:
        """Write the policy network's gradient for the output gradient `d_out` (P, n, outputs)."""
        self._backward(self.policy_layers, trace, d_out)

    def backward_value(self, trace: Trace, d_value: Tensor) -> None:
        """Write the value network's gradient for `d_value` (P, n)."""
        d_out = torch.zeros_like(trace.out)
        d_out[..., 0] = d_value
        self._backward(self.value_layers, trace, d_out)

    def _backward(self, layers: list[Layer], trace: Trace, d: Tensor) -> None:
        """Overwrites the layers' gradients with those for the gradient `d` (P, n, width) of the output."""
        d = d.transpose(1, 2)
        for i in range(self.depth - 1, -1, -1):
            layer, x = layers[i], trace.inputs[i]
            if x.shape[1] <= _NARROW:
                layer.weight_grad.copy_(torch.bmm(x, d.transpose(1, 2)).transpose(1, 2))
            else:
                layer.weight_grad.copy_(torch.bmm(d, x.transpose(1, 2)))
            layer.bias_grad.copy_(d.sum(2, keepdim=True))
            if i:
                d = self.activation.backward_(torch.bmm(layer.weight.transpose(1, 2), d), x)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A (rows, columns) matrix with orthonormal rows or columns, uniformly distributed."""
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diagonal(r))
    return q if rows >= columns else q.T
