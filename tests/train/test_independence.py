"""A member's result is the same bits whatever its neighbours, their number, and the shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewardsmith.train import PpoConfig
from tests.helpers.tiny_world import (
    CONTINUOUS,
    DISCRETE,
    MULTI,
    GoNear,
    PointEnvironment,
    Poisoned,
    Raising,
    Shaped,
    ThereAndBack,
)
from tests.train.conftest import SMALL, files_of

PROGRAMS = {"a": GoNear(), "b": Shaped(), "c": GoNear(3.0), "d": GoNear(0.1)}
EVERYBODY = [(c, s) for c in "abcd" for s in (0, 1, 2)]
WIDE = SMALL.model_copy(update={"hidden": (64, 64), "num_envs": 16, "minibatch_size": 64, "env_steps": 960})
ODD = PpoConfig(
    env_steps=105 * 2, num_envs=5, rollout_steps=21, minibatch_size=7, epochs=1, hidden=(32, 96), evaluations=1,
    entropy_coef=0.01, activation="relu",
)  # fmt: skip


@pytest.mark.parametrize("action", [CONTINUOUS, DISCRETE, MULTI], ids=lambda a: a.kind)
@pytest.mark.parametrize("ppo", [SMALL, WIDE, ODD], ids=["small", "wide", "odd"])
def test_results_do_not_depend_on_the_company(train, tmp_path: Path, action, ppo) -> None:
    environment = PointEnvironment(action)
    train(EVERYBODY, PROGRAMS, ppo=ppo, environment=environment, out=tmp_path / "all")
    shards = [[("b", 1)], [("a", 0), ("a", 2)], [("a", 1), ("c", 0), ("d", 2)], EVERYBODY[5:], EVERYBODY[::-2]]
    for i, shard in enumerate(shards):
        train(shard, PROGRAMS, ppo=ppo, environment=environment, out=tmp_path / str(i))
        for member in shard:
            assert files_of(tmp_path / str(i), *member) == files_of(tmp_path / "all", *member), (shard, member)


def test_memory_members_do_not_depend_on_the_company(train, tmp_path: Path) -> None:
    programs = {"a": GoNear(), "m": ThereAndBack(), "n": ThereAndBack()}
    members = [("a", 0), ("m", 0), ("m", 1), ("n", 0)]
    train(members, programs, out=tmp_path / "all")
    for member in members:
        train([member], programs, out=tmp_path / "one")
        assert files_of(tmp_path / "one", *member) == files_of(tmp_path / "all", *member)


def test_seeds_and_candidates_differ(train) -> None:
    results = train([("a", 0), ("a", 1), ("b", 0)], PROGRAMS)
    assert len({r.curve[-1].fitness for r in results.values()}) == 3


@pytest.mark.parametrize(("bad", "state"), [(Poisoned(), "crashed_reward"), (Raising(), "crashed_reward")])
def test_a_failing_reward_ends_its_own_members_only(train, tmp_path: Path, bad, state) -> None:
    programs = {**PROGRAMS, "bad": bad}
    results = train([("a", 0), ("bad", 0), ("bad", 1), ("c", 1)], programs, out=tmp_path / "both")
    assert {results["bad", 0].state, results["bad", 1].state} == {state}
    assert results["bad", 0].error
    train([("a", 0)], PROGRAMS, out=tmp_path / "one")
    assert files_of(tmp_path / "one", "a", 0) == files_of(tmp_path / "both", "a", 0)


def test_a_diverging_member_ends_alone(train, tmp_path: Path) -> None:
    wild = SMALL.model_copy(update={"learning_rate": 1e38, "max_grad_norm": 1e30})
    results = train([("a", 0), ("a", 1)], PROGRAMS, ppo=wild)
    assert {r.state for r in results.values()} == {"diverged"}


def test_a_broken_world_is_blamed_on_the_member_that_breaks_it(train, tmp_path: Path) -> None:
    """The world raises when a point goes beyond 1.3, which only the reward for running away makes it do often."""
    environment = PointEnvironment(fail_beyond=1.3)
    long = SMALL.model_copy(update={"env_steps": 1200})
    results = train([("a", s) for s in range(6)], PROGRAMS, ppo=long, environment=environment, out=tmp_path / "all")
    states = {r.state for r in results.values()}
    assert "crashed_env" in states
    for (_, seed), result in results.items():
        alone = train([("a", seed)], PROGRAMS, ppo=long, environment=environment, out=tmp_path / f"one-{seed}")
        assert alone["a", seed].model_dump(exclude={"wall_s"}) == result.model_dump(exclude={"wall_s"})
