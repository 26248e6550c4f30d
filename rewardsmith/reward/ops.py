"""The operations a graph may contain. Anything that is not in this table cannot be loaded, whatever it is called.

To add one: it must be pure (its schema mutates nothing, draws no random numbers, reads no uninitialized memory), its
output shape must follow from its input shapes, and bad values must not be able to crash a device. Tests check the
schemas of the whole table.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

_POINTWISE = """
abs neg exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan sinh cosh tanh asinh acosh
atanh sigmoid relu silu gelu mish elu leaky_relu softplus log_sigmoid_forward hardtanh hardsigmoid hardswish celu selu
erf erfc erfinv floor ceil round round.decimals trunc frac sign sgn isnan isinf nan_to_num deg2rad rad2deg sinc
logical_not bitwise_not threshold add.Tensor add.Scalar sub.Tensor sub.Scalar rsub.Tensor rsub.Scalar mul.Tensor
mul.Scalar div.Tensor div.Scalar div.Tensor_mode div.Scalar_mode floor_divide floor_divide.Scalar remainder.Tensor
remainder.Scalar remainder.Scalar_Tensor fmod.Tensor fmod.Scalar pow.Tensor_Tensor pow.Tensor_Scalar pow.Scalar maximum
minimum fmax fmin atan2 hypot copysign.Tensor copysign.Scalar xlogy.Tensor xlogy.Scalar_Other xlogy.Scalar_Self
logaddexp logaddexp2 heaviside lerp.Tensor lerp.Scalar addcmul addcdiv eq.Tensor eq.Scalar ne.Tensor ne.Scalar
lt.Tensor lt.Scalar le.Tensor le.Scalar gt.Tensor gt.Scalar ge.Tensor ge.Scalar logical_and logical_or logical_xor
bitwise_and.Tensor bitwise_and.Scalar bitwise_or.Tensor bitwise_or.Scalar bitwise_xor.Tensor bitwise_xor.Scalar isclose
clamp clamp.Tensor clamp_min clamp_min.Tensor clamp_max clamp_max.Tensor where.self masked_fill.Scalar
masked_fill.Tensor mse_loss smooth_l1_loss huber_loss bucketize.Tensor
"""

_REDUCTIONS = """
sum sum.dim_IntList mean mean.dim prod prod.dim_int nansum amax amin aminmax max max.dim min min.dim any any.dim
any.dims all all.dim all.dims argmax argmin var.correction std.correction var_mean.correction logsumexp
linalg_vector_norm norm.ScalarOpt_dim count_nonzero.dim_IntList median.dim cumsum cumprod cummax cummin logcumsumexp
sort sort.stable topk _softmax _log_softmax
"""

_VIEWS = """
view _unsafe_view reshape expand permute transpose.int t squeeze.dim squeeze.dims unsqueeze select.int slice.Tensor
diagonal_copy expand_copy unbind.int split.Tensor split_with_sizes diagonal unfold flip roll repeat cat stack
constant_pad_nd tril triu select_scatter slice_scatter fill.Scalar fill.Tensor _to_copy
"""

_LOOKUPS = "index.Tensor index_select gather scatter.value scatter.src embedding"

_PRODUCTS = "mm bmm mv dot addmm baddbmm linalg_cross"

_MAKERS = "zeros ones full arange arange.start arange.start_step linspace scalar_tensor eye"

GETITEM = "getitem"  # (multi-output value, index): one of the outputs of an op like max.dim
SYM_SIZE = "sym_size"  # (tensor, dim): a size that depends on the batch; only for sizes of other tensors
SYM_MUL = "sym_mul"  # (size, positive int): for reshapes that fold a feature dimension into the batch

DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name) for name in ("float32", "float64", "int64", "int32", "bool", "uint8")
}

# Ops along a dimension: along the batch they would mix rows.
_ALONG_DIM = """
cumsum cumprod cummax cummin logcumsumexp sort topk sort.stable _softmax _log_softmax cat
"""
_ALONG_DIMS = "flip roll"

# Their result takes only shape and dtype from the first argument, never values.
_SHAPE_ONLY = "zeros_like ones_like full_like new_zeros new_ones new_full"

# The only ops that may take a size that depends on the batch, so that no value can.
_SIZE_TAKING = """
view _unsafe_view reshape expand zeros ones full arange arange.start arange.start_step new_zeros new_ones new_full
slice.Tensor repeat
"""

# How a tensor lies in memory changes no value; the tracer drops these and the loader does not know them.
IGNORED_ARGUMENTS = frozenset({"layout", "pin_memory", "memory_format", "non_blocking"})

LIST_RETURNING = frozenset({"aten.unbind.int", "aten.split.Tensor", "aten.split_with_sizes.default"})


def _full_names(*groups: str) -> list[str]:
    names = " ".join(groups).split()
    return [f"aten.{name}" if "." in name else f"aten.{name}.default" for name in names]


MAKERS: frozenset[str] = frozenset(_full_names(_MAKERS))  # they are always given the device of the inputs
SHAPE_ONLY: frozenset[str] = frozenset(_full_names(_SHAPE_ONLY))
ALLOWED: frozenset[str] = (
    frozenset(_full_names(_POINTWISE, _REDUCTIONS, _VIEWS, _LOOKUPS, _PRODUCTS)) | MAKERS | SHAPE_ONLY
)
ALONG: dict[str, str] = {
    **dict.fromkeys(_full_names(_ALONG_DIM), "dim"),
    **dict.fromkeys(_full_names(_ALONG_DIMS), "dims"),
}  # name of the argument that says which dimension
SIZE_TAKING: frozenset[str] = frozenset(_full_names(_SIZE_TAKING))


@functools.cache
def overload(name: str) -> Any:
    """The torch operator of an allowed name such as `aten.add.Tensor`.

    Raises:
        KeyError: the name is not in the table.
    """
    if name not in ALLOWED:
        raise KeyError(name)
    _, packet, variant = name.split(".")
    return getattr(getattr(torch.ops.aten, packet), variant)


@functools.cache
def argument_types(name: str) -> tuple[tuple[tuple[str, str], ...], dict[str, str], int]:
    """Of an allowed op: positional arguments as (name, type), keyword-only ones, and how many have no default."""
    arguments = [a for a in overload(name)._schema.arguments if a.name not in IGNORED_ARGUMENTS]
    positional = tuple((a.name, str(a.real_type)) for a in arguments if not a.kwarg_only)
    keyword = {a.name: str(a.real_type) for a in arguments if a.kwarg_only}
    return positional, keyword, sum(not a.has_default_value() for a in arguments if not a.kwarg_only)
