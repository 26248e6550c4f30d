"""Every benign reward is accepted, and its graph gives bit for bit what its Python gives."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from rewardsmith import toolkit
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from tests.reward.corpus.benign import BENIGN
from tests.reward.corpus.benign_habits import OTHER_ACTIONS
from tests.reward.corpus.interface import INTERFACE, INTERFACES, transition, wild_transition

ALL = {name: ("continuous", code) for name, code in BENIGN.items()} | OTHER_ACTIONS
SIZES = (1, 2, 3, 5, 7, 64, 100, 1000)
WITH_WARNINGS = {"structural_parameter": ("mode", "power"), "float_of_a_parameter": ("weight",)}

Inputs = tuple[dict[str, torch.Tensor], torch.Tensor, dict[str, torch.Tensor]]


class Case(NamedTuple):
    kind: str
    code: str
    program: RewardProgram


def compiled(name: str, jail: Jail) -> RewardProgram:
    kind, code = ALL[name]
    result = compile_reward(code, INTERFACES[kind], jail)
    assert result.program is not None, result.findings
    assert bool(result.findings) == (name in WITH_WARNINGS), result.findings
    return result.program


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest, jail: Jail) -> Case:
    """One reward, compiled once for all tests of it: the scope makes pytest run these one after the other."""
    return Case(*ALL[request.param], compiled(request.param, jail))


def of_rewards(names: Iterable[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", names, indirect=True)


def test_the_corpus_is_large() -> None:
    assert len(ALL) >= 60
    assert len(set(ALL.values())) == len(ALL)


def python_version(code: str) -> dict[str, Any]:
    """The source executed as it stands, the way a person would run it."""
    scope: dict[str, Any] = {name: getattr(toolkit, name) for name in toolkit.__all__}
    scope |= {"torch": torch, "math": math, "F": torch.nn.functional}
    exec(code.replace("@torch.jit.script", ""), scope)
    return scope


def assert_same_bits(actual: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    """Equal values in every place, NaN equal to NaN and zeros of the same sign."""
    assert actual.shape == expected.shape and actual.dtype == expected.dtype, what
    if not actual.is_floating_point():
        assert torch.equal(actual, expected), what
        return
    same = (actual == expected) & (actual.signbit() == expected.signbit()) | (actual.isnan() & expected.isnan())
    assert same.all(), f"{what}: {actual[~same][:3]} instead of {expected[~same][:3]}"


def assert_graph_equals_python(program: RewardProgram, code: str, inputs: Inputs, **params: float) -> None:
    obs, action, next_obs = inputs
    python = python_version(code)
    memory = python["initial_memory"](len(action)) if program.uses_memory else None
    expected = python["compute_reward"](obs, action, next_obs, *([memory] if memory else []), **params)
    result = program(obs, action, next_obs, memory=memory, params=params)
    assert_same_bits(result.total, expected[0].float(), f"total of {len(action)} rows")
    assert set(result.components) == set(expected[1])
    for component, value in expected[1].items():
        assert_same_bits(result.components[component], value.float(), f"{component} of {len(action)} rows")
    for key in memory or {}:
        assert result.memory is not None
        assert_same_bits(result.memory[key], expected[2][key], f"memory {key}")
    if program.has_potential:
        assert_same_bits(program.potential(obs), python["potential"](obs), "potential")


@of_rewards(ALL)
def test_graph_equals_python_bit_for_bit(case: Case) -> None:
    for n in SIZES:
        assert_graph_equals_python(case.program, case.code, transition(n, seed=n, kind=case.kind))


@of_rewards(BENIGN)
def test_graph_equals_python_on_values_that_are_no_numbers(case: Case) -> None:
    assert_graph_equals_python(case.program, case.code, wild_transition(97))


@of_rewards([name for name, (_, code) in ALL.items() if "*," in code])
def test_graph_equals_python_with_other_parameters(case: Case) -> None:
    kind, code, program = case
    main = python_version(code)["compute_reward"].__kwdefaults__ or {}
    params = {key: 0.75 * value + 0.01 for key, value in program.parameters.items() if key in main}
    params = {key: value for key, value in params.items() if key not in program.structural}
    assert_graph_equals_python(program, code, transition(64, kind=kind), **params)


@of_rewards(ALL)
def test_json_round_trip(case: Case) -> None:
    program = case.program
    again = RewardProgram(parse_graph(program.to_json(), INTERFACES[case.kind]))
    assert again.graph == program.graph
    assert again.graph_id == program.graph_id


@of_rewards(ALL)
def test_rows_are_independent_of_layout_and_of_each_other(case: Case) -> None:
    """Inputs that are slices of a larger buffer (not contiguous), or rows of a larger batch, give the same."""
    obs, action, next_obs = transition(6, kind=case.kind)
    strided = [{k: torch.stack([v, v], dim=1)[:, 0] for k, v in frame.items()} for frame in (obs, next_obs)]
    expected = case.program(obs, action, next_obs).total
    assert torch.equal(case.program(strided[0], action, strided[1]).total, expected)
    half = [{k: v[3:] for k, v in frame.items()} for frame in (obs, next_obs)]
    torch.testing.assert_close(case.program(half[0], action[3:], half[1]).total, expected[3:], rtol=1e-6, atol=1e-6)


@of_rewards(ALL)
def test_on_a_gpu_no_value_stays_on_the_cpu(case: Case) -> None:
    """With fake CUDA inputs every constant, range and table has to be on the GPU, or torch refuses to mix."""
    program, real = case.program, transition(4, kind=case.kind)

    def on_gpu(value: torch.Tensor) -> torch.Tensor:
        return torch.empty(value.shape, dtype=value.dtype, device="cuda")

    with FakeTensorMode():
        obs, next_obs = ({k: on_gpu(v) for k, v in frame.items()} for frame in (real[0], real[2]))
        action = on_gpu(real[1])
        memory = {
            name: torch.zeros((4, *shape), dtype=dtype, device="cuda")
            for name, (shape, dtype) in program.memory_spec.items()
        }
        result = program(obs, action, next_obs, memory=memory or None)
        values = [result.total, *result.components.values(), *(result.memory or {}).values()]
        if program.has_potential:
            values.append(program.potential(obs))
        assert {value.device.type for value in values} == {"cuda"}


def test_traces_are_reproducible(jail: Jail) -> None:
    first, second = (compile_reward(BENIGN["einsum_and_matmul"], INTERFACE, jail).program for _ in range(2))
    assert first is not None and second is not None and first.graph_id == second.graph_id


@pytest.mark.parametrize("name", WITH_WARNINGS)
def test_structural_parameters_are_found_and_warned_about(jail: Jail, name: str) -> None:
    result = compile_reward(BENIGN[name], INTERFACE, jail)
    assert result.program is not None
    assert result.program.structural == WITH_WARNINGS[name]
    assert {(f.id, f.severity) for f in result.findings} == {("trace.structural", "warn")}


def test_unused_features(jail: Jail) -> None:
    assert compiled("terminated_penalty", jail).unused_features == tuple(f.name for f in INTERFACE.features)
    assert "height" not in compiled("docstring_and_parameters", jail).unused_features
