from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.design.builtin import BuiltinDesigner, Evidence, screen_terms
from rewardsmith.design.builtin.breed import Breeder, Parent, balance
from rewardsmith.design.builtin.screen import default_stats, sized, verbs_for
from rewardsmith.design.builtin.signals import Signal, signal_from_key, signals
from rewardsmith.design.builtin.source import SIGNATURE, component_names, read_genome, write_source
from rewardsmith.design.builtin.terms import Term, rounded, term_from_key
from rewardsmith.design.designer import Assignment, DesignContext, EnvironmentCard
from rewardsmith.design.designer import Parent as DesignParent
from rewardsmith.errors import EnvironmentFault
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.gate import check_source
from rewardsmith.types import ActionSpec, FeatureSpec, Finding, RewardInterface, Verdict
from tests.design.cards import CONTEXT, INTERFACE, new

RICH = RewardInterface(
    features=(
        *INTERFACE.features,
        FeatureSpec(name="tip", shape=(3,), unit="m"),
        FeatureSpec(name="goal", shape=(3,), unit="m"),
        FeatureSpec(name="rotation", shape=(3, 3)),
        FeatureSpec(name="level", dtype="int64"),
        FeatureSpec(name="Odd.Name-1", low=0.0, high=5.0),
        FeatureSpec(name="action"),
        FeatureSpec(name="2nd", low=0.0),
        FeatureSpec(name="a_feature_with_a_name_as_long_as_it_may_get", shape=(2,)),
    ),
    action=INTERFACE.action,
)
DISCRETE = dataclasses.replace(
    CONTEXT,
    environment=EnvironmentCard("d", "", INTERFACE.model_copy(update={"action": ActionSpec(kind="discrete", n=3)})),
)
ACTIONS = {
    "continuous": ActionSpec(kind="continuous", shape=(2,), low=(-1.0,) * 2, high=(1.0,) * 2),
    "discrete": ActionSpec(kind="discrete", n=4),
    "multi_discrete": ActionSpec(kind="multi_discrete", shape=(2,), nvec=(2, 3)),
}


def batch(interface: RewardInterface, n: int = 11, seed: int = 0):
    """Random (obs, action, next_obs) of an interface."""
    rng = torch.Generator().manual_seed(seed)

    def draw(spec: FeatureSpec):
        values = 2 * torch.randn(n, *spec.shape, generator=rng)
        match spec.dtype:
            case "bool":
                return values > 0
            case "int64" | "uint8":
                return (values.abs() * 2).to(getattr(torch, spec.dtype))
        return values

    obs, next_obs = ({f.name: draw(f) for f in interface.features} for _ in range(2))
    next_obs["terminated"] = torch.arange(n) % 3 == 0
    action = torch.rand(n, *interface.action.shape, generator=rng) * 2 - 1
    if interface.action.kind != "continuous":
        action = torch.randint(0, 2, (n, *interface.action.shape), generator=rng)
    return obs, action, next_obs


def run(code: str, interface: RewardInterface, **parameters):
    """Executes our own generated file directly; in the product it goes through the gate and the jail."""
    scope: dict = {"torch": torch}
    exec(code, scope)
    return scope["compute_reward"](*batch(interface), **parameters)


def all_terms(interface: RewardInterface) -> list[Term]:
    terms = [Term("alive", weight=0.5), Term("ending"), Term("effort", weight=0.05)]
    found = signals(interface)
    terms += [sized(v, s, default_stats(s, interface)) for s in found for v in verbs_for(s, interface)]
    gate = next(s for s in found if s.form == "entry")
    return terms + [dataclasses.replace(t, gate=gate, gate_scale=0.7, gate_target=0.3) for t in terms]


# --- the grammar ---------------------------------------------------------------------------------------------------


def test_signals_of_every_kind_of_feature():
    keys = [s.key for s in signals(RICH)]
    wanted = {"position", "size(position)", "square(joint_velocity[1])", "norm(tip)", "distance(tip to goal)"}
    assert wanted | {"touching", "level", "norm(rotation)", "Odd.Name-1"} <= set(keys)
    assert len(set(keys)) == len(keys)
    assert not [k for k in keys if "message" in k or "size(touching)" in k or "size(Odd" in k]


