"""Rows stay apart: what mixes them is refused before it runs, and what is accepted treats each row alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rewardsmith.errors import RewardRefused
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.graph import Constant, FunctionGraph, Input, Node
from rewardsmith.reward.verify import check_shapes
from tests.reward.corpus.interface import INTERFACE, transition


def reward(lines: str) -> str:
    head = [
        "h, v, j = next_obs['height'], next_obs['velocity'], next_obs['joints']",
        "room = next_obs['room'].clamp(0, 2)",
    ]
    return "def compute_reward(obs, action, next_obs):\n" + "".join(
        f"    {line}\n" for line in [*head, "n = h.shape[0]", *lines.split("\n")]
    )


MIXING = {
    "shifted_by_padding": "return F.pad(h, (1, -1)), {}",
    "triangle": "return torch.tril(v).sum(-1), {}",
    "first_row_set": "h = h.clone()\nh[0] = 5.0\nreturn h, {}",
    "repeated": "return h.repeat(2).reshape(-1, 2)[:, 1], {}",
    "half_of_repeated": "return h.repeat(2)[:n], {}",
    "rolled_flat": "return v.roll(1)[:, 0], {}",
    "all_rows_as_boundaries": "return torch.bucketize(h, h).float(), {}",
    "all_rows_as_table": "return F.embedding(room, v)[:, 0], {}",
    "gathered": "return v.gather(0, room[:, None].expand(-1, 3))[:, 0], {}",
    "selected": "return torch.index_select(h, 0, room), {}",
    "indexed": "return h[room], {}",
    "scattered_into_the_first": "return torch.scatter(v, 1, torch.zeros(1, 1, dtype=torch.long), 9.0)[:, 0], {}",
    "numbered": "return h + torch.arange(n), {}",
    "numbered_backwards": "return h[torch.arange(n - 1, -1, -1)], {}",
    "number_looked_up": "return torch.ones(3)[torch.arange(n) * 0], {}",
    "tiled_by_expand": "return h[None].expand(2, n).reshape(-1)[:n], {}",
}
DECIDING = {
    "is_one": "return h * (1 if n == 1 else -1), {}",
    "is_more_than_one": "return h * (1 if n > 1 else -1), {}",
    "is_at_least_two": "return h if n >= 2 else -h, {}",
    "length": "return h if len(h) < 2 else -h, {}",
    "shape": "return h if h.shape == (1,) else -h, {}",
    "one_in_shape": "return h if 1 in v.shape else -h, {}",
}
APART = {
    "own_entry": "return v[torch.arange(n), room], {}",
    "own_entries": "return v[torch.arange(n)[:, None], room[:, None]][:, 0], {}",
    "column_set": "v = v.clone()\nv[:, 0] = h\nv[:, 1:] = 0.5\nreturn v.sum(-1), {}",
    "product": "return (j @ torch.ones(4, 2)).sum((1, 2)), {}",
    "product_from_the_left": "return (torch.ones(3, 2) @ j).sum((1, 2)), {}",
    "one_hot": "return F.one_hot(room, 3).float()[:, 1], {}",
    "interleaved": "return h.repeat_interleave(2).reshape(-1, 2).sum(-1), {}",
    "tiled": "return h[:, None].repeat(1, 3).sum(-1), {}",
    "einsum": "return torch.einsum('ki,nij->nkj', torch.ones(5, 2), j).sum((1, 2)), {}",
    "triangle_of_features": "return torch.tril(j).sum((1, 2)), {}",
    "stacked": "return torch.stack([h, -h]).max(0).values, {}",
    "transposed": "return v.T[0] + torch.stack([h, h], 1).T[1], {}",
    "padded_features": "return F.pad(v, (1, 2)).sum(-1), {}",
    "flattened": "return j.reshape(n, 8)[:, 5] + j.flatten(1).sum(-1), {}",
    "table": "return torch.tensor([1.0, 2.0, 3.0])[room] * h, {}",
    "sanity_checks": "assert n > 0 and v.shape[0] == n and v.shape == (n, 3)\nreturn h, {}",
    "scattered": "return torch.zeros(n, 3).scatter(1, room[:, None], h[:, None]).sum(-1), {}",
}


@pytest.mark.parametrize("name", MIXING)
def test_mixing_rows_is_refused(name: str, jail: Jail) -> None:
    found = compile_reward(reward(MIXING[name]), INTERFACE, jail).findings
    assert [f.id for f in found] == ["graph.batch_coupling"] or [f.id for f in found] == ["trace.batch_size"], found


@pytest.mark.parametrize("name", DECIDING)
def test_deciding_by_the_number_of_rows_is_refused(name: str, jail: Jail) -> None:
    """torch takes sizes to be at least 2, so that some of these leave no trace."""
    found = compile_reward(reward(DECIDING[name]), INTERFACE, jail).findings
    assert [f.id for f in found] == ["trace.batch_size"] and found[0].line, found


@pytest.mark.parametrize("name", APART)
def test_rows_that_stay_apart_are_accepted(name: str, jail: Jail) -> None:
    result = compile_reward(reward(APART[name]), INTERFACE, jail)
    assert result.program is not None, result.findings
    obs, action, after = transition(7)
    total = result.program(obs, action, after).total
    order = torch.tensor([4, 2, 6])
    some = result.program(*({k: x[order] for k, x in part.items()} if isinstance(part, dict) else part[order]
                            for part in (obs, action, after))).total  # fmt: skip
    assert torch.equal(some, total[order])


# --- graphs that no source gives -----------------------------------------------------------------------------------

H = {"ref": 0}
V = {"ref": 1}
FORGED: dict[str, list[tuple[str, list[Any], dict[str, Any]]]] = {
    "repeat_by_name": [("aten.repeat.default", [], {"repeats": [2], "self": H}), ("sum", [], {})],
    "pad_by_name": [("aten.constant_pad_nd.default", [], {"pad": [1, -1], "self": H})],
    "roll_without_dims": [("aten.roll.default", [V], {"shifts": [1]}), ("sum", [], {})],
    "roll_with_empty_dims": [("aten.roll.default", [V, [1], []], {}), ("sum", [], {})],
    "flip": [("aten.flip.default", [H, [-1]], {})],
    "cat_behind_a_constant": [("aten.cat.default", [[{"ref": 2}, H, H]], {}), ("sum", [], {})],
    "cat_by_name": [("aten.cat.default", [], {"dim": 0, "tensors": [H, H]}), ("sum", [], {})],
    "table_by_name": [("aten.bucketize.Tensor", [], {"boundaries": H, "self": H})],
    "scatter_into_the_first": [("aten.scatter.value", [H, 0], {"index": {"ref": 3}, "value": 9.0})],
    "sort_by_default": [("aten.sort.default", [H], {}), ("getitem", [{"ref": 4}, 0], {})],
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_graphs_that_mix_rows_are_refused(name: str) -> None:
    nodes: list[Node] = []
    for op, args, kwargs in FORGED[name]:
        last = 3 + len(nodes)
        if op == "sum":  # make (N,) of it
            size = Node(op="sym_size", args=(H, 0))
            flat = Node(op="aten.view.default", args=({"ref": last}, [{"ref": last + 1}, -1]))
            nodes += [size, flat, Node(op="aten.sum.dim_IntList", args=({"ref": last + 2}, [1]))]
        else:
            nodes.append(Node(op=op, args=tuple(args), kwargs=kwargs))
    function = FunctionGraph(
        inputs=(Input(source="next_obs", name="height"), Input(source="next_obs", name="velocity", shape=(3,))),
        constants=(
            Constant(shape=(0,), dtype="float32", data=()),
            Constant(shape=(1,), dtype="int64", data=(0,)),
        ),
        nodes=tuple(nodes),
        outputs={"total": 3 + len(nodes)},
    )
    with pytest.raises(RewardRefused) as refusal:
        check_shapes(function, {"total": ((), "float32")})
    assert refusal.value.id == "graph.batch_coupling", refusal.value
