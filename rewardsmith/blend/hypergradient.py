"""How an outer objective changes with the weights of the inner one, by implicit differentiation.

The inner optimum theta*(phi) is where the update direction vanishes: update(theta*, phi) = 0. Differentiating that,

    d objective / d phi = - (d objective / d theta) (d update / d theta)^-1 (d update / d phi)

and the inverse is never formed: a Neumann series of vector-Jacobian products approximates what it does to a vector.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Linear = Callable[[Tensor], Tensor]


def hypergradient(
    objective: Tensor,
    update: Tensor,
    theta: Tensor,
    phi: Tensor,
    *,
    terms: int = 5,
    step: float | None = None,
) -> Tensor:
    """d objective / d phi (K,) at the inner optimum `theta` (D,).

    Args:
        objective: scalar, computed from `theta` with autograd; higher is better.
        update: (D,), the direction in which the inner loop moves `theta`, computed from `theta` and `phi` with
            autograd such that it can be differentiated again (`create_graph=True`).
        theta, phi: leaves that require gradients.
        terms: of the Neumann series. Few of them undervalue directions in which the inner objective is flat.
        step: of the series, below 2 / the largest curvature; None: 1 / the largest, found by power iteration.
    """
    (outer,) = torch.autograd.grad(objective, theta, retain_graph=True)

    def curvature(vector: Tensor) -> Tensor:
        """vector^T (- d update / d theta): positive definite at a strict inner optimum."""
        return -torch.autograd.grad(update, theta, vector, retain_graph=True)[0]

    scale = 1 / largest_curvature(curvature, outer) if step is None else step
    solved = neumann(curvature, outer, terms=terms, step=scale)
    return torch.autograd.grad(update, phi, solved)[0]


def neumann(matrix: Linear, vector: Tensor, *, terms: int, step: float) -> Tensor:
    """matrix^-1 vector as step * sum over k < terms of (1 - step * matrix)^k vector.

    It stops where the terms begin to grow: the series does not converge then, and further terms would drown the first.
    """
    term, total = vector, vector.clone()
    for _ in range(terms - 1):
        following = term - step * matrix(term)
        if following.norm() > term.norm():
            break
        term = following
        total = total + term
    return step * total


def largest_curvature(matrix: Linear, start: Tensor, *, iterations: int = 10) -> float:
    """The largest absolute eigenvalue of a symmetric `matrix`, by power iteration from `start`; 1 if that is zero."""
    vector, size = start, 0.0
    for _ in range(iterations):
        norm = float(vector.norm())
        if norm == 0:
            return size or 1.0
        vector = matrix(vector / norm)
        size = float(vector.norm())
    return size or 1.0
