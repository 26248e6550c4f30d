"""The loader under attack: refused fast, nothing executed; what it accepts runs in bounded memory or fails normally."""

# ruff: noqa: E501 (tables read better with one case a line)

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rewardsmith.errors import RewardRefused
from rewardsmith.jail import Jail
from rewardsmith.reward import ops
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.findings import FINDINGS
from rewardsmith.reward.graph import RewardGraph, parse_graph
from rewardsmith.reward.interpreter import Compiled
from tests.reward.corpus.benign import BENIGN
from tests.reward.corpus.interface import INTERFACE, transition
from tests.reward.random_graphs import ODD, damaged_graph, places, random_graph, replaced, whole
from tests.reward.test_graph import ATTACKS, graph, node

CPU_LIMIT_S = 2.0


class NoExecution(TorchDispatchMode):
    """Fails when an operation is carried out on a tensor that has storage."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, torch.Tensor) and not isinstance(leaf, FakeTensor):
                assert leaf.device.type == "meta", f"{func} ran on a real tensor"
        return result


@contextlib.contextmanager
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Also closes the two doors through which fake tensors leave for real computation, unseen by other modes."""
    no_dispatch = fake_tensor.no_dispatch

    def refuse(*_: object) -> None:
        raise AssertionError("fake tensors computed something for real")

    def watched() -> Any:
        return refuse() if sys._getframe(1).f_code.co_name == "_dispatch_impl" else no_dispatch()

    with monkeypatch.context() as patch, NoExecution():
        patch.setattr(fake_tensor, "no_dispatch", watched)
        patch.setattr(fake_tensor, "run_fallback_kernel", refuse)
        yield


def load(data: Any) -> RewardGraph | None:
    """Parse within the time limit; None when refused. A refusal is in good form."""
    start = time.process_time()
    try:
        return parse_graph(data, INTERFACE)
    except RewardRefused as refusal:
        assert refusal.id in FINDINGS and refusal.id.startswith("graph.")
        assert refusal.message and refusal.hint and len(refusal.message) < 1000
        assert "ran on a real tensor" not in refusal.message and "for real" not in refusal.message
        return None
    finally:
        assert time.process_time() - start < CPU_LIMIT_S


