"""Whatever a reward or an environment does, its member ends in a named state and its neighbours do not notice."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rewardsmith.engine import LocalEngine
from rewardsmith.train import PpoConfig, load_policy, member_folder, read_metrics, train_population
from rewardsmith.train.heads import make_head
from rewardsmith.types import ActionSpec, EnvSpec, Goal, Member, MemberResult
from tests.helpers import bad_worlds
from tests.helpers.bad_worlds import Fault, FaultyEnvironment
from tests.helpers.tiny_world import (
    CONTINUOUS,
    DISCRETE,
    GoNear,
    Output,
    PointEnvironment,
    PointWorld,
    Shaped,
    ThereAndBack,
)
from tests.train.conftest import SMALL, files_of, tiny_job

Change = Callable[[Output, Mapping[str, Tensor]], Any]
HEALTHY = {"a": GoNear(), "b": Shaped(), "m": ThereAndBack()}
NEIGHBOURS = [("a", 0), ("b", 1), ("m", 0)]
NAN, INF = math.nan, math.inf
Train = Callable[..., dict[tuple[str, int], MemberResult]]


class Changed(GoNear):
    """What `GoNear` pays, changed; `change` also gets the features after the step."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self._change = change

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Any:
        return self._change(super().__call__(obs, action, next_obs), next_obs)


class ChangedMemory(ThereAndBack):
    """What `ThereAndBack` pays and remembers, changed."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self._change = change

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Any:
        return self._change(super().__call__(obs, action, next_obs, memory=memory), next_obs)


def total(change: Callable[[Tensor], object]) -> Changed:
    return Changed(lambda out, _: out._replace(total=change(out.total)))


def component(change: Callable[[Tensor], object]) -> Changed:
    return Changed(lambda out, _: out._replace(components={"near": out.components["near"], "odd": change(out.total)}))


def memory(change: Callable[[Tensor], object]) -> ChangedMemory:
    return ChangedMemory(lambda out, _: out._replace(memory=change(out.memory["stage"])))  # type: ignore[index]


class Potential(Shaped):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._change = change

    def potential(self, obs: Any) -> Tensor:
        return self._change(obs["position"])


class Worsening(GoNear):
    """NaN from the given call on; it is called once per rollout."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self._call = call

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        out = super().__call__(obs, action, next_obs)
        return out._replace(total=out.total * NAN) if len(self.rows) >= self._call else out


class OneRow(GoNear):
    """One odd number in the first rollout."""

    def __init__(self, index: int, value: float) -> None:
        super().__init__()
        self._index, self._value = index, value

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        out = super().__call__(obs, action, next_obs)
        if len(self.rows) == 1:
            out.total[self._index] = self._value
        return out


def lasting(result: MemberResult) -> dict[str, Any]:
    """What may not depend on the company."""
    return result.model_dump(exclude={"wall_s"})