@pytest.mark.parametrize("signal", signals(RICH), ids=lambda s: s.key)
def test_signal_keys_read_back(signal):
    assert signal_from_key(signal.key) == signal


@pytest.mark.parametrize("key", ["", "norm(", "norm(x", "x)", "x[a]", "distance(a b)", "cube(x)", "a b"])
def test_what_is_no_signal(key):
    assert signal_from_key(key) is None


@pytest.mark.parametrize("term", all_terms(RICH), ids=lambda t: t.key)
def test_terms_are_written_as_they_are_computed(term):
    read = term_from_key(term.key)
    assert read is not None
    assert read.key == term.key
    code = write_source([term], RICH)
    assert check_source(code, RICH).findings == ()
    total, components = run(code, RICH)
    (back,) = read_genome(code, RICH) or ()
    torch.testing.assert_close(total, back.value(*batch(RICH)))
    assert list(components) == component_names([term])


@pytest.mark.parametrize("kind", ACTIONS)
def test_effort_for_every_kind_of_action(kind):
    interface = INTERFACE.model_copy(update={"action": ACTIONS[kind]})
    total, _ = run(write_source([Term("effort")], interface), interface)
    torch.testing.assert_close(total, Term("effort").value(*batch(interface)))
    assert total.shape == (11,)
    assert (total <= 0).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(all_terms(RICH)), min_size=1, max_size=6), st.floats(1e-6, 1e6))
def test_files_read_back_to_what_they_compute(terms, factor):
    genome = [dataclasses.replace(t, weight=t.weight * factor) for t in terms]
    code = write_source(genome, RICH)
    back = read_genome(code, RICH)
    assert back is not None
    assert write_source(back, RICH) == code
    assert "a_feature" in code or max(map(len, code.splitlines())) <= 160
    total, components = run(code, RICH)
    close = {"rtol": 1e-5, "atol": 1e-5 * float(sum(c.abs().max() for c in components.values()))}
    torch.testing.assert_close(total, sum(components.values()), **close)
    torch.testing.assert_close(total, sum(t.value(*batch(RICH)) for t in back), **close)
    assert len(components) == len(genome)


def test_tuned_numbers_are_read_from_the_defaults():
    code = write_source([Term("high", Signal("entry", "position"), scale=2.0)], INTERFACE)
    tuned = code.replace("position_weight=1.0", "position_weight=7.5")
    (term,) = read_genome(tuned, INTERFACE) or ()
    assert (term.weight, term.scale) == (7.5, 2.0)


@pytest.mark.parametrize(
    "change",
    [
        ("Terms", "Wishes"),
        (SIGNATURE, "By hand."),
        ("high position", "high unknown_feature"),
        ("position_weight=1.0,", ""),
        ("position_weight=1.0", "position_weight=f()"),
        ("def compute_reward", "def other"),
        ("total =", "total = ("),
    ],
)
def test_other_code_is_not_a_genome(change):
    code = write_source([Term("high", Signal("entry", "position"))], INTERFACE)
    assert read_genome(code, INTERFACE) is not None
    assert read_genome(code.replace(*change), INTERFACE) is None


@pytest.mark.parametrize(("value", "text"), [(0.0, 0.0), (0.0123456, 0.012), (123.0, 120.0), (math.nan, 0.0)])
def test_rounding(value, text):
    assert rounded(value) == text


# --- screening -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Recorded:
    obs: dict
    action: torch.Tensor
    next_obs: dict
    episode: torch.Tensor
    t: torch.Tensor


def recorded(episodes: int = 30, steps: int = 12, seed: int = 1) -> tuple[Recorded, np.ndarray]:
    """Episodes in which fitness is the distance travelled: position drifts, everything else is noise."""
    n = episodes * steps
    obs, action, next_obs = batch(INTERFACE, n, seed)
    drift = torch.randn(episodes, generator=torch.Generator().manual_seed(seed))
    at = drift[:, None] * torch.arange(steps + 1)
    obs["position"], next_obs["position"] = at[:, :-1].flatten(), at[:, 1:].flatten()
    next_obs["terminated"] = torch.zeros(n, dtype=torch.bool)
    episode = torch.arange(episodes).repeat_interleave(steps)
    return Recorded(obs, action, next_obs, episode, torch.arange(steps).repeat(episodes)), at[:, -1].numpy()


