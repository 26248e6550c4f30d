"""The loader believes nothing: attacks on the graph as data."""

# ruff: noqa: E501 (tables read better with one case a line)

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from rewardsmith.errors import RewardRefused
from rewardsmith.reward import ops
from rewardsmith.reward.findings import FINDINGS
from rewardsmith.reward.graph import MAX_CONSTANT_ELEMENTS, MAX_NODES, parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.types import ActionSpec, RewardInterface
from tests.reward.corpus.interface import INTERFACE

HEIGHT = {"source": "next_obs", "name": "height", "shape": [], "dtype": "float32"}
VELOCITY = {"source": "next_obs", "name": "velocity", "shape": [3], "dtype": "float32"}
WEIGHT = {"source": "parameter", "name": "w", "shape": [], "dtype": "float64"}


def graph() -> dict[str, Any]:
    """A valid graph: total = height * w + velocity.sum(-1). Values: 0-2 inputs, 3 constant, 4.. nodes."""
    data = {
        "version": 1,
        "interface": INTERFACE.digest,
        "features": [feature.name for feature in INTERFACE.features],
        "parameters": {"w": 0.5},
        "structural": [],
        "memory": [],
        "reward": {
            "inputs": [HEIGHT, VELOCITY, WEIGHT],
            "constants": [{"shape": [2], "dtype": "float32", "data": [1.0, {"float": "inf"}]}],
            "nodes": [
                {"op": "aten.mul.Tensor", "args": [{"ref": 0}, {"ref": 2}], "kwargs": {}},
                {"op": "aten.sum.dim_IntList", "args": [{"ref": 1}, [-1]], "kwargs": {}},
                {"op": "aten.add.Tensor", "args": [{"ref": 4}, {"ref": 5}], "kwargs": {"alpha": 1}},
            ],
            "outputs": {"total": 6, "component.height": 4},
        },
        "potential": None,
    }
    return copy.deepcopy(data)


def node(op: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"op": op, "args": list(args), "kwargs": kwargs}


def first(data: dict[str, Any], replacement: dict[str, Any]) -> None:
    data["reward"]["nodes"][0] = replacement


def shaped(data: dict[str, Any], *shape: int) -> None:
    """A constant without elements, of some shape."""
    data["reward"]["constants"][0] = {"shape": list(shape), "dtype": "float32", "data": []}


