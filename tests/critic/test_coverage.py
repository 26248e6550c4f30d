"""Coverage of real and tiny worlds, and what the sampled distances make of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rewardsmith.critic.coverage import make_coverage
from rewardsmith.envs import Environment, resolve_env
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.reward.distances import Coverage, Distances, reward_distances
from tests.helpers.tiny_world import CONTINUOUS, DISCRETE, PointEnvironment, PointWorld

GAMMA = 0.95
NEAR = 0.05


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    with reward_jail() as jail:
        yield jail


def source(body: str, *, potential: str = "") -> str:
    more = f"\ndef potential(obs):\n    return {potential}\n" if potential else ""
    return f'def compute_reward(obs, action, next_obs):\n    r = {body}\n    return r, {{"r": r}}\n{more}'


def shaped(body: str, phi: str, *, stops: bool) -> str:
    """`body` with shaping written out by hand; `stops`: with Phi = 0 at terminal states."""
    before, after = (f"({phi})".replace("O[", f"{frame}[") for frame in ("obs", "next_obs"))
    ends = f"torch.where(next_obs['terminated'], 0.0, {after})" if stops else after
    return source(f"{body} + {GAMMA} * {ends} - {before}")


def compare(jail: Jail, environment: Environment, coverage: Coverage, **codes: str) -> Distances:
    programs = {}
    for name, code in codes.items():
        compiled = compile_reward(code, environment.interface, jail)
        assert compiled.program is not None, (name, compiled.findings)
        programs[name] = compiled.program
    return reward_distances(programs, coverage, gamma=GAMMA)


def between(distances: Distances, first: str, second: str, metric: str = "starc") -> float:
    matrix = distances.metrics[metric].matrix
    assert matrix is not None
    return float(matrix[distances.names.index(first), distances.names.index(second)])


# environment -> a reward, a potential, another reward
WORLDS = {
    "reacher": (
        "-next_obs['distance'] - 0.1 * (action**2).sum(dim=-1)",
        "30 * torch.tanh(9 * O['distance']) + torch.exp(-(O['distance'] / 0.03) ** 2) + O['to_target'].norm(dim=-1)",
        "next_obs['joint_angles'][:, 0].cos()",
    ),
    "Pendulum-v1": (
        "next_obs['x_cos'] - 0.1 * next_obs['angular_velocity'] ** 2",
        "20 * torch.tanh(5 * O['angular_velocity']) + torch.exp(-(O['y_sin'] / 0.1) ** 2) + O['x_cos'].abs()",
        "action[:, 0]",
    ),
    "CartPole-v1": (
        "1 - 4 * next_obs['pole_angular_velocity'].abs() - 5 * next_obs['terminated'].float()",
        "9 * torch.exp(-(O['pole_angle'] / 0.05) ** 2) + torch.tanh(9 * O['cart_velocity']) + O['pole_angle'].abs()",
        "next_obs['cart_velocity'].abs()",
    ),
}


@pytest.mark.parametrize("name", WORLDS)
def test_scale_and_shaping_are_no_distance_and_other_rewards_are(jail, name):
    body, phi, other = WORLDS[name]
    environment = resolve_env(name)
    coverage = make_coverage(environment, states=256)
    scalar = next(feature.name for feature in environment.interface.features if not feature.shape)
    found = compare(
        jail,
        environment,
        coverage,
        plain=source(body),
        scaled=source(f"7 * ({body})"),
        shaped=shaped(body, phi, stops=True),
        potential=source(body, potential=phi.replace("O[", "obs[")),
        negated=source(f"-({body})"),
        other=source(other),
        pure=shaped(f"0 * obs['{scalar}']", phi, stops=True),
    )
    for metric, far, opposite in (("starc", 0.3, 2), ("epic", 0.1, 1), ("dard", 0.1, 1)):
        for same in ("scaled", "shaped", "potential"):
            assert between(found, "plain", same, metric) < NEAR, (metric, same)
        assert between(found, "plain", "negated", metric) == pytest.approx(opposite, abs=1e-3)
        assert between(found, "plain", "other", metric) > far
    assert found.uninformative == ("pure",)
    assert between(found, "pure", "plain") == pytest.approx(1)
    assert "pure" in found.epic.left_out and "pure" in found.dard.left_out
    assert found.starc.matrix.equal(found.starc.matrix.T) and found.starc.matrix.diagonal().eq(0).all()


def test_an_offset_is_shaping_only_where_no_episode_ends_by_itself(jail):
    for name, ends in (("reacher", False), ("CartPole-v1", True)):
        environment = resolve_env(name)
        coverage = make_coverage(environment, states=256)
        assert bool(coverage.terminated.any()) == ends
        body = WORLDS[name][0]
        found = compare(jail, environment, coverage, plain=source(body), offset=source(f"{body} + 3"))
        assert (between(found, "plain", "offset") > NEAR) == ends


def test_shaping_that_forgets_the_end_of_an_episode_is_another_reward(jail):
    environment = resolve_env("CartPole-v1")
    coverage = make_coverage(environment, states=256)
    body, phi, _ = WORLDS["CartPole-v1"]
    codes = {"plain": source(body), "forgets": shaped(body, phi, stops=False), "stops": shaped(body, phi, stops=True)}
    found = compare(jail, environment, coverage, **codes)
    assert between(found, "plain", "stops") < NEAR < between(found, "plain", "forgets")
    for metric in ("epic", "dard"):  # they leave the ends out, and so cannot tell
        assert between(found, "plain", "forgets", metric) < NEAR


def test_what_only_impossible_transitions_pay_is_seen_by_epic_alone(jail):
    """A reacher's target never moves within an episode."""
    environment = resolve_env("reacher")
    body = WORLDS["reacher"][0]
    jump = f"{body} + 50 * (next_obs['target'] - obs['target']).norm(dim=-1)"
    coverage = make_coverage(environment, states=256)
    found = compare(jail, environment, coverage, plain=source(body), jump=source(jump))
    assert between(found, "plain", "jump") < NEAR and between(found, "plain", "jump", "dard") < NEAR
    assert between(found, "plain", "jump", "epic") > 0.2


