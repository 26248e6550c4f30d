"""What is wrong, where, and what to write instead: in the words of the contract, for people and small models."""

# ruff: noqa: E501 (tables read better with one case a line)

from __future__ import annotations

import json
import re

import pytest

from rewardsmith.jail import Jail
from rewardsmith.reward.advice import hint_for, in_plain_words
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.gate import check_source
from tests.reward.corpus.interface import INTERFACE
from tests.reward.corpus.refused import GATE, GRAPH, TRACE, H, body

OK = "return h, {}"
V = 'v = next_obs["velocity"]'
# name: (code, id, line, part of the message, part of the hint)
CASES: dict[str, tuple[str, str, int, str, str]] = {
    "shapes": (body(H, "r = h + action", "return r, {}"), "trace.error", 3, "size of tensor a (N) must match the size of tensor b (2)", "x.unsqueeze(-1)"),
    "product": (body(V, "return next_obs['position'] @ v, {}"), "trace.error", 3, "[N, 3]", "(a * b).sum(dim=-1)"),
    "batch_product": (body("return next_obs['velocity'] @ next_obs['joints'], {}"), "trace.error", 2, "[N, 3]", "(a * b).sum(dim=-1)"),
    "sum": (body(V, "s = v.sum()", H, "return h + s, {}"), "graph.batch_coupling", 3, "`sum` puts the rows", "use dim=-1"),
    "norm": (body(V, H, "return h - torch.norm(v), {}"), "graph.batch_coupling", 4, "`norm` puts the rows", "use dim=-1"),
    "standardized": (body(H, "z = (h - h.mean()) / h.std()", "return z, {}"), "graph.batch_coupling", 3, "`mean` puts the rows", "leave it away for a feature of shape (N,)"),
    "one_row": (body(H, "return h - h[0], {}"), "graph.batch_coupling", 3, "`x[i]` puts the rows", "x[:, 0]"),
    "softmax": (body(H, "p = torch.softmax(h, dim=0)", "return p, {}"), "graph.batch_coupling", 3, "`softmax` runs along the rows", "dim=-1"),
    "helper": ("def f(x):\n    y = x * 2\n    return y.sum()\n\n" + body(H, "return h + f(h), {}"), "graph.batch_coupling", 3, "`sum`", "dim=-1"),
    "potential": (body(H, OK) + "\ndef potential(obs):\n    x = obs['height']\n    return x - x.mean()\n", "graph.batch_coupling", 7, "`mean`", "dim=-1"),
    "square": (body(V, "g = v @ v.T", "return torch.diag(g), {}"), "graph.cost", 3, "square of the number of rows", "(a * b).sum(dim=-1)"),
    "wide": (body(V, "w = v.repeat(1, 5000)", "return w.sum(-1), {}"), "graph.cost", 3, "15,000 elements per row", ""),
    "component_of_the_batch": (body(V, H, "return h, {'time': v.norm()}"), "trace.output", 4, "component 'time' has shape () instead of (N,): it is one number for the whole batch. A reduction without dim", ""),
    "component_of_features": (body(V, H, "return h, {'v': v}"), "trace.output", 4, "pick one entry with [:, 0]", ""),
    "column": (body(H, "return h.unsqueeze(1), {}"), "trace.output", 3, ".squeeze(-1)", ""),
    "plain_number": (body(H, "return h, {'alive': 1.0}"), "trace.output", 3, "torch.full_like(x, 1.0)", ""),
    "if": (body(H, "if h > 0.5:", "    h = -h", OK), "trace.data_dependent", 3, "", "torch.where(h > 0.5, case, other)"),
    "if_any": (body(H, "if (h > 0.5).any():", "    h = -h", OK), "trace.data_dependent", 3, "", "torch.where(h > 0.5, case, other)"),
    "ternary": (body(H, "r = 1.0 if h > 0.5 else 0.0", OK), "trace.data_dependent", 3, "", "torch.where(h > 0.5, 1.0, 0.0)"),
    "chained": (body(H, "r = (0.1 < h < 0.5) * 1.0", OK), "trace.data_dependent", 3, "", "(0.1 < h) & (h < 0.5)"),
    "and": (body(H, "r = h > 0 and h < 1", OK), "trace.data_dependent", 3, "", "(h > 0) & (h < 1)"),
    "or": (body(H, "r = h > 0 or torch.exp(h) < 1", OK), "trace.data_dependent", 3, "", "(h > 0) | (torch.exp(h) < 1)"),
    "not": (body(H, "r = not next_obs['contact']", OK), "trace.data_dependent", 3, "", "~(next_obs['contact'])"),
    "max": (body(H, "r = max(h, 0.5 * h)", OK), "trace.data_dependent", 3, "", "torch.maximum(h, 0.5 * h)"),
    "float": (body(H, "r = h * float(h)", OK), "trace.data_dependent", 3, "", "write h instead of float(h)"),
    "mask": (body(H, "r = torch.zeros_like(h)", "r[h > 0] = h[h > 0] * 2", "return r, {}"), "trace.data_dependent", 4, "", "torch.where(h > 0, h, 0.0) instead of h[h > 0]"),
    "rows_as_a_number": (body(H, "k = h.shape[0] / 2", "return h * k, {}"), "trace.batch_size", 3, "number of rows", "never in arithmetic"),
    "rows_as_an_integer": (body(H, "k = int(h.shape[0])", "return h * k, {}"), "trace.batch_size", 3, "becomes a plain number", "never in arithmetic"),
    "loop_over_rows": (body(H, "r = torch.stack([x for x in h])", "return r, {}"), "trace.batch_size", 3, "number of rows", "loop"),
    "branch_on_rows": (body(H, "if len(h) > 100:", "    h = h * 2", OK), "trace.batch_size", 3, "number of rows", "`if`"),
    "changed": (body(H, "h += 1", OK), "trace.mutation", 3, "next_obs['height'] is changed in place", ".clone()"),
    "changed_entry": (body("next_obs['velocity'][:, 0] = 0", H, OK), "trace.mutation", 2, "next_obs['velocity'] is changed", ".clone()"),
    "operation": (body("h = next_obs['height'].clone()", "h[obs['room']] = h", OK), "trace.operation", 3, "`x[index] = value`", ""),
    "memory": ("def initial_memory(n):\n    return {'a': torch.zeros(n, 17)}\n\ndef compute_reward(obs, action, next_obs, memory):\n    return next_obs['height'], {}, memory\n", "trace.memory", 1, "16 numbers", ""),
    "memory_shape": ("def initial_memory(n):\n    return {'a': torch.zeros(n)}\n\ndef compute_reward(obs, action, next_obs, memory):\n    return next_obs['height'], {}, {'a': next_obs['velocity']}\n", "trace.memory", 5, "shape (N)", ""),
}  # fmt: skip
NO_LINE = {"deep_python_numbers", "endless_loop", "memory_bomb"}  # killed from outside, or anywhere


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str, jail: Jail) -> None:
    code, id, line, message, hint = CASES[name]
    found = compile_reward(code, INTERFACE, jail).findings[0]
    assert (found.id, found.line) == (id, line), found
    assert message in found.message and hint in found.hint, found
    assert "aten" not in found.message and not re.search(r"\bs\d+\b", found.message)