ATTACKS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "unknown_op": (lambda g: first(g, node("aten.system.default", {"ref": 0})), "graph.op"),
    "python_path_as_op": (lambda g: first(g, node("os.system", "id")), "graph.op"),
    "dunder_op": (lambda g: first(g, node("aten.__class__.default", {"ref": 0})), "graph.op"),
    "other_namespace": (lambda g: first(g, node("prims.device_put.default", {"ref": 0})), "graph.op"),
    "random_op": (lambda g: first(g, node("aten.rand_like.default", {"ref": 0})), "graph.op"),
    "uninitialized_op": (lambda g: first(g, node("aten.empty_like.default", {"ref": 0})), "graph.op"),
    "mutating_op": (lambda g: first(g, node("aten.add_.Tensor", {"ref": 0}, 1)), "graph.op"),
    "file_op": (lambda g: first(g, node("aten.from_file.default", "/etc/passwd")), "graph.op"),
    "strided_op": (lambda g: first(g, node("aten.as_strided.default", {"ref": 0}, [10**9], [1])), "graph.op"),
    "overflowing_constant": (lambda g: shaped(g, 2**62, 2**62, 0), "graph.constant"),
    "endless_constant": (lambda g: shaped(g, 2**64, 0), "graph.constant"),
    "no_dimensions": (lambda g: first(g, node("aten.sum.dim_IntList", {"ref": 0}, [])), "graph.arguments"),
    "forward_reference": (lambda g: first(g, node("aten.mul.Tensor", {"ref": 0}, {"ref": 6})), "graph.arguments"),
    "self_reference": (lambda g: first(g, node("aten.mul.Tensor", {"ref": 4}, {"ref": 4})), "graph.arguments"),
    "negative_reference": (lambda g: first(g, node("aten.mul.Tensor", {"ref": -1}, {"ref": 0})), "graph.arguments"),
    "boolean_reference": (lambda g: first(g, node("aten.mul.Tensor", {"ref": True}, {"ref": 0})), "graph.arguments"),
    "text_reference": (lambda g: first(g, node("aten.mul.Tensor", {"ref": "0"}, {"ref": 0})), "graph.arguments"),
    "extra_key": (lambda g: first(g, node("aten.mul.Tensor", {"ref": 0, "x": 1}, {"ref": 0})), "graph.arguments"),
    "too_few": (lambda g: first(g, node("aten.mul.Tensor", {"ref": 0})), "graph.arguments"),
    "too_many": (lambda g: first(g, node("aten.mul.Tensor", {"ref": 0}, 1, 2)), "graph.arguments"),
    "unknown_keyword": (lambda g: first(g, node("aten.mul.Tensor", {"ref": 0}, 1, out={"ref": 0})), "graph.arguments"),
    "pinned_memory": (lambda g: first(g, node("aten.zeros.default", [3], pin_memory=True)), "graph.arguments"),
    "text_for_number": (lambda g: first(g, node("aten.add.Tensor", {"ref": 0}, "1")), "graph.arguments"),
    "real_device": (lambda g: first(g, node("aten.zeros.default", [3], device={"device": "cuda:7"})), "graph.arguments"),
    "real_dtype": (lambda g: first(g, node("aten._to_copy.default", {"ref": 0}, dtype={"dtype": "qint8"})), "graph.arguments"),
    "number_from_tensor": (lambda g: first(g, node("aten.clamp.default", {"ref": 0}, {"ref": 2})), "graph.arguments"),
    "size_of_nothing": (lambda g: first(g, node("sym_size", 3, 0)), "graph.arguments"),
    "size_as_number": (
        lambda g: g["reward"].update(
            nodes=[node("sym_size", {"ref": 0}, 0), node("aten.full.default", [3], {"ref": 4})], outputs={"total": 5}
        ),
        "graph.arguments",
    ),
    "size_times_zero": (lambda g: first(g, node("sym_mul", {"ref": 0}, 2)), "graph.arguments"),
    "shapes_do_not_fit": (lambda g: first(g, node("aten.mm.default", {"ref": 0}, {"ref": 1})), "graph.arguments"),
    "dimension_out_of_range": (lambda g: first(g, node("aten.sum.dim_IntList", {"ref": 0}, [7])), "graph.arguments"),
    "terabyte": (lambda g: g["reward"]["nodes"].append(node("aten.zeros.default", [10**12])), "graph.cost"),
    "long_range": (lambda g: g["reward"]["nodes"].append(node("aten.arange.default", 10**9)), "graph.cost"),
    "far_range": (  # one number by its shape, 1024 when it runs
        lambda g: g["reward"]["nodes"].append(node("aten.arange.start_step", 2**62 + 512, 2**62 + 513, 1.0)),
        "graph.arguments",
    ),
    "wide_expand": (
        lambda g: g["reward"]["nodes"].append(node("aten.repeat.default", {"ref": 1}, [1, 10**6])),
        "graph.cost",
    ),
    "square": (
        lambda g: g["reward"].update(
            nodes=[
                node("aten.unsqueeze.default", {"ref": 0}, 1),
                node("aten.unsqueeze.default", {"ref": 0}, 0),
                node("aten.mul.Tensor", {"ref": 4}, {"ref": 5}),
                node("aten.sum.dim_IntList", {"ref": 6}, [1]),
            ],
            outputs={"total": 7},
        ),
        "graph.cost",
    ),
    "square_through_repeat": (
        lambda g: g["reward"].update(
            nodes=[node("sym_size", {"ref": 0}, 0), node("aten.new_zeros.default", {"ref": 0}, [{"ref": 4}, {"ref": 4}])],
            outputs={"total": 0},
        ),
        "graph.cost",
    ),
    "half_of_the_rows": (
        lambda g: g["reward"]["nodes"].append(node("aten.slice.Tensor", {"ref": 0}, 0, 0, 9223372036854775807, 2)),
        "graph.batch_size",
    ),
    "without_the_first_row": (
        lambda g: g["reward"]["nodes"].append(node("aten.slice.Tensor", {"ref": 0}, 0, 1)),
        "graph.batch_size",
    ),
    "rows_taken_apart": (
        lambda g: g["reward"]["nodes"].append(node("aten.unbind.int", {"ref": 0}, 0)),
        "graph.batch_size",
    ),
    "mean_of_rows": (
        lambda g: g["reward"]["nodes"].append(node("aten.mean.default", {"ref": 0})),
        "graph.batch_coupling",
    ),
    "one_row": (lambda g: g["reward"]["nodes"].append(node("aten.select.int", {"ref": 0}, 0, 0)), "graph.batch_coupling"),
    "rows_accumulated": (
        lambda g: g["reward"]["nodes"].append(node("aten.cumsum.default", {"ref": 0}, 0)),
        "graph.batch_coupling",
    ),
    "rows_accumulated_backwards": (
        lambda g: g["reward"]["nodes"].append(node("aten.cumsum.default", {"ref": 1}, -2)),
        "graph.batch_coupling",
    ),
    "rows_flipped": (
        lambda g: g["reward"]["nodes"].append(node("aten.flip.default", {"ref": 0}, [0])),
        "graph.batch_coupling",
    ),
    "too_many_nodes": (
        lambda g: g["reward"]["nodes"].extend([node("aten.neg.default", {"ref": 0})] * MAX_NODES),
        "graph.size",
    ),
    "huge_constants": (
        lambda g: g["reward"].update(
            constants=[{"shape": [MAX_CONSTANT_ELEMENTS + 1], "dtype": "float32", "data": [0.0] * (MAX_CONSTANT_ELEMENTS + 1)}]
        ),
        "graph.size",
    ),
    "constant_too_short": (lambda g: g["reward"]["constants"][0].update(shape=[10**9]), "graph.constant"),
    "constant_with_text": (lambda g: g["reward"]["constants"][0].update(data=[1.0, "x"]), "graph.constant"),
    "constant_of_objects": (lambda g: g["reward"]["constants"][0].update(dtype="object"), "graph.constant"),
    "unknown_feature": (lambda g: g["reward"]["inputs"][0].update(name="metric"), "graph.inputs"),
    "feature_of_another_shape": (lambda g: g["reward"]["inputs"][0].update(shape=[9]), "graph.inputs"),
    "feature_twice": (lambda g: g["reward"]["inputs"].append(HEIGHT), "graph.inputs"),
    "terminated_before_the_step": (
        lambda g: g["reward"]["inputs"].append({"source": "obs", "name": "terminated", "dtype": "bool"}),
        "graph.inputs",
    ),
    "memory_without_memory": (
        lambda g: g["reward"]["inputs"].append({"source": "memory", "name": "stage", "dtype": "float32"}),
        "graph.inputs",
    ),
    "episode_sums_in_a_reward": (
        lambda g: g["reward"]["inputs"].append({"source": "length", "name": "", "dtype": "float32"}),
        "graph.inputs",
    ),
    "undeclared_parameter": (lambda g: g["parameters"].clear(), "graph.inputs"),
    "no_total": (lambda g: g["reward"]["outputs"].pop("total"), "graph.outputs"),
    "output_out_of_range": (lambda g: g["reward"]["outputs"].update(total=99), "graph.outputs"),
    "output_of_wrong_shape": (lambda g: g["reward"]["outputs"].update(total=1), "graph.outputs"),
    "output_is_a_parameter": (lambda g: g["reward"]["outputs"].update(total=2), "graph.outputs"),
    "output_name": (lambda g: g["reward"]["outputs"].update({"component.<script>": 4}), "graph.outputs"),
    "output_without_kind": (lambda g: g["reward"]["outputs"].update(success=4), "graph.outputs"),
    "unknown_field": (lambda g: g.update(code="import os"), "graph.format"),
    "wrong_version": (lambda g: g.update(version=2), "graph.format"),
    "parameter_not_finite": (lambda g: g.update(parameters={"w": float("inf")}), "graph.format"),
    "parameter_name": (lambda g: g.update(parameters={"w": 1.0, "../x": 1.0}), "graph.format"),
    "structural_unknown": (lambda g: g.update(structural=["v"]), "graph.format"),
    "other_interface": (lambda g: g.update(interface="0" * 12), "graph.interface"),
    "other_features": (lambda g: g.update(features=["height"]), "graph.interface"),
    "memory_too_large": (
        lambda g: g.update(memory=[{"name": "m", "shape": [17], "dtype": "float32", "initial": [0.0] * 17}]),
        "graph.memory",
    ),
    "memory_value_short": (
        lambda g: g.update(memory=[{"name": "m", "shape": [2], "dtype": "float32", "initial": [0.0]}]),
        "graph.memory",
    ),
    "memory_not_returned": (
        lambda g: g.update(memory=[{"name": "m", "shape": [], "dtype": "float32", "initial": [0.0]}]),
        "graph.outputs",
    ),
    "potential_sees_the_future": (lambda g: g.update(potential=copy.deepcopy(g["reward"])), "graph.inputs"),
}  # fmt: skip


