"""EPIC, DARD and STARC on finite worlds, exact. The reference for `sampled.py`, and what its tests are held against.

A world has S states and A actions. `reward` is R[s, a, s'], (S, A, S); `transition` is T[s, a, s'] = P(s' | s, a),
(S, A, S). Every canonical form removes potential shaping R + gamma * phi(s') - phi(s). The two STARC forms also remove
S'-redistribution (what changes no expectation over s'); EPIC and DARD do not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ZERO = 1e-9  # a canonical form this small against its reward is zero: the reward carries no task information


# --- canonical forms -------------------------------------------------------------------------------------------------


def epic_form(reward: FloatArray, gamma: float) -> FloatArray:
    """(S, A, S): R(s,a,s') + E[gamma R(s',A,S') - R(s,A,S') - gamma R(S,A,S')], all uniform (arXiv 2006.13900)."""
    leaving = reward.mean(axis=(1, 2))
    return reward + gamma * leaving - leaving[:, None, None] - gamma * leaving.mean()


def dard_form(reward: FloatArray, transition: FloatArray, gamma: float) -> FloatArray:
    """(S, A, S): R(s,a,s') + E[gamma R(s',A,S'') - R(s,A,S') - gamma R(S',A,S'')] (arXiv 2201.10081).

    A is uniform, S' ~ T(s, A') with an action of its own, S'' ~ T(s', A) for the same A as in R(S', A, S'').
    """
    leaving = (transition * reward).sum(axis=2).mean(axis=1)
    onward = transition.mean(axis=1)  # (S, S'): where a random action leads
    # between[s, s'] = E[R(S', A, S'')] for S' from s and S'' from s'
    between = np.einsum("sx,xay,zay->sz", onward, reward, transition) / reward.shape[1]
    return reward + gamma * leaving - leaving[:, None, None] - gamma * between[:, None, :]


def value_form(reward: FloatArray, transition: FloatArray, gamma: float) -> FloatArray:
    """(S, A): E over s' of R - V(s) + gamma V(s') with V of the uniform policy (STARC's VAL, arXiv 2309.15257)."""
    expected = (transition * reward).sum(axis=2)
    value = np.linalg.solve(np.eye(len(reward)) - gamma * transition.mean(axis=1), expected.mean(axis=1))
    return expected - value[:, None] + gamma * transition @ value


def minimal_form(reward: FloatArray, transition: FloatArray, gamma: float) -> FloatArray:
    """(S, A): E over s' of R without the potential that leaves the least L2 norm (STARC's minimal form)."""
    expected = (transition * reward).sum(axis=2)
    shaping = (gamma * transition - np.eye(len(reward))[:, None, :]).reshape(-1, len(reward))
    potential = np.linalg.lstsq(shaping, expected.ravel(), rcond=None)[0]
    return expected - (shaping @ potential).reshape(expected.shape)


# --- distances -------------------------------------------------------------------------------------------------------


def epic_distance(first: FloatArray, second: FloatArray, gamma: float) -> float:
    """In [0, 1]: 0 equal up to shaping and positive scale, 1 opposite. Coverage is uniform over (s, a, s')."""
    return pearson_distance(epic_form(first, gamma), epic_form(second, gamma))


def dard_distance(first: FloatArray, second: FloatArray, transition: FloatArray, gamma: float) -> float:
    """In [0, 1], like `epic_distance`, over transitions that happen: uniform (s, a), s' ~ T(s, a)."""
    forms = (dard_form(reward, transition, gamma) for reward in (first, second))
    return pearson_distance(*forms, weights=transition)


def starc_distance(
    first: FloatArray,
    second: FloatArray,
    transition: FloatArray,
    gamma: float,
    *,
    form: Callable[[FloatArray, FloatArray, float], FloatArray] = minimal_form,
) -> float:
    """In [0, 2]: the L2 distance of the normalized canonical forms; 0 same orders of policies, 2 opposite ones.

    A reward whose canonical form is zero (shaping only) counts as the zero vector: distance 1 to others, 0 to its like.
    """
    x, y = (_normalized(form(reward, transition, gamma), reward) for reward in (first, second))
    return float(np.linalg.norm(x - y))


def pearson_distance(x: FloatArray, y: FloatArray, *, weights: FloatArray | None = None) -> float:
    """sqrt((1 - rho) / 2) in [0, 1] with the (weighted) correlation rho; NaN where either is constant."""
    w = np.ones_like(x) if weights is None else weights
    w = w / w.sum()
    x, y = x - (w * x).sum(), y - (w * y).sum()
    spread = np.sqrt((w * x * x).sum() * (w * y * y).sum())
    if spread == 0:
        return float("nan")
    return float(np.sqrt(max(0.0, 1 - (w * x * y).sum() / spread) / 2))


def _normalized(form: FloatArray, reward: FloatArray) -> FloatArray:
    norm = np.linalg.norm(form)
    return form / norm if norm > ZERO * np.linalg.norm(reward) else np.zeros_like(form)