# --- what cannot be compared

POSITION = "-next_obs['position'].abs()"


def test_memory_and_failing_numbers_have_no_place(jail):
    environment = PointEnvironment()
    remembers = """
def initial_memory(n):
    return {"count": torch.zeros(n)}

def compute_reward(obs, action, next_obs, memory):
    count = memory["count"] + 1
    return count, {"count": count}, {"count": count}
"""
    found = compare(
        jail,
        environment,
        make_coverage(environment, states=96),
        plain=source(POSITION),
        remembers=remembers,
        broken=source("1 / (next_obs['position'] * 0)"),
        twice=source(f"2 * {POSITION}"),
    )
    for metric in found.metrics.values():
        assert "memory" in metric.left_out["remembers"] and "not finite" in metric.left_out["broken"]
        assert metric.matrix is not None and metric.matrix[1].isnan().all() and metric.matrix[:, 2].isnan().all()
    assert between(found, "plain", "twice") < NEAR


def test_a_constant_among_others(jail):
    environment = resolve_env("Pendulum-v1")
    coverage = make_coverage(environment, states=64)
    found = compare(
        jail, environment, coverage, constant=source("0 * obs['x_cos'] + 3"), plain=source("next_obs['x_cos']")
    )
    assert found.uninformative == ("constant",) and set(found.epic.left_out) == {"constant"}


def test_too_few_transitions_say_so(jail):
    environment = PointEnvironment()
    found = compare(jail, environment, make_coverage(environment, states=4, actions=2), plain=source(POSITION))
    assert found.starc.matrix is None and "8 transitions are too few" in found.starc.note


# --- coverage