def test_the_untouched_graph_is_accepted() -> None:
    parsed = parse_graph(graph(), INTERFACE)
    assert parsed == parse_graph(json.dumps(graph()), INTERFACE)
    assert len(parsed.graph_id) == 12


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused(name: str) -> None:
    attack, expected = ATTACKS[name]
    data = graph()
    attack(data)
    with pytest.raises(RewardRefused) as refusal:
        parse_graph(data, INTERFACE)
    assert refusal.value.id == expected, refusal.value
    assert expected in FINDINGS and refusal.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{", "1e999", "null", '"x"', "[" * 50_000, '{"version": 1}', b"\xff\xfe"])
def test_text_that_is_no_graph(text: str | bytes) -> None:
    with pytest.raises(RewardRefused) as refusal:
        parse_graph(text, INTERFACE)
    assert refusal.value.id == "graph.format"


def test_text_that_is_too_long() -> None:
    with pytest.raises(RewardRefused) as refusal:
        parse_graph(" " * 5_000_000, INTERFACE)
    assert refusal.value.id == "graph.size"


def test_a_graph_is_bound_to_its_interface() -> None:
    other = RewardInterface(features=INTERFACE.features, action=ActionSpec(kind="discrete", n=3))
    with pytest.raises(RewardRefused) as refusal:
        parse_graph(graph(), other)
    assert refusal.value.id == "graph.interface"


def test_every_allowed_operation_is_pure() -> None:
    for name in ops.ALLOWED:
        schema = ops.overload(name)._schema
        assert not schema.is_mutable, name
        assert not any("Generator" in str(argument.real_type) for argument in schema.arguments), name
        assert not any(word in name for word in ("rand", "empty", "dropout", "bernoulli", "strided", "file")), name


def test_tables_name_allowed_operations_only() -> None:
    assert set(ops.ALONG) | ops.SHAPE_ONLY | ops.SIZE_TAKING | ops.LIST_RETURNING <= ops.ALLOWED
    with pytest.raises(KeyError):
        ops.overload("aten.rand.default")


def test_values_made_without_a_device_go_where_the_inputs_are() -> None:
    data = graph()
    data["reward"]["nodes"] += [
        node("aten.zeros.default", [3]),
        node("aten.add.Tensor", {"ref": 1}, {"ref": 7}),
        node("aten.sum.dim_IntList", {"ref": 8}, [-1]),
    ]
    data["reward"]["outputs"]["total"] = 9
    program = RewardProgram(parse_graph(data, INTERFACE))
    with FakeTensorMode():
        frame = {"height": torch.empty(4, device="cuda"), "velocity": torch.empty((4, 3), device="cuda")}
        assert program({}, torch.empty((4, 2), device="cuda"), frame).total.device.type == "cuda"
