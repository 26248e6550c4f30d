"""Every benign reward is accepted, and its graph gives bit for bit what its Python gives."""

from __future__ import annotations

import math

import pytest
import torch

from rewardsmith import toolkit
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from tests.reward.corpus.benign import BENIGN
from tests.reward.corpus.interface import INTERFACE, transition


@pytest.fixture(scope="module")
def programs(jail: Jail) -> dict[str, RewardProgram]:
    results = {name: compile_reward(code, INTERFACE, jail) for name, code in BENIGN.items()}
    refused = {name: result.findings for name, result in results.items() if result.program is None}
    assert not refused
    return {name: result.program for name, result in results.items() if result.program}


def python_version(code: str) -> dict:
    """The source executed as it stands, the way a person would run it."""
    scope: dict = {name: getattr(toolkit, name) for name in toolkit.__all__}
    scope |= {"torch": torch, "math": math, "F": torch.nn.functional}
    exec(code.replace("@torch.jit.script", ""), scope)
    return scope


@pytest.mark.parametrize("name", BENIGN)
@pytest.mark.parametrize("n", [1, 2, 5, 100])
def test_graph_equals_python_bit_for_bit(programs: dict[str, RewardProgram], name: str, n: int) -> None:
    program, python = programs[name], python_version(BENIGN[name])
    obs, action, next_obs = transition(n)
    memory = python["initial_memory"](n) if program.uses_memory else None
    expected = python["compute_reward"](obs, action, next_obs, *([memory] if memory else []))
    result = program(obs, action, next_obs, memory=memory)
    assert torch.equal(result.total, expected[0].float())
    assert set(result.components) == set(expected[1])
    for component, value in expected[1].items():
        assert torch.equal(result.components[component], value.float()), component
    for key in memory or {}:
        assert torch.equal(result.memory[key], expected[2][key])
    if program.has_potential:
        assert torch.equal(program.potential(obs), python["potential"](obs))


@pytest.mark.parametrize("name", BENIGN)
def test_json_round_trip(programs: dict[str, RewardProgram], name: str) -> None:
    program = programs[name]
    again = RewardProgram(parse_graph(program.to_json(), INTERFACE))
    assert again.graph == program.graph
    assert again.graph_id == program.graph_id


@pytest.mark.parametrize("name", BENIGN)
def test_rows_are_independent_of_layout(programs: dict[str, RewardProgram], name: str) -> None:
    """Inputs that are slices of a larger buffer (not contiguous) give the same."""
    obs, action, next_obs = transition(6)
    strided = [{k: torch.stack([v, v], dim=1)[:, 0] for k, v in frame.items()} for frame in (obs, next_obs)]
    expected = programs[name](obs, action, next_obs).total
    assert torch.equal(programs[name](strided[0], action, strided[1]).total, expected)


def test_traces_are_reproducible(jail: Jail) -> None:
    first, second = (compile_reward(BENIGN["einsum_and_matmul"], INTERFACE, jail).program for _ in range(2))
    assert first is not None and second is not None and first.graph_id == second.graph_id


def test_structural_parameters_are_found_and_warned_about(jail: Jail) -> None:
    result = compile_reward(BENIGN["structural_parameter"], INTERFACE, jail)
    assert result.program is not None
    assert result.program.structural == ("mode", "power")
    assert [(f.id, f.severity) for f in result.findings] == [("trace.structural", "warn")] * 2


def test_unused_features(programs: dict[str, RewardProgram]) -> None:
    assert programs["terminated_penalty"].unused_features == tuple(f.name for f in INTERFACE.features)
    assert "height" not in programs["docstring_and_parameters"].unused_features
