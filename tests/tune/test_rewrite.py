"""Tuned numbers in source and graph: what changes is the numbers, and nothing else."""

from __future__ import annotations

import difflib

import pytest

from rewardsmith.errors import UsageError
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.gate import check_source
from rewardsmith.tune import with_defaults, with_parameters
from tests.reward.corpus.benign import BENIGN
from tests.reward.corpus.benign_habits import OTHER_ACTIONS
from tests.reward.corpus.interface import INTERFACE, INTERFACES

ALL = {name: ("continuous", code) for name, code in BENIGN.items()} | OTHER_ACTIONS
PARAMETERS = {
    name: parameters
    for name, (kind, code) in ALL.items()
    if (parameters := check_source(code, INTERFACES[kind]).parameters)
}


def test_the_corpus_has_many_rewards_with_parameters() -> None:
    assert len(PARAMETERS) >= 25


def changed_pieces(before: str, after: str) -> list[tuple[str, str]]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return [(before[a:b], after[c:d]) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_doubling_every_default_doubles_the_parameters_and_changes_nothing_else(name) -> None:
    kind, code = ALL[name]
    doubled = {parameter: 2 * value for parameter, value in PARAMETERS[name].items()}
    again = with_defaults(code, doubled)
    gate, old = check_source(again, INTERFACES[kind]), check_source(code, INTERFACES[kind])
    assert gate.parameters == doubled
    assert gate.functions == old.functions and gate.lines == old.lines
    assert check_source(with_defaults(again, PARAMETERS[name]), INTERFACES[kind]).source == old.source
    assert all(set(piece) <= set("0123456789.-+*/e ()mathpi") for pair in changed_pieces(code, again) for piece in pair)


@pytest.mark.parametrize("name", ["docstring_and_parameters", "clamp_mixed", "potential", "memory_once", "tolerance"])
def test_tracing_the_new_source_gives_the_graph_with_the_new_parameters(jail, name) -> None:
    kind, code = ALL[name]
    program = compile_reward(code, INTERFACES[kind], jail).program
    assert program is not None
    numbers = {parameter: 1.25 * value for parameter, value in program.parameters.items()}
    again = compile_reward(with_defaults(code, numbers), INTERFACES[kind], jail).program
    assert again is not None and again.graph != program.graph
    assert again.graph == with_parameters(program.graph, numbers)


ODD = """\ufeff# größe = 1.0
def compute_reward(obs, action, next_obs, weight = 1.0,\t# a weight (weight=1.0)
                   *, größer_als_null: float=( 1 / 3 ), low=-2,  # low=-2 Ümlaut
                   high = 2 * math.pi): "weight=1.0"; return weight * next_obs["height"], {}
"""


def test_comments_spacing_and_letters_outside_ascii_stay() -> None:
    code = ODD.replace("größer_als_null", "third")
    numbers = {"weight": 2.5, "third": -1e-05, "low": 3.0, "high": 4.0}
    expected = (
        code.replace("weight = 1.0", "weight = 2.5")
        .replace("( 1 / 3 )", "( -1e-05 )")
        .replace("low=-2,  #", "low=3.0,  #")
        .replace("2 * math.pi", "4.0")
    )
    assert with_defaults(code, numbers) == expected
    assert check_source(expected, INTERFACE).parameters == numbers
    windows = code.replace("\n", "\r\n")
    assert with_defaults(windows, numbers) == expected.replace("\n", "\r\n")


def test_a_parameter_of_both_functions_is_changed_in_both() -> None:
    again = with_defaults(BENIGN["potential"], {"goal_weight": 7.0})
    assert again == BENIGN["potential"].replace("goal_weight=2.0", "goal_weight=7.0")
    assert again.count("goal_weight=7.0") == 2


def test_what_cannot_be_written_is_refused(jail) -> None:
    code = BENIGN["structural_parameter"]
    with pytest.raises(UsageError, match="did you mean scale"):
        with_defaults(code, {"scales": 1.0})
    with pytest.raises(UsageError, match="cannot be nan"):
        with_defaults(code, {"scale": float("nan")})
    with pytest.raises(UsageError, match="not valid Python"):
        with_defaults("def compute_reward(", {})
    program = compile_reward(code, INTERFACE, jail).program
    assert program is not None
    with pytest.raises(UsageError, match="shapes the graph"):
        with_parameters(program.graph, {"power": 3.0})
    with pytest.raises(UsageError, match="unknown parameter"):
        with_parameters(program.graph, {"powers": 3.0})
    assert check_source(with_defaults(code, {"power": 3.0}), INTERFACE).parameters["power"] == 3.0