def added(*nodes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The valid graph of test_graph with nodes appended (the first one is value 7) and other parts replaced."""
    data = graph()
    data["reward"]["constants"] = [{"shape": [1], "dtype": "float32", "data": [1.0]}]
    data["reward"]["nodes"] += nodes
    data["reward"] |= changes
    return data


HUGE = 2**62
KNOWN = {"ref": 3}  # a constant of one element, whose value torch remembers
ROWS = {"ref": 0}
SIZES: dict[str, dict[str, Any]] = {
    "arange": added(node("aten.arange.default", 10**12)),
    "arange_with_a_small_step": added(node("aten.arange.start_step", 0, 1, 1e-300)),
    "full": added(node("aten.full.default", [10**6, 10**6], 1.0)),
    "overflowing_zeros": added(node("aten.zeros.default", [HUGE, HUGE])),
    "negative_zeros": added(node("aten.zeros.default", [-5])),
    "eye": added(node("aten.eye.default", 10**6)),
    "linspace": added(node("aten.linspace.default", 0, 1, 10**12)),
    "repeat_of_a_known_value": added(node("aten.repeat.default", KNOWN, [10**12])),
    "pad_of_a_known_value": added(node("aten.constant_pad_nd.default", KNOWN, [0, 10**12], 1.0)),
    "new_ones_like_a_known_value": added(node("aten.new_ones.default", KNOWN, [10**12])),
    "new_full_like_a_known_value": added(node("aten.new_full.default", KNOWN, [10**12], 2.0)),
    "expand_of_a_known_value": added(node("aten.expand.default", KNOWN, [10**12]), node("aten.neg.default", {"ref": 7})),
    "repeat": added(node("aten.repeat.default", ROWS, [1, 10**9])),
    "expand": added(node("aten.unsqueeze.default", ROWS, 1), node("aten.expand.default", {"ref": 7}, [-1, 10**9])),
    "pad": added(node("aten.constant_pad_nd.default", {"ref": 1}, [0, 10**9], 0.0)),
    "negative_pad": added(node("aten.constant_pad_nd.default", {"ref": 1}, [-HUGE, HUGE], 0.0)),
    "unfold": added(node("aten.expand.default", KNOWN, [60_000]), node("aten.unfold.default", {"ref": 7}, 0, 30_000, 1)),
    "topk": added(node("aten.topk.default", {"ref": 1}, 10**9, 1)),
    "split": added(node("aten.zeros.default", [60_000]), node("aten.split.Tensor", {"ref": 7}, 1)),
    "unbind": added(node("aten.unbind.int", ROWS, 0)),
    "cat": added(*[node("aten.cat.default", [{"ref": 1}] * 512, 1), node("aten.cat.default", [{"ref": 7}] * 512, 1)]),
    "doubling": added(*[node("aten.cat.default", [{"ref": v}, {"ref": v}], 1) for v in (1, *range(7, 60))]),
    "many_fixed_values": added(*[node("aten.zeros.default", [65_536])] * 40),
    "large_product": added(
        node("aten.unsqueeze.default", ROWS, 1), node("aten.expand.default", {"ref": 7}, [-1, 4000]), node("aten.zeros.default", [4000, 16]),
        *[node("aten.mm.default", {"ref": 8}, {"ref": 9})] * 4,
    ),
    "all_alive_at_once": added(
        node("aten.unsqueeze.default", ROWS, 1), node("aten.repeat.default", {"ref": 7}, [1, 4000]),
        *[node("aten.neg.default", {"ref": 8})] * 6, *[node("aten.add.Tensor", {"ref": 8 + k}, {"ref": 9 + k}) for k in range(1, 6)],
    ),
    "scaled_rows": added(*[node("aten.repeat.default", {"ref": v}, [2]) for v in (0, *range(7, 40))]),
    "sizes_multiplied": added(node("sym_size", ROWS, 0), *[node("sym_mul", {"ref": 7 + k}, 65_536) for k in range(9)], node("aten.zeros.default", [{"ref": 16}])),
    "two_sizes": added(node("sym_size", ROWS, 0), node("aten.expand.default", KNOWN, [{"ref": 7}, {"ref": 7}])),
    "million_nodes": added(*[node("aten.neg.default", ROWS)] * 100_000),
    "million_outputs": added(outputs={"total": 6} | {f"component.c{k}": 4 for k in range(100_000)}),
    "thousands_of_outputs": added(outputs={"total": 6} | {f"component.c{k}": 4 for k in range(1000)}),
    "million_inputs": added(inputs=graph()["reward"]["inputs"] * 100_000),
    "million_numbers": added(constants=[{"shape": [10**6], "dtype": "float32", "data": [0.0] * 10**6}]),
    "many_dimensions": added(constants=[{"shape": [1] * 10_000, "dtype": "float32", "data": [1.0]}]),
    "memory_of_many_dimensions": graph() | {"memory": [{"name": "m", "shape": [1] * 10_000, "dtype": "float32", "initial": [1.0]}]},
    "memory_of_a_googol": graph() | {"memory": [{"name": "m", "shape": [], "dtype": "int64", "initial": [10**400]}]},
    "memory_too_large_for_its_type": graph() | {"memory": [{"name": "m", "shape": [], "dtype": "uint8", "initial": [256]}]},
    "memory_of_negative_size": graph() | {"memory": [{"name": "m", "shape": [-1, -1], "dtype": "float32", "initial": [1.0]}]},
    "constant_too_large_for_its_type": added(constants=[{"shape": [1], "dtype": "int64", "data": [1e300]}]),
    "constant_of_nan_integers": added(constants=[{"shape": [1], "dtype": "int64", "data": [{"float": "nan"}]}]),
    "structural_a_million_times": graph() | {"structural": ["w"] * 100_000},
    "features_a_million_times": graph() | {"features": ["height"] * 1_000_000},
    "parameters_by_the_thousand": graph() | {"parameters": {f"w{k}": 0.5 for k in range(50_000)}},
    "lookup_in_nothing": added(node("aten.slice.Tensor", {"ref": 1}, 1, 3), node("aten.index_select.default", {"ref": 7}, 1, {"ref": 8}), constants=[{"shape": [1], "dtype": "int64", "data": [0]}]),
    "deep_arguments": added(json.loads('{"op": "aten.neg.default", "args": ' + "[" * 200 + "]" * 200 + ', "kwargs": {}}')),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_size_tricks_are_refused_fast(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with nothing_runs(monkeypatch):
        assert load(SIZES[name]) is None


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_is_executed_to_refuse(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = graph()
    ATTACKS[name][0](data)
    with nothing_runs(monkeypatch):
        assert load(data) is None


def test_the_guards_of_this_file_notice_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="real tensor"), nothing_runs(monkeypatch):
        torch.ones(3).neg()
    with pytest.raises(AssertionError, match="for real"), nothing_runs(monkeypatch), fake_tensor.FakeTensorMode():
        torch.tensor([1.0]).repeat(5)


def test_operations_without_a_fake_form_are_not_carried_out_instead() -> None:
    """torch would run them on zeros: a million rows of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_tensor, "run_fallback_kernel", lambda *_: pytest.fail("ran for real"))
        for op in sorted(ops.ALLOWED):
            load(random_graph(random.Random(3), op))


