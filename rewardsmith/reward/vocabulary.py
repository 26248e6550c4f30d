"""The words a reward may use: plain data, read by the gate (which allows them) and by the tracer (which provides them).

Nothing outside these lists exists for candidate code: the tracer builds the `torch`, `F` and `math` that it sees from
them. A name is here because rewards need it; it must neither read files, nor draw random numbers, nor change its
arguments, nor take its size from data.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")  # parameters, components, memory entries
MAX_PARAMETERS = 256


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TORCH_FUNCTIONS = _words("""
abs absolute acos acosh add addcdiv addcmul all amax amin aminmax any arange arccos arccosh arcsin arcsinh arctan
arctan2 arctanh argmax argmin argsort asin asinh atan atan2 atanh atleast_1d atleast_2d baddbmm bitwise_and bitwise_not
bitwise_or bitwise_xor bmm broadcast_tensors broadcast_to bucketize cat ceil chunk clamp clamp_max clamp_min clip clone
column_stack concat concatenate copysign cos cosh cosine_similarity count_nonzero cross cummax cummin cumprod cumsum
deg2rad diag diagonal diff div divide dot dstack einsum eq erf erfc erfinv exp exp2 expm1 eye fix flatten flip fliplr
flipud float_power floor floor_divide fmax fmin fmod frac full full_like gather ge greater greater_equal gt heaviside
hstack hypot index_select inner is_floating_point is_tensor isclose isfinite isinf isnan lerp less less_equal linspace
log log10 log1p log2 logaddexp logaddexp2 logcumsumexp logical_and logical_not logical_or logical_xor logsumexp lt le
masked_fill matmul max maximum mean median min minimum mm movedim moveaxis mul multiply mv nan_to_num nanmean nansum
narrow ne neg negative norm not_equal numel ones ones_like outer permute positive pow prod rad2deg ravel reciprocal
relu remainder repeat_interleave reshape roll round rsqrt scatter select sigmoid sign sgn sin sinc sinh softmax
log_softmax sort split sqrt square squeeze stack std std_mean sub subtract sum swapaxes swapdims t take_along_dim tan
tanh tensor tile topk transpose trapezoid tril triu true_divide trunc unbind unflatten unsqueeze var var_mean vdot
vstack where xlogy zeros zeros_like as_tensor
""")

TORCH_CONSTANTS = _words(
    "bool float float32 float64 double int int32 int64 long uint8 pi inf nan e Tensor newaxis finfo"
)

LINALG_FUNCTIONS = _words("norm vector_norm cross vecdot")

FUNCTIONAL_FUNCTIONS = _words("""
relu relu6 elu selu celu leaky_relu gelu silu mish softplus softsign softmax log_softmax sigmoid tanh tanhshrink
hardtanh hardsigmoid hardswish hardshrink softshrink logsigmoid threshold one_hot normalize cosine_similarity
pairwise_distance mse_loss l1_loss smooth_l1_loss huber_loss embedding pad softmin
""")

MATH_FUNCTIONS = _words("""
acos asin atan atan2 ceil copysign cos cosh degrees exp fabs floor fmod hypot isclose isfinite isinf isnan ldexp log
log10 log1p log2 pow prod radians sin sinh sqrt tan tanh trunc
""")
MATH_CONSTANTS = _words("pi e tau inf nan")

TENSOR_METHODS = _words("""
abs absolute acos acosh add addcdiv addcmul all amax amin any arccos arcsin arctan arctan2 argmax argmin argsort asin
asinh atan atan2 atanh bitwise_and bitwise_not bitwise_or bitwise_xor bmm bool broadcast_to ceil chunk clamp clamp_max
clamp_min clip clone contiguous copysign cos cosh count_nonzero cross cummax cummin cumprod cumsum deg2rad detach diag
diagonal diff dim div divide dot double eq erf erfc erfinv exp exp2 expand expand_as expm1 fill_ flatten flip float
floor floor_divide fmax fmin fmod frac gather ge greater gt heaviside hypot index_select inner int isclose isfinite
isinf isnan le lerp less log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor logsumexp long
lt masked_fill matmul max maximum mean median min minimum mm movedim mul multiply mv nan_to_num nanmean nansum narrow
ndim ndimension ne neg negative new_full new_ones new_zeros norm numel outer permute positive pow prod rad2deg ravel
reciprocal relu remainder repeat repeat_interleave reshape roll round rsqrt scatter select sigmoid sign sgn sin sinc
sinh size softmax log_softmax sort split sqrt square squeeze std sub subtract sum swapaxes t take_along_dim tan tanh
tile to topk transpose tril triu true_divide trunc type type_as unbind unflatten unfold unsqueeze var view view_as
where xlogy add_ sub_ mul_ div_ clamp_ clamp_min_ clamp_max_ zero_ masked_fill_ abs_ neg_ exp_ tanh_ sqrt_ logical_and_
logical_or_ logical_not_ copy_
""")
TENSOR_ATTRIBUTES = _words("shape dtype device T mT ndim values indices real eps max min tiny")

CONTAINER_METHODS = _words(
    "append extend insert pop items keys values get update setdefault copy index count reverse join startswith "
    "endswith lower upper replace"
)

BUILTINS = _words("""
abs all any bool dict divmod enumerate filter float int isinstance iter len list map max min next ord pow range reversed
round sorted str sum tuple zip True False None
""")

TOOLKIT = _words("""
contains contains_any tolerance sign_only geometric clip delta conjunction sequence eventually always at_most once
""")

# What a refused name most likely wanted. Keys are the last part of a dotted name, or a builtin.
INSTEAD = {
    "item": "keep it a tensor of shape (N,): every row is another transition",
    "tolist": "keep it a tensor; use tensor operations on all rows at once",
    "numpy": "stay in torch: every function you need has a torch counterpart",
    "cpu": "leave tensors on their device; drop the call",
    "cuda": "leave tensors on their device; drop the call",
    "rand": "a reward is a pure function of the transition: remove the randomness",
    "randn": "a reward is a pure function of the transition: remove the randomness",
    "randint": "a reward is a pure function of the transition: remove the randomness",
    "rand_like": "a reward is a pure function of the transition: remove the randomness",
    "randn_like": "a reward is a pure function of the transition: remove the randomness",
    "bernoulli": "a reward is a pure function of the transition: remove the randomness",
    "normal": "a reward is a pure function of the transition: remove the randomness",
    "dropout": "a reward is a pure function of the transition: remove the randomness",
    "manual_seed": "a reward is a pure function of the transition: remove the randomness",
    "nonzero": "the number of hits depends on data; use torch.where(condition, value, 0.0)",
    "unique": "the number of results depends on data; compare with the values you mean instead",
    "masked_select": "the number of hits depends on data; use torch.where(condition, value, 0.0)",
    "empty": "its contents are undefined; use torch.zeros",
    "empty_like": "its contents are undefined; use torch.zeros_like",
    "argwhere": "the number of hits depends on data; use torch.where(condition, value, 0.0)",
    "print": "remove it: nothing is printed while rewards run",
    "hasattr": "all features are listed in the task: use them by name",
    "getattr": 'use features by name: obs["name"]',
    "device": 'use the device of a feature, for example obs["name"].device, or none at all',
    "norm_": "use torch.linalg.norm(x, dim=-1)",
    "set": "use a list or a dict: the order of a set is not defined",
    "format": "use an f-string",
    "new_tensor": "use torch.tensor([...]); values made without a device go where the features are",
    "Tensor": "use torch.tensor([...])",
    "FloatTensor": "use torch.tensor([...])",
    "LongTensor": "use torch.tensor([...], dtype=torch.int64)",
    "requires_grad_": "drop the call",
    "is_available": 'use the device of a feature, for example obs["name"].device, or none at all',
    "cdist": "use torch.linalg.norm(a - b, dim=-1): row i belongs to row i only",
    "quantile": "use torch.sort(x, dim=-1).values[:, k], or median",
    "allclose": "it gives one answer for all rows; use torch.isclose(a, b).all(dim=-1)",
    "equal": "it gives one answer for all rows; use (a == b)",
    "isin": "use (x == 1) | (x == 3)",
    "linalg": "of torch.linalg only norm, vector_norm, cross and vecdot are available",
}
