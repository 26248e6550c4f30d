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
from typing import Literal, NamedTuple

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
    """Views into the flat tensors: weight (2P, out, in), bias (2P, out, 1) and their gradients.

    Matrix 2i belongs to member i's policy, matrix 2i + 1 to its value.
    """

    weight: Tensor
    bias: Tensor
    weight_grad: Tensor
    bias_grad: Tensor


class Trace(NamedTuple):
    """What a forward pass leaves for the backward pass: the input of every layer, and the outputs."""

    inputs: list[Tensor]  # the first (P, inputs, n), then (2P, width, n)
    out: Tensor  # (2P, outputs, n)

    @property
    def policy(self) -> Tensor:
        """(P, n, outputs)."""
        return self.out[0::2].transpose(1, 2)

    @property
    def value(self) -> Tensor:
        """(P, n)."""
        return self.out[1::2, 0]


class ActorCritic:
    """Separate networks for policy and value, P members at once, both of one shape so that they run as 2P networks.

    Args:
        members: P, at least 2 (a single member is paired with a twin by the caller).
        inputs: width of the input, already padded.
        outputs: width of the policy's output, already padded; of the value's only the first counts.
        log_std: width of the state-independent log standard deviation, 0 for none.
        activation: of the hidden layers, `tanh` or `relu`.

    Attributes:
        flat, grad: (P, 2 * half): a member's policy with its log standard deviation, then its value.
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
        sizes: dict[str, tuple[int, int]] = {}
        for i, (fan_in, fan_out) in enumerate(pairwise([inputs, *hidden, outputs])):
            sizes |= {f"{i}.weight": (fan_out, fan_in), f"{i}.bias": (fan_out, 1)}
        if log_std:
            sizes["log_std"] = (1, log_std)
        self._offsets: dict[str, tuple[int, tuple[int, int]]] = {}
        end = 0
        for name, shape in sizes.items():
            self._offsets[name] = (end, shape)
            end += padded(math.prod(shape), _BLOCK)
        self._half = padded(end, LANES)
        self.flat = torch.zeros(members, 2 * self._half, device=device, dtype=dtype)
        self.grad = torch.zeros_like(self.flat)
        self.activation = ACTIVATIONS[activation]
        self._offset = torch.tensor(float(self.activation.offset), device=device, dtype=dtype)
        self.depth = len(hidden) + 1
        self._layers = [
            Layer(
                self._both(f"{i}.weight", self.flat),
                self._both(f"{i}.bias", self.flat),
                self._both(f"{i}.weight", self.grad),
                self._both(f"{i}.bias", self.grad),
            )
            for i in range(self.depth)
        ]
        self.policy_layers = [Layer(*(v[0::2] for v in layer)) for layer in self._layers]
        self.value_layers = [Layer(*(v[1::2] for v in layer)) for layer in self._layers]
        self.log_std = self.view("policy", "log_std") if log_std else None  # (P, 1, A)
        self.log_std_grad = self.view("policy", "log_std", self.grad) if log_std else None

    def _both(self, name: str, flat: Tensor) -> Tensor:
        """The named block of every network, (2P, rows, columns)."""
        start, shape = self._offsets[name]
        return flat.view(-1, self._half)[:, start : start + math.prod(shape)].view(-1, *shape)

    def view(self, net: Literal["policy", "value"], name: str, flat: Tensor | None = None) -> Tensor:
        """A block such as `0.weight`, `2.bias` or `log_std` of every member, (P, rows, columns), as a view."""
        return self._both(name, self.flat if flat is None else flat)[0 if net == "policy" else 1 :: 2]

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
        return self._run(self.policy_layers, x)

    def value(self, x: Tensor) -> Tensor:
        """State values (P, n) for inputs (P, n, inputs)."""
        return self._run(self.value_layers, x)[..., 0]

    def _run(self, layers: Sequence[Layer], x: Tensor) -> Tensor:
        """Outputs (P, n, outputs) of one network of every member."""
        x = x.transpose(1, 2)
        for layer in layers[:-1]:
            x = self._hidden(layer.weight, layer.bias, x)
        return torch.baddbmm(layers[-1].bias, layers[-1].weight, x).transpose(1, 2)

    def _hidden(self, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        a = self.activation
        x = a.core_(torch.baddbmm(bias, weight, x, beta=a.scale, alpha=a.scale))
        return x if (a.factor, a.offset) == (1, 0) else torch.add(self._offset, x, alpha=a.factor, out=x)

    def trace(self, x: Tensor) -> Trace:
        """Both networks on `x` (P, n, inputs). What both read is multiplied with both weights at once."""
        x = x.transpose(1, 2)
        first, *rest = self._layers
        inputs = [x]
        x = self._hidden(_paired(first.weight), _paired(first.bias), x).view(2 * len(x), -1, x.shape[2])
        for layer in rest[:-1]:
            inputs.append(x)
            x = self._hidden(layer.weight, layer.bias, x)
        inputs.append(x)
        return Trace(inputs, torch.baddbmm(rest[-1].bias, rest[-1].weight, x))

    def backward(self, trace: Trace, d: Tensor) -> None:
        """Overwrite the layers' gradients with those for the gradient `d` (2P, outputs, n) of the outputs."""
        for i in range(self.depth - 1, 0, -1):
            layer, x = self._layers[i], trace.inputs[i]
            layer.weight_grad.copy_(torch.bmm(d, x.transpose(1, 2)))
            torch.sum(d, 2, keepdim=True, out=layer.bias_grad)
            d = self.activation.backward_(torch.bmm(layer.weight.transpose(1, 2), d), x)
        layer, x = self._layers[0], trace.inputs[0]
        paired = d.view(len(x), -1, d.shape[2])
        if x.shape[1] <= _NARROW:
            grad = torch.bmm(x, paired.transpose(1, 2)).transpose(1, 2)
        else:
            grad = torch.bmm(paired, x.transpose(1, 2))
        layer.weight_grad.copy_(grad.reshape(layer.weight_grad.shape))
        torch.sum(d, 2, keepdim=True, out=layer.bias_grad)


def _paired(blocks: Tensor) -> Tensor:
    """(2P, rows, columns) to (P, 2 * rows, columns), a member's two networks one below the other; a copy."""
    return blocks.reshape(len(blocks) // 2, -1, blocks.shape[2])


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A (rows, columns) matrix with orthonormal rows or columns, uniformly distributed."""
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diagonal(r))
    return q if rows >= columns else q.T
