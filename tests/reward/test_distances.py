"""Distances between rewards: the exact forms on tables, and the sampled ones against them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.distances import Coverage, reward_distances
from rewardsmith.reward.distances.tabular import (
    dard_distance,
    epic_distance,
    minimal_form,
    pearson_distance,
    starc_distance,
    value_form,
)
from rewardsmith.types import ActionSpec, FeatureSpec, RewardInterface

GAMMA = 0.9
S, A = 8, 3


def recipe() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The world and the rewards whose distances are known; the order of the draws matters."""
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(S), (S, A))
    reward = rng.normal(size=(S, A, S))
    phi = 3 * rng.normal(size=S)
    extra = rng.normal(size=(S, A, S))
    extra -= (transition * extra).sum(axis=2, keepdims=True)
    other = rng.normal(size=(S, A, S))
    shaped = reward + GAMMA * phi - phi[:, None, None]
    rewards = {"itself": reward, "scaled": 5 * reward, "shaped": shaped, "redistributed": reward + 2 * extra}
    return transition, rewards | {"negated": -reward, "unrelated": other}


ANCHORS = {  # EPIC, DARD, STARC with VAL, STARC with the minimal form
    "itself": (0, 0, 0, 0),
    "scaled": (0, 0, 0, 0),
    "shaped": (0, 0, 0, 0),
    "redistributed": (0.498, 0.528, 0, 0),
    "negated": (1, 1, 2, 2),
    "unrelated": (0.706, 0.686, 1.480, 1.481),
}


@pytest.mark.parametrize("name", ANCHORS)
def test_known_distances(name):
    transition, rewards = recipe()
    reward, other = rewards["itself"], rewards[name]
    found = (
        epic_distance(reward, other, GAMMA),
        dard_distance(reward, other, transition, GAMMA),
        starc_distance(reward, other, transition, GAMMA, form=value_form),
        starc_distance(reward, other, transition, GAMMA),
    )
    assert found == pytest.approx(ANCHORS[name], abs=5e-4)


def test_without_a_canonical_form_shaping_looks_like_another_reward():
    _, rewards = recipe()
    assert pearson_distance(rewards["itself"], rewards["shaped"]) == pytest.approx(0.571, abs=5e-4)


def test_a_reward_that_is_shaping_only_is_zero():
    transition, rewards = recipe()
    phi = np.arange(S, dtype=float)
    shaping = np.broadcast_to(GAMMA * phi - phi[:, None, None], (S, A, S))
    assert np.abs(minimal_form(shaping, transition, GAMMA)).max() < 1e-12
    assert starc_distance(shaping, 0 * shaping, transition, GAMMA) == 0
    assert starc_distance(shaping, rewards["itself"], transition, GAMMA) == pytest.approx(1)
    assert np.isnan(pearson_distance(0 * shaping, shaping))


# --- regret


def optimal_policy(reward: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """(S,) best actions, by policy iteration."""
    expected = (transition * reward).sum(2)
    policy = np.zeros(len(reward), int)
    while True:
        value = returns(reward, transition, policy)
        better = (expected + GAMMA * transition @ value).argmax(1)
        if (better == policy).all():
            return policy
        policy = better


def returns(reward: np.ndarray, transition: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """(S,) discounted return from each state."""
    rows = np.arange(len(reward))
    expected = (transition * reward).sum(2)[rows, policy]
    return np.linalg.solve(np.eye(len(reward)) - GAMMA * transition[rows, policy], expected)


@pytest.mark.parametrize("seed", range(5))
def test_distance_orders_rewards_by_regret(seed):
    """Regret: what the best policy for a proxy loses under the true reward, of what can be lost."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(30, 0.2), (30, 4))
    true, noise, phi = rng.normal(size=(30, 4, 30)), rng.normal(size=(30, 4, 30)), rng.normal(size=30)
    shaping = 5 * (GAMMA * phi - phi[:, None, None])
    angles = np.linspace(0, np.pi, 9)
    proxies = [
        s * (np.cos(a) * true + np.sin(a) * noise) + shaping
        for s, a in zip(rng.uniform(0.1, 9, 9), angles, strict=True)
    ]
    best, worst = (returns(true, transition, optimal_policy(sign * true, transition)).mean() for sign in (1, -1))
    regret = [
        (best - returns(true, transition, optimal_policy(p, transition)).mean()) / (best - worst) for p in proxies
    ]
    distance = [starc_distance(true, proxy, transition, GAMMA) for proxy in proxies]
    assert regret[0] == pytest.approx(0, abs=1e-9) and regret[-1] == pytest.approx(1, abs=1e-9)
    assert kendalltau(distance, regret).statistic >= 0.8
    assert kendalltau([np.linalg.norm(true - p) for p in proxies], regret).statistic < 0.8  # it takes a canonical form


# --- the sampled forms, on the same kind of world

TABLE = RewardInterface(
    features=(FeatureSpec(name="state", dtype="int64", low=0, high=S - 1),), action=ActionSpec(kind="discrete", n=A)
)


def table_reward(table: np.ndarray) -> str:
    return f"""
def compute_reward(obs, action, next_obs):
    table = torch.tensor({np.round(table, 6).tolist()})
    r = table[obs["state"], action, next_obs["state"]]
    return r, {{"r": r}}
"""


def test_sampled_starc_is_the_exact_one_where_everything_is_covered(jail):
    """Every action once in every state of a world without chance."""
    rng = np.random.default_rng(3)
    goes = rng.integers(S, size=(S, A))
    transition = np.eye(S)[goes]
    tables = {name: np.round(rng.normal(size=(S, A, S)), 6) for name in ("a", "b", "c")}
    phi = rng.normal(size=S)
    tables["shaped"] = tables["a"] * 3 + GAMMA * phi - phi[:, None, None]
    state = torch.arange(S)
    coverage = Coverage(
        obs={"state": state},
        action=torch.arange(A).expand(S, A),
        next_obs={"state": torch.from_numpy(goes), "terminated": torch.zeros(S, A, dtype=torch.bool)},
    )
    programs = {name: compile_reward(table_reward(table), TABLE, jail).program for name, table in tables.items()}
    found = reward_distances(programs, coverage, gamma=GAMMA)
    exact = [[starc_distance(x, y, transition, GAMMA) for y in tables.values()] for x in tables.values()]
    assert found.starc.matrix.numpy() == pytest.approx(np.array(exact), abs=1e-3)
    assert found.dard.matrix is None and "second step" in found.dard.note
