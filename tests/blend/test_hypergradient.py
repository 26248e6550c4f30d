"""The implicit gradient on worlds where the inner optimum is exact, and what climbing it does to the weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rewardsmith.blend import hypergradient
from rewardsmith.blend.bilevel import WeightAscent
from rewardsmith.blend.hypergradient import largest_curvature, neumann
from tests.blend.tabular import Table, corridor, random_table

ENOUGH = 200  # terms after which the series has converged on these worlds


def implicit(table: Table, phi: Tensor, optimum: Tensor, *, terms: int) -> Tensor:
    theta, phi = optimum.clone().requires_grad_(), phi.clone().requires_grad_()
    return hypergradient(table.primary(theta), table.update(theta, phi), theta, phi, terms=terms)


def by_differences(table: Table, phi: Tensor, optimum: Tensor, size: float = 1e-4) -> Tensor:
    """The inner problem solved again beside `phi`."""
    moved = torch.eye(len(phi), dtype=phi.dtype) * size
    at = lambda weights: table.primary(table.solve(weights, optimum))
    return torch.stack([(at(phi + step) - at(phi - step)) / (2 * size) for step in moved])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_derivative_of_the_inner_optimums_return(seed: int) -> None:
    table, phi = random_table(seed=seed), torch.tensor([1.0, 0.5, -0.3], dtype=torch.float64)
    optimum = table.solve(phi)
    expected = by_differences(table, phi, optimum)
    torch.testing.assert_close(implicit(table, phi, optimum, terms=ENOUGH), expected, rtol=1e-5, atol=1e-7)


def test_five_terms_come_close_and_more_come_closer() -> None:
    """The error of the truncated series against the exact inverse, on the worst conditioned of the worlds above."""
    table, phi = random_table(seed=2), torch.tensor([1.0, 0.5, -0.3], dtype=torch.float64)
    optimum = table.solve(phi)
    exact = implicit(table, phi, optimum, terms=ENOUGH)
    one, five, twenty = (
        float((implicit(table, phi, optimum, terms=n) - exact).norm() / exact.norm()) for n in (1, 5, 20)
    )
    assert one > 0.2
    assert 0.02 < five < 0.06
    assert twenty < 2e-4


def test_a_quadratic_problem_in_two_parameters() -> None:
    """Inner: the point nearest to (phi, 2 phi) in a skewed metric. Outer: minus the squared distance to (1, 1)."""
    metric = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    direction = torch.tensor([1.0, 2.0], dtype=torch.float64)
    phi = torch.tensor([0.4], dtype=torch.float64, requires_grad=True)
    theta = (direction * 0.4).requires_grad_()
    update = -metric @ (theta - direction * phi)
    found = hypergradient(-(theta - 1).square().sum(), update, theta, phi, terms=ENOUGH)
    assert float(found) == pytest.approx(-2 * (0.4 - 1) * 1 - 2 * (0.8 - 1) * 2, rel=1e-4)


def test_the_series_stops_where_it_would_diverge() -> None:
    matrix = torch.diag(torch.tensor([1.0, -1.0]))
    vector = torch.tensor([1.0, 2.0])
    assert neumann(lambda v: matrix @ v, vector, terms=50, step=1.0).tolist() == [1.0, 2.0]


def test_the_largest_curvature() -> None:
    matrix = torch.diag(torch.tensor([1.0, -5.0, 2.0]))
    assert largest_curvature(lambda v: matrix @ v, torch.ones(3)) == pytest.approx(5.0, rel=1e-3)
    assert largest_curvature(lambda v: 0 * v, torch.ones(3)) == 1.0


# --- climbing it -----------------------------------------------------------------------------------------------------


def climb(table: Table, phi: Tensor, steps: int = 25) -> tuple[Tensor, float]:
    """Weights after `steps` outer steps, and the primary return of the inner optimum there."""
    ascent, optimum = WeightAscent(0.2, 0.01), None
    for _ in range(steps):
        optimum = table.solve(phi, optimum)
        phi = ascent(phi, implicit(table, phi, optimum, terms=5))
    return phi, float(table.primary(table.solve(phi, optimum)))


def test_a_part_that_works_against_the_primary_one_is_turned_off() -> None:
    table = corridor()
    both = table._replace(rewards=table.rewards[:2])
    naive = torch.ones(2, dtype=torch.float64)
    alone = float(table.primary(table.solve(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))))
    assert float(table.primary(both.solve(naive))) < 0.05 * alone
    phi, reached = climb(both, naive)
    assert phi[0] > 0 >= phi[1]
    assert reached >= 0.95 * alone


def test_a_part_that_can_be_farmed_is_kept_small() -> None:
    """Paid for every step towards the goal, the best blend of equal weights walks to and fro; BARFI's walks there."""
    table = corridor()
    both = table._replace(rewards=table.rewards[[0, 2]])
    naive = torch.ones(2, dtype=torch.float64)
    alone = float(table.primary(table.solve(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))))
    assert float(table.primary(both.solve(naive))) < 0.1 * alone
    phi, reached = climb(both, naive)
    assert phi[1] < 0.5 * phi[0]
    assert reached >= 0.95 * alone


def test_steps_do_not_depend_on_the_size_of_gradients() -> None:
    small, large = WeightAscent(0.3, 0.01), WeightAscent(0.3, 0.01)
    phi = [torch.ones(2), torch.ones(2)]
    for gradient in ([1.0, -2.0], [0.5, 0.0], [-1.0, 3.0]):
        g = torch.tensor(gradient)
        phi = [small(phi[0], g), large(phi[1], 1024 * g)]
    assert torch.equal(phi[0], phi[1])


def test_weights_keep_their_length_and_auxiliary_ones_decay() -> None:
    phi = WeightAscent(0.5, 0.0)(torch.tensor([0.0, 2.0]), torch.tensor([7.0, 0.0]))
    torch.testing.assert_close(phi, 2 * torch.tensor([1.0, 2.0]) / 5**0.5)  # a step of length 1, then back to length 2
    phi = WeightAscent(0.5, 0.75)(torch.tensor([0.0, 2.0]), torch.tensor([7.0, 0.0]))
    torch.testing.assert_close(phi, 2 * torch.tensor([1.0, 0.5]) / 1.25**0.5)
    assert torch.equal(WeightAscent(0.3, 0.5)(torch.ones(2), torch.zeros(2)), torch.ones(2))


def test_the_first_gradients_are_only_measured() -> None:
    ascent, phi, gradient = WeightAscent(1.0, 0.0, warmup=1), torch.tensor([1.0, 0.0]), torch.tensor([0.0, 4.0])
    assert ascent(phi, gradient) is phi
    torch.testing.assert_close(ascent(phi, gradient), torch.tensor([1.0, 1.0]) / 2**0.5)


def test_gradients_that_contradict_each_other_move_little() -> None:
    turned = []
    for sign in (1.0, -1.0):
        ascent, phi = WeightAscent(0.05, 0.0, warmup=3), torch.tensor([1.0, 0.0])
        for step in range(20):
            phi = ascent(phi, torch.tensor([0.0, sign**step]))
        turned.append(float(torch.atan2(phi[1], phi[0])))
    assert turned[0] > 0.5 > 10 * abs(turned[1])