def test_nothing_is_executed_before_all_else_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = []
    monkeypatch.setattr("rewardsmith.reward.verify.check_on_numbers", lambda *given: reached.append(given))
    with nothing_runs(monkeypatch):
        assert load(graph()) is not None
    assert len(reached) == 1


def test_an_operation_with_another_shape_when_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without storage torch leaves (N,) as it is here; with storage it adds up all rows of the batch."""
    nansum = added(node("aten.nansum.default", {"ref": 0}, []), node("aten.add.Tensor", {"ref": 0}, {"ref": 7}))
    nansum["reward"]["outputs"]["total"] = 8
    with pytest.raises(RewardRefused, match="an empty list of dimensions"):
        parse_graph(nansum, INTERFACE)
    monkeypatch.setattr("rewardsmith.reward.arguments._check_dimensions", lambda *_: None)
    with pytest.raises(RewardRefused, match="another shape when it runs"):
        parse_graph(nansum, INTERFACE)


def test_a_graph_that_never_runs() -> None:
    """Divides whole numbers by zero, whatever its inputs are."""
    whole_number = node("aten._to_copy.default", {"ref": 0}, dtype={"dtype": "int64"})
    none = node("aten.mul.Tensor", {"ref": 7}, 0)
    failing = added(whole_number, none, node("aten.div.Tensor_mode", {"ref": 7}, {"ref": 8}, rounding_mode="floor"))
    with pytest.raises(RewardRefused, match="does not run on plain numbers"):
        parse_graph(failing, INTERFACE)


def test_a_graph_that_fails_on_some_numbers() -> None:
    """Divides whole numbers by ones less one: it runs on other numbers, and is looked at there."""
    whole_number = node("aten._to_copy.default", {"ref": 0}, dtype={"dtype": "int64"})
    less = node("aten.sub.Tensor", {"ref": 7}, 3)
    sometimes = added(whole_number, less, node("aten.div.Tensor_mode", {"ref": 7}, {"ref": 8}, rounding_mode="floor"))
    assert load(sometimes) is not None


def test_wrong_values_at_every_place() -> None:
    data: Any = graph() | {"memory": [{"name": "m", "shape": [2], "dtype": "float32", "initial": [0.0, 1.0]}]}
    data["reward"]["outputs"]["memory.m"] = 3 + len(data["reward"]["nodes"])
    accepted = 0
    for path in places(data):
        for odd in ODD:
            accepted += load(replaced(data, path, odd)) is not None
    assert accepted < 100


def test_wrong_keys_at_every_place() -> None:
    for path in places(graph()):
        for key in ("", "extra", "__class__", "\u202e", "a" * 10_000):
            inside: Any = graph()
            for step in path:
                inside = inside[step]
            if isinstance(inside, dict) and "kwargs" not in path and path[-1] not in ("parameters", "outputs"):
                assert load(replaced(graph(), path, inside | {key: 1})) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"version": 1, "version": 1}', '{"a": NaN}', '{"a": -Infinity}', "1" * 5000, '"' + "\\ud800" * 100 + '"', "[" * 4_000_000,
        '{"a":' * 100_000, "[" + "0," * 1_900_000 + "0]", '{"reward": {"nodes": [' + '{"op":"x"},' * 300_000 + "{}]}}", "{" + '"a":0,' * 600_000 + '"a":0}',
    ],
    ids=range(10),
)  # fmt: skip
def test_hostile_text_is_refused_fast(text: str) -> None:
    assert load(text) is None


# --- what is accepted ----------------------------------------------------------------------------------------------

MEMORY_BYTES = 2 * 2**30


def survived(graphs: Sequence[RewardGraph]) -> None:
    """Run every value of every graph in a child of limited memory: ordinary errors are fine, anything else is not."""
    child = os.fork()
    if child == 0:
        status = 0
        try:
            pages = int(open("/proc/self/statm").read().split()[0])  # noqa: PTH123, SIM115
            limit = pages * resource.getpagesize() + MEMORY_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            signal.alarm(10 + len(graphs))
            torch.set_num_threads(1)
            for accepted in graphs:
                for n in (1, 2, 1000):
                    status = max(status, _ran(accepted, n))
        finally:
            os._exit(status)
    _, result = os.waitpid(child, 0)
    assert not os.WIFSIGNALED(result), f"killed by {signal.Signals(os.WTERMSIG(result)).name}"
    assert os.WEXITSTATUS(result) == 0, {3: "out of memory", 4: "too slow"}.get(os.WEXITSTATUS(result))


def _ran(accepted: RewardGraph, n: int) -> int:
    obs, action, next_obs = transition(n)
    frames = {"obs": obs, "next_obs": next_obs}
    function = accepted.reward
    values = [
        torch.tensor(0.5, dtype=torch.float64) if entry.source == "parameter"
        else action if entry.source == "action"
        else torch.zeros((n, *entry.shape), dtype=getattr(torch, entry.dtype)) if entry.source == "memory"
        else frames[entry.source][entry.name]
        for entry in function.inputs
    ]  # fmt: skip
    start = time.process_time()
    try:
        Compiled(function, range(function.first_node + len(function.nodes)))(values, torch.device("cpu"))
    except MemoryError:
        return 3
    except RuntimeError as error:
        return 3 if "allocate memory" in str(error) else 0
    except (IndexError, ValueError, TypeError, NotImplementedError):
        return 0
    return 4 if time.process_time() - start > CPU_LIMIT_S else 0


def test_random_operations_with_random_arguments() -> None:
    """Every operation of the table several times."""
    rng = random.Random(5)
    loaded = [load(random_graph(rng, op)) for op in sorted(ops.ALLOWED) for _ in range(6)]
    accepted = [one for one in loaded if one is not None]
    assert len(accepted) > 100
    survived(accepted)


def test_damaged_graphs(jail: Jail) -> None:
    names = [*BENIGN][::6]
    originals = [program for name in names if (program := compile_reward(BENIGN[name], INTERFACE, jail).program)]
    assert len(originals) == len(names)
    rng = random.Random(11)
    loaded = [load(damaged_graph(rng, json.loads(one.to_json()))) for one in originals for _ in range(12)]
    accepted = [one for one in loaded if one is not None]
    assert len(accepted) > 10
    survived(accepted)


def test_the_smallest_integer_can_be_divided() -> None:
    """Divided by -1 it has no result, and some processors end the process that asks for it."""
    smallest, minus = {"ref": 14}, {"ref": 9}
    accepted = [
        load(whole([_smallest(), node(op, smallest, by, rounding_mode="trunc")]))
        for op, by in (("aten.div.Tensor_mode", minus), ("aten.div.Tensor_mode", -1), ("aten.div.Scalar_mode", -1))
    ]
    survived([one for one in accepted if one is not None])
    assert all(accepted)


def _smallest() -> dict[str, Any]:
    return node("aten._to_copy.default", {"ref": 8}, dtype={"dtype": "int64"})


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32"])
def test_division_is_that_of_torch(dtype: str) -> None:
    from rewardsmith.reward.interpreter import _divide

    x = torch.tensor([-7, -1, 0, 1, 7, 100]).to(getattr(torch, dtype))
    for by in (-1, 2, -3, 2.5, torch.tensor([-1, 3, -2, 5, -1, 1]), torch.tensor(-1, dtype=torch.int32)):
        for mode in ("trunc", "floor"):
            expected = torch.div(x, by, rounding_mode=mode)
            actual = _divide(x, by, rounding_mode=mode)
            assert actual.dtype == expected.dtype and torch.equal(actual, expected)
