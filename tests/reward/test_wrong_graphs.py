"""Rewards that plain symbolic tracing accepts and gets wrong: each is refused, whatever the number of rows hints at."""

from __future__ import annotations

import pytest

from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.types import ActionSpec, FeatureSpec, RewardInterface

# Sizes that a tracer might take for the number of rows: its own hints are such primes.
INTERFACE = RewardInterface(
    features=(
        FeatureSpec(name="h"),
        FeatureSpec(name="wide", shape=(97,)),
        FeatureSpec(name="other", shape=(101,)),
        FeatureSpec(name="room", dtype="int64"),
    ),
    action=ActionSpec(kind="continuous", shape=(103,)),
)
HEAD = "def compute_reward(obs, action, next_obs):\n    h, w, o = next_obs['h'], next_obs['wide'], next_obs['other']\n"
WRONG = {
    "baked_len": ("return h / len(h), {}", "trace.batch_size"),
    "baked_int": ("return h / int(h.shape[0]), {}", "trace.batch_size"),
    "baked_float": ("return h / float(h.shape[0]), {}", "trace.batch_size"),
    "baked_numel": ("return h * h.numel(), {}", "trace.batch_size"),
    "baked_size": ("return h * h.size(0), {}", "trace.batch_size"),
    "baked_in_a_tensor": ("return h * torch.tensor([h.shape[0]]), {}", "trace.batch_size"),
    "baked_in_a_root": ("return h / math.sqrt(h.shape[0]), {}", "trace.batch_size"),
    "row_loop": ("return torch.stack([x * 2 for x in h]), {}", "trace.batch_size"),
    "row_numbers": ("return torch.stack([h[i] for i in range(len(h))]), {}", "trace.batch_size"),
    "merged_with_the_hint": ("return h + torch.zeros(107), {}", ("trace.batch_size", "trace.error")),
    "merged_with_a_feature": ("return h + w[0], {}", ("trace.batch_size", "trace.error")),
    "merged_by_a_product": ("return w.T @ h, {}", ("trace.output", "graph.batch_coupling")),
    "merged_by_reshape": ("return w.reshape(97, -1)[0], {}", "graph.batch_coupling"),
    "merged_two_features": ("return (w[:, :, None] * o[:, None, :]).sum((1, 2)), {}", "graph.cost"),
    "silent_branch": ("if h.shape[0] > 100:\n        h = h * 2\n    return h, {}", "trace.batch_size"),
    "silent_choice": ("return h * (2 if len(h) > 100 else 1), {}", "trace.batch_size"),
    "silent_minimum": ("return h * min(len(h), 100), {}", "trace.batch_size"),
    "silent_slice": ("return h[:100], {}", "trace.output"),
    "silent_constant": ("return h * (2 if h.shape[0] == 4096 else 1), {}", "trace.batch_size"),
    "silent_remainder": ("return h * (2 if h.shape[0] % 64 == 5 else 1), {}", "trace.batch_size"),
    "silent_equality": ("return h * (2 if h.shape[0] == w.shape[1] else 1), {}", "trace.batch_size"),
    "quadratic_diagonal": ("return torch.diag(w @ w.T), {}", "graph.cost"),
    "quadratic_differences": ("return (h[:, None] - h).abs().sum(0), {}", "graph.cost"),
    "quadratic_outer": ("return torch.outer(h, h).sum(1), {}", "graph.cost"),
    "input_changed": ("h += 1\n    return h, {}", "trace.mutation"),
    "input_changed_by_a_mask": ("h[h > 0] = 0.0\n    return h, {}", "trace.mutation"),
    "input_changed_by_an_update": ("h[h > 0] *= 2.0\n    return h, {}", "trace.mutation"),
    "input_changed_through_a_view": ("x = w[:, 0]\n    x.mul_(2)\n    return h, {}", "trace.mutation"),
    "randomness": ("return h + torch.rand(len(h)), {}", "gate.torch"),
    "random_like": ("return h + torch.randn_like(h), {}", "gate.torch"),
    "random_method": ("return h.clone().normal_(), {}", "gate.attribute"),
    "dropout": ("return F.dropout(h), {}", "gate.torch"),
    "uninitialized": ("return h + torch.empty(len(h)), {}", "gate.torch"),
    "uninitialized_by_type": ("return h + torch.Tensor(1), {}", "gate.torch"),
    "order_of_a_set": ("return h * list(set('abc')).index('a'), {}", "gate.name"),
}  # fmt: skip
RIGHT = {
    "size_of_zeros": "return torch.zeros(h.shape[0]) + h, {}",
    "size_of_a_view": "return w.reshape(w.shape[0], -1).sum(-1), {}",
    "features_of_hinted_sizes": "return (w @ torch.ones(97)) + o.sum(-1) + action.sum(-1), {}",
    "rows_of_a_table": "return torch.linspace(0, 1, 107)[next_obs['room']] + h, {}",
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_graphs_are_refused(name: str, jail: Jail) -> None:
    code, expected = WRONG[name]
    result = compile_reward(f"{HEAD}    {code}\n", INTERFACE, jail)
    assert result.program is None
    assert result.findings[0].id in ((expected,) if isinstance(expected, str) else expected), result.findings


@pytest.mark.parametrize("name", RIGHT)
def test_their_right_neighbours_are_accepted(name: str, jail: Jail) -> None:
    result = compile_reward(f"{HEAD}    {RIGHT[name]}\n", INTERFACE, jail)
    assert result.program is not None, result.findings