def test_screening_finds_what_fitness_is_made_of():
    bank, fitness = recorded()
    evidence = screen_terms(INTERFACE, bank, fitness)
    assert evidence.scores["gain position"] == pytest.approx(1.0)
    assert evidence.scores["shed position"] == pytest.approx(-1.0)
    assert abs(evidence.scores["more joint_velocity[0]"]) < 0.6
    assert evidence.scores["staying alive"] == 0.0
    assert evidence.picks["all"][0].endswith(" position")
    assert evidence.picks["progress"] == ("gain position",)
    assert (evidence.ended, evidence.postures) == (0.0, {})
    stats = evidence.stats["position"]
    assert stats.low < stats.start < stats.high
    assert stats.best > stats.start
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence


def test_screening_sees_what_is_lost_where_episodes_end():
    bank, fitness = recorded(seed=3)
    last = bank.t == bank.t.max()
    bank.next_obs["terminated"] = last
    bank.next_obs["joint_velocity"][:, 1] = torch.where(last, 9.0, 0.1)
    bank.obs["joint_velocity"][:, 1] = 0.0
    evidence = screen_terms(INTERFACE, bank, fitness)
    assert evidence.ended == 1.0
    assert next(iter(evidence.postures)) == "joint_velocity[1]"
    assert evidence.postures["joint_velocity[1]"] == pytest.approx(9.0)
    fourth = BuiltinDesigner(evidence=evidence).propose(CONTEXT, new(4), round=1)[3]
    assert "while near joint_velocity[1]" in " ".join(fourth.code.split())


def test_progress_is_judged_with_the_start_held_fixed():
    """Episodes that start near the target do well although they come less closer: coming closer is still good."""
    bank, _ = recorded(episodes=60)
    rng = torch.Generator().manual_seed(5)
    start = 10 * torch.rand(60, generator=rng)
    closer = 0.2 * start * torch.rand(60, generator=rng)
    steps = int(bank.t.max()) + 1
    at = start[:, None] - closer[:, None] * torch.arange(steps + 1) / steps
    bank.obs["position"], bank.next_obs["position"] = at[:, :-1].flatten(), at[:, 1:].flatten()
    evidence = screen_terms(INTERFACE, bank, -at.mean(dim=1))
    assert evidence.scores["shed position"] > 0.4


@pytest.mark.parametrize("case", ["constant", "nan", "few", "one"])
def test_screening_without_an_order_gives_sizes_only(case):
    episodes = {"few": 4, "one": 1}.get(case, 30)
    bank, fitness = recorded(episodes)
    if case == "constant":
        fitness = np.zeros(episodes)
    if case == "nan":
        fitness = np.full(episodes, np.nan)
    evidence = screen_terms(INTERFACE, bank, fitness)
    assert evidence.scores == {}
    assert evidence.picks == {}
    assert "position" in evidence.stats
    assert BuiltinDesigner(evidence=evidence).propose(CONTEXT, new(3), round=1)


def test_screening_survives_nan_features_and_ignores_the_order_of_rows():
    bank, fitness = recorded()
    bank.next_obs["joint_velocity"][3] = math.nan
    evidence = screen_terms(INTERFACE, bank, fitness)
    assert all(math.isfinite(v) for v in evidence.scores.values())
    order = torch.randperm(len(bank.episode), generator=torch.Generator().manual_seed(0))
    mixed = Recorded(
        {k: v[order] for k, v in bank.obs.items()},
        bank.action[order],
        {k: v[order] for k, v in bank.next_obs.items()},
        bank.episode[order],
        bank.t[order],
    )
    again = screen_terms(INTERFACE, mixed, fitness)
    assert again.scores["gain position"] == evidence.scores["gain position"]


def test_screening_refuses_another_number_of_episodes():
    bank, fitness = recorded()
    with pytest.raises(ValueError, match="30 episodes"):
        screen_terms(INTERFACE, bank, fitness[:-1])