@pytest.mark.parametrize("name", sorted((TRACE | GRAPH).keys() - NO_LINE))
def test_every_refusal_of_the_tracer_and_the_loader_has_a_line(name: str, jail: Jail) -> None:
    code, _ = (TRACE | GRAPH)[name]
    found = compile_reward(code, INTERFACE, jail).findings[0]
    assert found.line is not None and 1 <= found.line <= code.count("\n") + 1, found
    assert found.message and found.hint


def test_every_refusal_of_the_gate_has_a_line() -> None:
    for name, (code, _) in GATE.items():
        for found in check_source(code, INTERFACE).findings:
            whole_file = found.id == "gate.size" or "there is no function" in found.message
            assert found.line is not None or whole_file, (name, found)


def test_a_change_through_a_view_is_refused_too(jail: Jail) -> None:
    found = compile_reward(body("v = next_obs['velocity'][:, 0]", "v += 1", "return v, {}"), INTERFACE, jail).findings[
        0
    ]
    assert found.id == "trace.mutation" and ".clone()" in found.hint


@pytest.mark.parametrize(
    "lines",
    [None, 3, [], "x", {"reward": None}, {"reward": 3}, {"reward": []}, {"reward": ["x"] * 9}, {"reward": [[]] * 9}, {"reward": [-5] * 9},
     {"reward": [10**30] * 9}, {"reward": [True] * 9}, {"reward": [2.0] * 9}, {"reward": {"0": 1}}, {"potential": [1] * 9}],
)  # fmt: skip
def test_lines_from_the_jail_are_not_believed(lines: object, jail: Jail) -> None:
    class Liar:
        def call(self, payload: dict) -> bytes:
            return json.dumps(json.loads(jail.call(payload)) | {"lines": lines}).encode()

    found = compile_reward(body(H, "return h - h.mean(), {}"), INTERFACE, Liar()).findings[0]  # type: ignore[arg-type]
    assert found.id == "graph.batch_coupling" and found.line in (None, 1, 2, 3)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("aten.sum.dim_IntList puts", "`sum` puts"),
        ("aten._softmax.default runs", "`softmax` runs"),
        ("the operation aten.index_put_.default is", "the operation `index_put` is"),
        ("(in aten.div.Tensor)", "(in `div`)"),
        ("tensor a (s13) and (s7, 3)", "tensor a (N) and (N, 3)"),
        ("a feature called s1x and vs3", "a feature called s1x and vs3"),
    ],
)
def test_names_of_torch_are_translated(said: str, meant: str) -> None:
    assert in_plain_words(said) == meant


@pytest.mark.parametrize("line", [None, -1, 0, 99])
def test_advice_needs_no_right_line(line: int | None) -> None:
    assert hint_for("trace.data_dependent", "", body(H, OK), line) == ""
