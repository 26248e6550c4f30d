"""Ensembles: the merged graph computes what it says, and does what the literature says of each aggregate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rewardsmith.errors import UsageError
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.ensemble import Aggregate, Scale, ensemble, scale_of
from rewardsmith.reward.graph import RewardGraph, parse_graph
from rewardsmith.reward.program import RewardProgram
from tests.reward.corpus.benign import BENIGN
from tests.reward.corpus.interface import INTERFACE, transition

ROWS = 500
REWARD = """
def compute_reward(obs, action, next_obs, *, weight={weight}):
    pay = {pay}
    return pay, {{"pay": pay}}
"""
SPEED = 'weight * next_obs["velocity"][:, 0]'


def graph(jail: Jail, pay: str = SPEED, weight: float = 1.0) -> RewardGraph:
    result = compile_reward(REWARD.format(pay=pay, weight=weight), INTERFACE, jail)
    assert result.program is not None, result.findings
    return result.program.graph


def scales(parts: dict[str, RewardGraph]) -> dict[str, Scale]:
    return {name: scale_of(RewardProgram(part)(*transition(ROWS)).total) for name, part in parts.items()}


def paid(parts: dict[str, RewardGraph], aggregate: Aggregate, **options: float) -> Tensor:
    merged = RewardProgram(ensemble(parts, scales(parts), aggregate, INTERFACE, **options))
    return merged(*transition(ROWS)).total


@pytest.fixture(scope="module")
def parts(jail: Jail) -> dict[str, RewardGraph]:
    pays = {
        "a": SPEED,
        "b": f"({SPEED}) ** 3",
        "c": 'weight * next_obs["room"]',
        "d": 'next_obs["velocity"][:, 1] * weight',
    }
    return {name: graph(jail, pay) for name, pay in pays.items()}


@pytest.mark.parametrize("aggregate", ["mean", "min", "median", "mean_minus_std"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_merged_graph_aggregates_the_standardized_parts(parts, aggregate, count) -> None:
    chosen = dict(list(parts.items())[:count])
    known = scales(chosen)
    z = [(RewardProgram(g)(*transition(ROWS)).total - known[n].mean) / known[n].deviation for n, g in chosen.items()]
    table = torch.stack(z, 1)
    expected = {
        "mean": table.mean(1),
        "min": table.min(1).values,
        "median": table.quantile(0.5, dim=1),
        "mean_minus_std": table.mean(1) - 2 * table.std(1, correction=0),
    }[aggregate]
    torch.testing.assert_close(paid(chosen, aggregate, caution=2.0), expected, rtol=1e-4, atol=1e-5)


def test_it_is_an_ordinary_graph_with_the_parts_as_components(parts) -> None:
    merged = ensemble(parts, scales(parts), "mean", INTERFACE)
    assert parse_graph(RewardProgram(merged).to_json(), INTERFACE) == merged
    out = RewardProgram(merged)(*transition(ROWS))
    assert set(out.components) == set(parts)
    for value in out.components.values():
        assert abs(float(value.mean())) < 1e-4 and float(value.std()) == pytest.approx(1.0, abs=0.01)
    assert merged.parameters == {f"{name}_weight": 1.0 for name in parts}


def test_one_inverted_part_costs_the_median_least(jail) -> None:
    """Five critics, one of them inverted, one constant (systems.md, 10.1). The minimum takes the inverted one's word
    wherever it complains, so it does not keep the ranking, whatever is said of it."""
    true = RewardProgram(graph(jail))(*transition(ROWS)).total
    noisy = [f"{SPEED} + 0.3 * torch.sin({k}.0 * next_obs['velocity'][:, 1])" for k in (3, 5, 7)]
    five = {f"n{k}": graph(jail, pay) for k, pay in enumerate(noisy)}
    five |= {"inverted": graph(jail, f"-({SPEED})"), "constant": graph(jail, "0.0 * next_obs['room'] + weight")}
    agreement = {how: rank_agreement(true, paid(five, how)) for how in ("mean", "median", "min")}
    assert agreement["median"] > agreement["mean"] > agreement["min"]
    assert agreement["median"] > 0.9


def rank_agreement(a: Tensor, b: Tensor) -> float:
    ranks = [value.argsort().argsort().double() for value in (a, b)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def test_a_part_that_never_varies_is_left_out(jail, parts) -> None:
    with_constant = parts | {"flat": graph(jail, "0.0 * next_obs['room'] + weight")}
    assert torch.equal(paid(with_constant, "mean"), paid(parts, "mean"))


def test_a_common_error_is_not_found(jail) -> None:
    """A documented limit: rewards that are wrong alike agree."""
    wrong = {name: graph(jail, f"-{weight} * ({SPEED})") for name, weight in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    true = RewardProgram(graph(jail))(*transition(ROWS)).total
    for how in ("mean", "min", "median"):
        assert float(torch.corrcoef(torch.stack([true, paid(wrong, how)]))[0, 1]) == pytest.approx(-1.0, abs=1e-3)


def test_scale_of_a_part_does_not_matter(jail, parts) -> None:
    loud = dict(parts) | {"a": graph(jail, weight=1000.0)}
    torch.testing.assert_close(paid(loud, "mean"), paid(parts, "mean"), rtol=1e-3, atol=1e-4)


def test_parts_with_memory_keep_it(jail) -> None:
    remembering = [name for name, code in BENIGN.items() if "initial_memory" in code and "def potential" not in code]
    program = compile_reward(BENIGN[remembering[0]], INTERFACE, jail).program
    assert program is not None and program.uses_memory
    known = {"m": Scale(0.0, 1.0), "a": Scale(0.0, 1.0)}
    merged = RewardProgram(ensemble({"m": program.graph, "a": graph(jail)}, known, "mean", INTERFACE))
    inputs = transition(ROWS)
    alone, together = program(*inputs), merged(*inputs)
    assert alone.memory is not None and together.memory is not None
    assert {f"m_{name}" for name in alone.memory} == set(together.memory)
    for name, value in alone.memory.items():
        assert torch.equal(together.memory[f"m_{name}"], value)
    torch.testing.assert_close(together.components["m"], alone.total)


def test_what_cannot_be_an_ensemble_is_refused(jail, parts) -> None:
    with pytest.raises(UsageError, match="at least two"):
        ensemble({"a": parts["a"]}, scales(parts), "mean", INTERFACE)
    with pytest.raises(UsageError, match="cannot name"):
        ensemble({"A b": parts["a"], "c": parts["c"]}, {"A b": Scale(0, 1), "c": Scale(0, 1)}, "mean", INTERFACE)
    shaped = next(code for code in BENIGN.values() if "def potential" in code)
    program = compile_reward(shaped, INTERFACE, jail).program
    assert program is not None
    with pytest.raises(UsageError, match="potential"):
        ensemble({"p": program.graph, "a": parts["a"]}, {"p": Scale(0, 1), "a": Scale(0, 1)}, "mean", INTERFACE)


def test_scales() -> None:
    assert scale_of(torch.tensor([1.0, 3.0])) == Scale(2.0, 1.0)
    assert scale_of(torch.full((5,), 7.0)) == Scale(0.0, 0.0)
    assert scale_of(torch.tensor([1.0, float("nan")])) == Scale(0.0, 0.0)