# --- breeding ------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_variation_keeps_genomes_writable(seed, with_evidence):
    rng = np.random.default_rng(seed)
    breeder = Breeder(INTERFACE, screen_terms(INTERFACE, *recorded()) if with_evidence else None)
    parents = [Parent(str(i), breeder.first(100 + i, rng)[0], {}) for i in range(3)]
    for _ in range(8):
        genome = breeder.vary(parents[0], rng)[0] if rng.random() < 0.7 else breeder.crossed(*parents[:2], rng)
        assert 1 <= len(genome) <= 6
        assert len({t.key for t in genome}) == len(genome)
        assert any(t.signal is not None for t in genome)
        assert read_genome(write_source(genome, INTERFACE), INTERFACE) is not None
        parents[rng.integers(3)] = Parent(str(rng.integers(3)), genome, {})


def test_balance_scales_the_drowning_component_down():
    genome = (Term("alive", weight=0.5), Term("high", Signal("entry", "position"), weight=100.0), Term("effort"))
    balanced = balance(Parent("a", genome, {"alive": 0.5, "position": 90.0, "effort": -0.1}))
    assert [t.weight for t in balanced] == [0.5, pytest.approx(5.0), 1.0]


def test_costs_alone_never_make_an_early_end_attractive():
    def only_costs(term: Term) -> bool:
        signal = term.signal
        return term.verb == "effort" or (signal is not None and signal.never_negative and term.verb in ("less", "low"))

    costs = (Term("low", Signal("size", "position")), Term("less", Signal("square", "position")))
    found = set()
    for seed in range(60):
        for ended in (0.5, 0.0):
            breeder, rng = Breeder(INTERFACE, Evidence(ended=ended)), np.random.default_rng(seed)
            child, _ = breeder.vary(Parent("a", costs, {}), rng)
            found.add((ended, all(map(only_costs, child))))
    assert found == {(0.5, False), (0.0, False), (0.0, True)}


def test_a_tiny_interface_is_enough():
    tiny = RewardInterface(features=(FeatureSpec(name="x"),), action=ActionSpec(kind="discrete", n=2))
    context = DesignContext(EnvironmentCard("tiny", "", tiny), CONTEXT.task)
    proposals = BuiltinDesigner().propose(context, new(12), round=1)
    assert len({p.code for p in proposals}) == 12


# --- the designer --------------------------------------------------------------------------------------------------


def test_proposals_are_valid_different_and_say_what_they_are():
    evidence = screen_terms(INTERFACE, *recorded())
    proposals = BuiltinDesigner(evidence=evidence).propose(CONTEXT, new(16), round=1)
    assert [p.id for p in proposals] == [f"r1s{i}" for i in range(16)]
    assert len({p.code for p in proposals}) == 16
    for p in proposals:
        assert p.origin == "builtin"
        assert "not a language model" in p.thoughts
        assert SIGNATURE in p.code
        total, components = run(p.code, INTERFACE)
        assert total.shape == (11,)
        assert torch.isfinite(total).all()
        assert all(c.shape == (11,) for c in components.values())
    assert any('["position"]' in p.code for p in proposals[:3])


def test_the_same_seed_proposes_the_same_and_another_something_else():
    first = BuiltinDesigner(3).propose(CONTEXT, new(6), round=1)
    assert BuiltinDesigner(3).propose(CONTEXT, new(6), round=1) == first
    assert BuiltinDesigner(3).propose(CONTEXT, new(4), round=1) == first[:4]
    assert [p.code for p in BuiltinDesigner(4).propose(CONTEXT, new(6), round=1)] != [p.code for p in first]
    other = dataclasses.replace(CONTEXT, seed=9)
    assert [p.code for p in BuiltinDesigner(3).propose(other, new(6), round=1)] != [p.code for p in first]