def weights(out: Path, candidate: str, seed: int) -> list[Tensor]:
    policy = load_policy(member_folder(out, Member(candidate, seed)) / "policy.safetensors")
    return [tensor for layer in policy.weights for tensor in layer]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The neighbours trained without anybody else."""
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture
def beside(train, undisturbed: Path, tmp_path: Path) -> Callable[..., dict[tuple[str, int], MemberResult]]:
    """Train the seeds 0 and 1 of a program as candidate "bad" between the neighbours, who must not notice."""
    if not any(undisturbed.iterdir()):
        train(NEIGHBOURS, HEALTHY, out=undisturbed)

    def run(program: GoNear) -> dict[tuple[str, int], MemberResult]:
        members = [*NEIGHBOURS, ("bad", 0), ("bad", 1)]
        results = train(members, {**HEALTHY, "bad": program}, out=tmp_path / "beside")
        for member in NEIGHBOURS:
            assert results[member].state == "trained"
            assert files_of(tmp_path / "beside", *member) == files_of(undisturbed, *member), member
        return results

    return run


# --- rewards -------------------------------------------------------------------------------------------------------

BAD = {
    "nan": (total(lambda r: r * NAN), "60 of 60 rows"),
    "infinite": (total(lambda r: r + INF), "60 of 60 rows"),
    "sometimes": (
        Changed(lambda out, after: out._replace(total=torch.where(after["position"] > 0.5, -INF, out.total))),
        "was not finite",
    ),
    "overflow": (total(lambda r: r.double() * 1e300), "60 of 60 rows"),
    "component_too": (
        Changed(lambda out, _: out._replace(total=out.total * NAN, components={"odd": out[0] * NAN, "good": out[0]})),
        "components: odd",
    ),
    "quadratic": (total(lambda r: r[:, None] + r), "the total has the shape"),
    "one_number": (total(lambda r: r.sum()), "the total has the shape"),
    "no_tensor": (total(lambda r: 1.0), "the total is no tensor but float"),
    "nothing": (Changed(lambda out, _: None), "NoneType"),
    "wide_component": (component(lambda r: torch.stack([r, r], 1)), "component odd has the shape"),
    "short_component": (component(lambda r: r[:3]), "component odd has the shape"),
    "potential": (Potential(lambda x: torch.where(x > 0.5, NAN, x)), "was not finite"),
    "potential_of_all": (Potential(lambda x: x.sum()), "the potential has the shape"),
    "memory_nan": (memory(lambda stage: {"stage": stage * NAN}), "memory was not finite"),
    "memory_grows": (memory(lambda stage: {"stage": (stage + 1) * 1e9}), "memory was not finite"),
    "memory_gone": (memory(lambda stage: None), "memory changes its form"),
    "memory_wider": (memory(lambda stage: {"stage": stage.repeat(1, 2)}), "memory changes its form"),
    "memory_renamed": (memory(lambda stage: {"other": stage}), "memory changes its form"),
    "memory_of_ints": (memory(lambda stage: {"stage": stage.long()}), "memory changes its form"),
    "memory_short": (memory(lambda stage: {"stage": stage[:2]}), "memory stage has the shape"),
    "memory_reward": (ChangedMemory(lambda out, _: out._replace(total=out.total * NAN)), "was not finite"),
    "memory_names": (
        ChangedMemory(lambda out, _: out._replace(components={f"stage{int(out.memory['stage'].max())}": out.total})),  # type: ignore[index]
        "names of the components",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_reward_ends_its_own_members(case: str, train, beside) -> None:
    program, says = BAD[case]
    results = beside(program)
    assert {results["bad", seed].state for seed in (0, 1)} == {"crashed_reward"}
    assert says in results["bad", 0].error
    alone = train([("bad", 1)], {"bad": program})
    assert lasting(alone["bad", 1]) == lasting(results["bad", 1])


HARMLESS = {
    "column": total(lambda r: r[:, None]),
    "doubles": total(lambda r: r.double()),
    "component_nan": component(lambda r: r * NAN),
    "component_infinite": component(lambda r: r / 0.0),
    "component_too_large": component(lambda r: r.double() * 1e308),
    "component_column": component(lambda r: r[:, None]),
    "gradient": total(lambda r: r * torch.ones((), requires_grad=True)),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_does_not_matter_changes_nothing(case: str, train, beside, undisturbed: Path, tmp_path: Path) -> None:
    """The weights are those of the plain reward, and everything that is written down can be read again."""
    results = beside(HARMLESS[case])
    out = tmp_path / "beside"
    assert same(weights(out, "bad", 0), weights(undisturbed, "a", 0))
    points = read_metrics(member_folder(out, Member("bad", 0)) / "metrics.jsonl")
    assert len(points) == 3 and points == list(results["bad", 0].curve)
    assert all(math.isfinite(value) for point in points for value in point.components.values())
    again = train([("bad", 0)], {"bad": HARMLESS[case]}, out=out)
    assert again["bad", 0].curve == results["bad", 0].curve


@pytest.mark.parametrize(
    "program",
    [
        total(lambda r: (10 * r).long()),
        total(lambda r: r > 1),
        total(lambda r: r * -0.0),
        total(lambda r: r * 1e-42),
        total(lambda r: r / 4 * 3e38),
        Changed(lambda out, after: out._replace(total=torch.where(after["position"] > 0.9, 3e38, out.total))),
    ],
    ids=["ints", "bools", "minus_zero", "denormal", "huge", "outliers"],
)
def test_strange_rewards_are_trained_on(program: GoNear, beside, tmp_path: Path) -> None:
    results = beside(program)
    assert {results["bad", seed].state for seed in (0, 1)} == {"trained"}
    assert all(bool(w.isfinite().all()) for w in weights(tmp_path / "beside", "bad", 0))


def test_a_reward_may_go_wrong_later(train, beside, tmp_path: Path) -> None:
    """The fourth iteration of six is the first bad one: the checkpoint and the curve of the second remain."""
    results = beside(Worsening(4))
    assert results["bad", 0].state == "crashed_reward" and results["bad", 0].env_steps == 4 * SMALL.batch
    train([("bad", 0)], {"bad": GoNear()}, out=tmp_path / "healthy", until_steps=2 * SMALL.batch)
    assert files_of(tmp_path / "beside", "bad", 0) == files_of(tmp_path / "healthy", "bad", 0)
    assert [p.env_steps for p in results["bad", 0].curve] == [2 * SMALL.batch]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_one_bad_row_ends_the_seed_that_it_belongs_to(value: float, beside, undisturbed: Path, tmp_path: Path) -> None:
    """Rows are (step, seed, environment): row 4 is the second environment of seed 1 in the first step."""
    results = beside(OneRow(4, value))
    assert results["bad", 1].state == "crashed_reward" and "1 of 60 rows" in results["bad", 1].error
    assert results["bad", 0].state == "trained"
    assert same(weights(tmp_path / "beside", "bad", 0), weights(undisturbed, "a", 0))


def test_a_gradient_that_explodes_ends_its_member_only(train, tmp_path: Path) -> None:
    ppo = SMALL.model_copy(update={"normalize_reward": "off"})
    programs = {"a": GoNear(), "bad": total(lambda r: r / 4 * 3e38)}
    results = train([("a", 0), ("bad", 0), ("a", 1)], programs, ppo=ppo, out=tmp_path / "both")
    assert results["bad", 0].state == "diverged" and "no longer finite" in results["bad", 0].error
    alone = train([("bad", 0)], programs, ppo=ppo)
    assert lasting(alone["bad", 0]) == lasting(results["bad", 0])
    train([("a", 0), ("a", 1)], programs, ppo=ppo, out=tmp_path / "one")
    for member in (("a", 0), ("a", 1)):
        assert files_of(tmp_path / "both", *member) == files_of(tmp_path / "one", *member)


class Scaled(Shaped):
    """Dense reward and shaping, both times `scale`."""

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        return GoNear(self.scale)(obs, action, next_obs)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 2.0**-100, 2.0**100])
def test_extreme_scales_train_alike(scale: float, train, tmp_path: Path) -> None:
    train([("a", 0), ("b", 0)], {"a": Scaled(1.0), "b": Scaled(scale)}, out=tmp_path)
    plain, scaled = weights(tmp_path, "a", 0), weights(tmp_path, "b", 0)
    if math.log2(scale).is_integer():
        assert same(plain, scaled)
    else:
        assert max(float((x - y).abs().max()) for x, y in zip(plain, scaled, strict=True)) < 1e-5


class TwoMemories(GoNear):
    """Remembers three numbers in two entries of different kinds."""

    uses_memory = True

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        memory = memory or self.initial_memory(len(action), action.device)
        paid = next_obs["position"] * memory["odd"][:, 0] + memory["seen"].sum(1)
        seen = torch.maximum(memory["seen"], next_obs["velocity"].expand(-1, 2))
        return Output(paid, {"paid": paid}, {"seen": seen, "odd": ~memory["odd"]})

    def initial_memory(self, n: int, device: Any) -> dict[str, Tensor]:
        return {"seen": torch.zeros(n, 2, device=device), "odd": torch.zeros(n, 1, dtype=torch.bool, device=device)}


def test_memories_of_different_widths_in_one_job(train, undisturbed: Path, tmp_path: Path) -> None:
    programs = {**HEALTHY, "w": TwoMemories(), "bad": memory(lambda stage: {"stage": stage * NAN})}
    members = [*NEIGHBOURS, ("bad", 0), ("w", 0), ("w", 1)]
    results = train(members, programs, out=tmp_path / "all")
    assert {m for m, r in results.items() if r.state != "trained"} == {("bad", 0)}
    train([("w", 1)], programs, out=tmp_path / "one")
    assert files_of(tmp_path / "one", "w", 1) == files_of(tmp_path / "all", "w", 1)
    train(NEIGHBOURS, HEALTHY, out=undisturbed)
    for member in NEIGHBOURS:
        assert files_of(tmp_path / "all", *member) == files_of(undisturbed, *member)


# --- environments --------------------------------------------------------------------------------------------------

FAULTS: list[tuple[Fault, str, str]] = [
    ("nan", "crashed_env", "observation not finite"),
    ("inf", "crashed_env", "observation not finite"),
    ("raise", "crashed_env", "the wheel came off"),
    ("raise_in_reset", "crashed_env", "no such level"),
    ("diverge", "trained", ""),  # an episode ends there: see VecWorld.diverged
]


@pytest.mark.parametrize(("action", "at"), [(CONTINUOUS, 7), (DISCRETE, 1)], ids=["later", "at_once"])
@pytest.mark.parametrize(("fault", "state", "says"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_faulty_environment_ends_the_members_that_meet_it(
    fault: Fault, state: str, says: str, action: ActionSpec, at: int, train, tmp_path: Path
) -> None:
    environment = FaultyEnvironment({fault: [7]}, num_envs=SMALL.num_envs, at=at, action=action)
    others, cursed = [("a", 0), ("b", 0)], [("a", 7), ("b", 7)]
    results = train([*others, *cursed], HEALTHY, environment=environment, out=tmp_path / "all")
    train(others, HEALTHY, environment=environment, out=tmp_path / "others")
    for member in others:
        assert results[member].state == "trained"
        assert files_of(tmp_path / "all", *member) == files_of(tmp_path / "others", *member)
    alone = train([("a", 7)], HEALTHY, environment=environment)
    assert lasting(alone["a", 7]) == lasting(results["a", 7])
    for member in cursed:
        assert results[member].state == state and says in results[member].error
        assert (results[member].broken_episodes > 0) == (fault == "diverge")
    assert not any(results[member].broken_episodes for member in others)


def test_episodes_that_broke_down_are_counted_once_whatever_the_stops(train, tmp_path: Path) -> None:
    """All training episodes of seed 7 break down in their third step; those of seed 0 do not."""
    environment = FaultyEnvironment({"diverge": [7]}, num_envs=SMALL.num_envs, at=3)
    members = [("a", 0), ("a", 7)]
    whole = train(members, HEALTHY, environment=environment, out=tmp_path / "whole")
    for until in (120, 240, None):
        parts = train(members, HEALTHY, environment=environment, out=tmp_path / "parts", until_steps=until)
    for member in members:
        assert lasting(parts[member]) == lasting(whole[member])
    cursed = whole["a", 7]
    evaluated = sum(point.episodes for point in cursed.curve) + SMALL.eval_episodes  # of the policy that was kept
    # the few that run when the training ends have not broken down yet
    assert cursed.episodes - evaluated - cursed.broken_episodes <= SMALL.num_envs
    assert cursed.broken_episodes >= SMALL.num_envs
    assert whole["a", 0].broken_episodes == 0 and whole["a", 0].episodes > evaluated


def test_an_environment_that_cannot_go_on_from_a_checkpoint_ends_its_member(train, tmp_path: Path) -> None:
    environment = FaultyEnvironment({"raise_in_restore": [7]}, num_envs=SMALL.num_envs, at=1)
    members = [("a", 0), ("a", 7)]
    train(members, HEALTHY, environment=environment, out=tmp_path / "all", until_steps=120)
    results = train(members, HEALTHY, environment=environment, out=tmp_path / "all")
    assert results["a", 7].state == "crashed_env" and "no such save game" in results["a", 7].error
    assert results["a", 7].env_steps == 120
    train([("a", 0)], HEALTHY, environment=environment, out=tmp_path / "one")
    assert files_of(tmp_path / "all", "a", 0) == files_of(tmp_path / "one", "a", 0)


def test_stuck_and_killed_processes_cost_only_the_members_to_blame(tmp_path: Path) -> None:
    """In the second rollout: every member goes on alone from its checkpoint, and the bad ones fail again."""
    ppo = SMALL.model_copy(update={"env_steps": 120, "rollout_steps": 10, "checkpoint_steps": 30, "evaluations": 1})
    faults = {"hang": [7], "kill": [8]}
    env = EnvSpec(name="tiny", kwargs={"faults": faults, "num_envs": ppo.num_envs, "at": 15})
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps({"program": "GoNear"}))
    results = train_population(
        env, Goal(kind="native"), {"a": graph}, seeds=[0, 7, 8], ppo=ppo, engine=LocalEngine(workers=1, stall_s=4.0),
        out=tmp_path / "all", racing=False, module="tests.helpers.bad_worlds",
    )  # fmt: skip
    healthy, stuck, killed = results["a"].members
    assert healthy.state == "trained"
    assert stuck.state == "crashed_env" and "no sign of life for 4 s" in stuck.error
    assert killed.state == "crashed_env" and "the process of tiny was killed by SIGKILL" in killed.error
    job = tiny_job(tmp_path / "one", [("a", 0)], ppo)
    bad_worlds.run(job.model_copy(update={"env": env, "programs": {"a": str(graph)}}))
    assert files_of(tmp_path / "all", "a", 0) == files_of(tmp_path / "one", "a", 0)


class OddWorld(PointWorld):
    """A point world with other observations or ends of episodes; takes any action."""

    def __init__(
        self, num_envs: int, action: ActionSpec, look: Callable[[Tensor], Tensor], ends: tuple[bool, bool] | None
    ) -> None:
        super().__init__(num_envs, action)
        self._look, self._ends = look, ends
        self._allocate(num_envs, look(torch.zeros(1, 2)).shape[1])

    def _show(self) -> None:
        self.obs.copy_(self._look(torch.from_numpy(self._state).float()))

    def step(self, action: Tensor) -> None:
        assert bool(torch.isfinite(action.float()).all())
        super().step(action.clamp(-1, 1) if self.action.kind == "continuous" else action)
        if self._ends is not None:
            self.terminated[:], self.truncated[:] = self._ends


class OddEnvironment(PointEnvironment):
    def __init__(
        self,
        action: ActionSpec = CONTINUOUS,
        look: Callable[[Tensor], Tensor] = lambda state: state,
        ends: tuple[bool, bool] | None = None,
    ) -> None:
        super().__init__(action)
        self._look, self._ends = look, ends

    def make_world(self, num_envs: int, *, threads: int = 1) -> PointWorld:
        return OddWorld(num_envs, self.interface.action, self._look, self._ends)


def bounded(low: float, high: float) -> ActionSpec:
    return ActionSpec(kind="continuous", shape=(1,), low=(low,), high=(high,))


ODD = {
    "one_choice": OddEnvironment(ActionSpec(kind="discrete", n=1)),
    "no_choices": OddEnvironment(ActionSpec(kind="multi_discrete", shape=(2,), nvec=(1, 1))),
    "unbounded": OddEnvironment(ActionSpec(kind="continuous", shape=(1,))),
    "one_action": OddEnvironment(bounded(0.5, 0.5)),
    "wide_bounds": OddEnvironment(bounded(-1e38, 1e38)),
    "one_number": OddEnvironment(look=lambda state: state[:, :1]),
    "constant": OddEnvironment(look=lambda state: torch.full_like(state, 0.1)),
    "constant_huge": OddEnvironment(look=lambda state: torch.full_like(state, 1e30)),
    "huge": OddEnvironment(look=lambda state: state * 1e30),
    "at_the_limit": OddEnvironment(look=lambda state: (state * 1e38).clamp(-3.4e38, 3.4e38)),
    "denormal": OddEnvironment(look=lambda state: state * 1e-40),
    "ends_at_once": OddEnvironment(ends=(True, False)),
    "is_cut_at_once": OddEnvironment(ends=(False, True)),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_environments_are_trained_in(case: str, train, tmp_path: Path) -> None:
    members = [("a", 0), ("b", 1)]
    results = train(members, HEALTHY, environment=ODD[case], out=tmp_path / "all")
    for member in members:
        assert results[member].state == "trained" and len(results[member].curve) == 3
        assert all(bool(w.isfinite().all()) for w in weights(tmp_path / "all", *member))
    train(members[1:], HEALTHY, environment=ODD[case], out=tmp_path / "one")
    assert files_of(tmp_path / "one", "b", 1) == files_of(tmp_path / "all", "b", 1)


def test_episodes_without_an_end_are_the_environments_fault(train) -> None:
    results = train([("a", 0), ("a", 1)], HEALTHY, environment=OddEnvironment(ends=(False, False)))
    assert {r.state for r in results.values()} == {"crashed_env"}
    assert all("after their horizon" in r.error for r in results.values())


# --- settings ------------------------------------------------------------------------------------------------------

SETTINGS: dict[str, tuple[dict[str, object], int, int]] = {  # changes, points on the curve, env steps
    "two_rows": ({"num_envs": 2, "rollout_steps": 1, "minibatch_size": 2, "env_steps": 8}, 3, 8),
    "one_environment": ({"num_envs": 1, "rollout_steps": 2, "minibatch_size": 2, "env_steps": 8}, 3, 8),
    "one_minibatch": ({"minibatch_size": 60}, 3, 360),
    "one_step": ({"env_steps": 1}, 1, 60),  # an iteration is the least there is
    "rare_checkpoints": ({"checkpoint_steps": 10**9}, 3, 360),
    "rollouts_within_episodes": ({"rollout_steps": 5, "minibatch_size": 5, "env_steps": 120}, 3, 120),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_at_their_limits(case: str, train, tmp_path: Path) -> None:
    changes, points, env_steps = SETTINGS[case]
    ppo = PpoConfig.model_validate({**SMALL.model_dump(), **changes})
    members = [("a", 0), ("m", 0), ("b", 1)]
    results = train(members, HEALTHY, ppo=ppo, out=tmp_path / "all")
    for member in members:
        assert (results[member].state, len(results[member].curve)) == ("trained", points)
        assert results[member].env_steps == results[member].curve[-1].env_steps == env_steps
        train([member], HEALTHY, ppo=ppo, out=tmp_path / "one")
        assert files_of(tmp_path / "one", *member) == files_of(tmp_path / "all", *member)
    assert np.isfinite([p.reward for r in results.values() for p in r.curve]).all()


@pytest.mark.parametrize(
    "changes",
    [{"minibatch_size": 1}, {"num_envs": 1, "rollout_steps": 1, "minibatch_size": 1, "env_steps": 5}],
    ids=["minibatch", "rollout"],
)
def test_minibatches_of_one_row(changes: dict[str, int], train: Train) -> None:
    """Of one number there is no deviation to normalize by."""
    results = train([("a", 0)], {"a": GoNear()}, ppo=SMALL.model_copy(update=changes))
    assert results["a", 0].state == "trained"


def test_bounds_near_the_largest_float() -> None:
    """high - low overflows in float32."""
    spec = ActionSpec(kind="continuous", shape=(1,), low=(-3.4e38,), high=(3.4e38,))
    applied = make_head(spec, rescale=True).applied(torch.tensor([[0.0], [0.5]]))
    assert applied[:, 0].tolist() == pytest.approx([0.0, 1.7e38], rel=1e-6)


def test_a_broken_member_hands_no_infinity_to_unbounded_physics() -> None:
    head = make_head(ActionSpec(kind="continuous", shape=(1,)), rescale=True)
    assert bool(torch.isfinite(head.applied(torch.tensor([[math.nan], [0.0]]))).all())


def test_an_action_bounded_on_one_side_survives_json() -> None:
    spec = ActionSpec(kind="continuous", shape=(1,), low=(0.0,), high=(math.inf,))
    assert ActionSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_world_that_says_both_has_terminated(train: Train, tmp_path: Path) -> None:
    """Then nothing is bootstrapped."""
    for name, ends in (("both", (True, True)), ("one", (True, False))):
        train([("a", 0)], {"a": GoNear()}, environment=OddEnvironment(ends=ends), out=tmp_path / name)
    assert same(weights(tmp_path / "both", "a", 0), weights(tmp_path / "one", "a", 0))