def test_coverage_holds_what_it_says():
    environment = PointEnvironment(DISCRETE)
    coverage = make_coverage(environment, states=30, actions=3, second_actions=2, seed=4)
    assert (coverage.states, coverage.actions, coverage.second_actions) == (30, 3, 2)
    assert coverage.obs["velocity"].shape == (30, 1) and coverage.next_obs["velocity"].shape == (30, 3, 1)
    assert coverage.second_obs is not None and coverage.second_obs["position"].shape == (30, 3, 2)
    moved = coverage.next_obs["position"] - coverage.obs["position"][:, None]
    assert moved.numpy() == pytest.approx(coverage.next_obs["velocity"][..., 0].numpy(), abs=1e-6)
    again = coverage.second_obs["position"] - coverage.next_obs["position"][..., None]
    assert again.numpy() == pytest.approx(coverage.second_obs["velocity"][..., 0].numpy(), abs=1e-6)
    assert coverage.env_steps >= 30 * (1 + 3 + 3 * 2)


def test_next_states_follow_from_their_actions():
    """From one state, a push to the right leads further right."""
    coverage = make_coverage(PointEnvironment(), states=40, actions=6)
    push, position = coverage.action[..., 0], coverage.next_obs["position"]
    assert (position.gather(1, push.argsort(1)).diff(dim=1) >= 0).all()


class Escaping(PointWorld):
    """Started near the edge, so that many steps end the episode."""

    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        super().reset(ids, seeds)
        self._state[ids, 0] = 1.8 * np.sign(self._state[ids, 0])
        self._show()


class EscapingEnvironment(PointEnvironment):
    def make_world(self, num_envs: int, *, threads: int = 1) -> PointWorld:
        return Escaping(num_envs, self.interface.action)


def test_no_step_is_taken_after_an_end():
    coverage = make_coverage(EscapingEnvironment(), states=40, actions=4)
    assert coverage.second_obs is not None
    ended = coverage.terminated
    assert 0 < int(ended.sum()) < ended.numel()
    assert (coverage.obs["position"].abs() <= 2).all()
    assert (coverage.next_obs["position"].abs() > 2).equal(ended)
    stayed = coverage.second_obs["position"] == coverage.next_obs["position"][..., None]
    assert stayed[ended].all() and not stayed[~ended].any()


def test_the_same_seed_gives_the_same_coverage_and_distances(jail):
    environment = EscapingEnvironment()
    a, b, c = (make_coverage(environment, states=60, seed=seed) for seed in (1, 1, 2))
    assert a.second_obs is not None and b.second_obs is not None
    for name, value in a.second_obs.items():
        assert value.equal(b.second_obs[name])
    assert not a.action.equal(c.action)
    codes = {"plain": source(POSITION), "fast": source("next_obs['velocity'][:, 0]")}
    first, second = (compare(jail, environment, coverage, **codes) for coverage in (a, b))
    for metric in first.metrics:
        assert between(first, "plain", "fast", metric) == between(second, "plain", "fast", metric)


def test_states_come_from_given_policies_too():
    def right(obs: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(obs), 1)

    coverage = make_coverage(PointEnvironment(), states=40, policies=[right])
    assert coverage.states == 40 and "1 given" in coverage.about
    assert coverage.obs["velocity"][20:].mean() > coverage.obs["velocity"][:20].mean() + 0.1


def test_a_world_that_cannot_go_back_gives_recorded_transitions(jail):
    environment = PointEnvironment(can_restore=False)
    coverage = make_coverage(environment)
    assert coverage.actions == 1 and coverage.second_obs is None and "cannot go back" in coverage.about
    body, phi = f"{POSITION} - 0.1 * action[:, 0] ** 2", "9 * torch.tanh(5 * O['position'])"
    codes = {"plain": source(body), "shaped": shaped(body, phi, stops=True), "negated": source(f"-({body})")}
    found = compare(jail, environment, coverage, **codes)
    assert between(found, "plain", "shaped") < NEAR and between(found, "plain", "negated") == pytest.approx(2)
    assert found.dard.matrix is None and "cannot go back" in found.dard.note


def test_one_step_episodes_have_no_second_step(monkeypatch):
    class Short(PointWorld):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.horizon = 1

        def step(self, action):
            super().step(action)
            self.truncated[:] = ~self.terminated

    environment = PointEnvironment()
    monkeypatch.setattr(environment, "make_world", lambda n, threads=1: Short(n, CONTINUOUS))
    coverage = make_coverage(environment, states=20)
    assert coverage.states == 20 and coverage.second_obs is None