def test_children_descend_from_their_parents_as_they_were_ordered():
    designer = BuiltinDesigner()
    first = [DesignParent(p.id, p.code) for p in designer.propose(CONTEXT, new(8), round=1)]
    work = [
        Assignment(0, "tweak", parents=(first[7],)),
        Assignment(1, "crossover", parents=(first[6], first[5])),
        Assignment(2, "new", idea=9),
        *(Assignment(3 + i, "restructure", parents=(first[4],)) for i in range(9)),
    ]
    second = designer.propose(CONTEXT, work, round=2)
    assert [p.id for p in second] == [f"r2s{i}" for i in range(12)]
    assert [p.parents for p in second] == [("r1s7",), ("r1s6", "r1s5"), (), *[("r1s4",)] * 9]
    assert [p.edit for p in second] == [order.edit for order in work]
    assert len({p.code for p in (*first, *second)}) == 20
    parent, tweaked = (read_genome(code, INTERFACE) for code in (first[7].code, second[0].code))
    assert [t.signal for t in parent] == [t.signal for t in tweaked], "a tweak changes numbers alone"
    assert second == BuiltinDesigner().propose(CONTEXT, work, round=2)  # nothing is remembered between calls


def test_code_it_cannot_read_means_a_fresh_start():
    foreign = DesignParent("file", "def compute_reward(obs, action, next_obs):\n    ...")
    work = [Assignment(i, "restructure", parents=(foreign,)) for i in range(3)]
    proposals = BuiltinDesigner().propose(CONTEXT, work, round=2)
    assert all((p.parents, p.edit) == ((), "new") for p in proposals)


def test_repair_drops_the_blamed_component():
    designer = BuiltinDesigner()
    genome = (Term("high", Signal("entry", "position")), Term("alive", weight=0.5))
    (proposal,) = designer.propose(CONTEXT, new(1), round=1)
    proposal = proposal.model_copy(update={"code": write_source(genome, INTERFACE)})
    finding = Finding(id="data.constant", severity="refuse", message="the component `alive` is constant")
    repaired = designer.repair(CONTEXT, proposal, Verdict(candidate="r1s0", accepted=False, findings=(finding,)))
    assert repaired is not None
    assert (repaired.id, repaired.repair_of) == ("r1s0f1", "r1s0")
    (kept,) = read_genome(repaired.code, INTERFACE) or ()
    assert kept.key == "high position"


def test_repair_varies_without_a_culprit_and_ends():
    designer = BuiltinDesigner(repairs=2)
    proposal = designer.propose(CONTEXT, new(1), round=1)[0]
    verdict = Verdict(candidate="r1s0", accepted=False)
    second = designer.repair(CONTEXT, proposal, verdict)
    assert second is not None
    assert second.code != proposal.code
    third = designer.repair(CONTEXT, second, verdict)
    assert third is not None
    assert designer.repair(CONTEXT, third, verdict) is None
    foreign = proposal.model_copy(update={"code": "x = 1"})
    assert designer.repair(CONTEXT, foreign, verdict) is None


def test_discrete_actions():
    for p in BuiltinDesigner().propose(DISCRETE, new(8), round=1):
        total, _ = run(p.code, DISCRETE.environment.interface)
        assert total.shape == (11,)


def test_nothing_numeric_is_an_environment_fault():
    words = RewardInterface(
        features=(FeatureSpec(name="message", shape=(4,), dtype="uint8"),), action=ActionSpec(kind="discrete", n=2)
    )
    context = DesignContext(EnvironmentCard("text", "", words), CONTEXT.task)
    with pytest.raises(EnvironmentFault, match="no numeric feature"):
        BuiltinDesigner().propose(context, new(1), round=1)


@pytest.mark.parametrize("kind", ACTIONS)
def test_composed_rewards_compile_and_compute_the_same_in_the_graph(kind, jail):
    interface = RICH.model_copy(update={"action": ACTIONS[kind]})
    terms = all_terms(interface)
    for genome in (terms[:3], terms[5::40], terms[8::60]):
        code = write_source(genome, interface)
        result = compile_reward(code, interface, jail)
        assert result.program is not None, result.findings
        assert not [f for f in result.findings if f.severity != "info"]
        assert result.program.structural == ()
        total, components = run(code, interface)
        output = result.program(*batch(interface))
        torch.testing.assert_close(output.total, total)
        assert set(output.components) == set(components)
