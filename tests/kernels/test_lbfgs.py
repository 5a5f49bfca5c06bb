"""Batched L-BFGS against SciPy's, one sample at a time, and the independence of samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import fmin_l_bfgs_b
from torch import Tensor

from simlib.kernels.lbfgs import FLATTER, SUFFICIENT, BatchedLBFGS, LineSearch

Function = Callable[[Tensor], Tensor]


def minimise(function: Function, start: Tensor, *, iterations: int = 500) -> BatchedLBFGS:
    optimiser = BatchedLBFGS(start, most_iterations=iterations, gradient_tolerance=1e-8, value_tolerance=0)
    return finish(optimiser, function)


def finish(optimiser: BatchedLBFGS, function: Function) -> BatchedLBFGS:
    """Ask and tell until every sample has finished."""
    for _ in range(5000):
        if optimiser.finished.all():
            break
        optimiser.tell(*value_and_gradient(function, optimiser.ask()))
    return optimiser


def value_and_gradient(function: Function, points: Tensor) -> tuple[Tensor, Tensor]:
    points = points.detach().requires_grad_()
    value = function(points)
    return value.detach(), torch.autograd.grad(value.sum(), points)[0]


def scipy_alone(function: Function, start: Tensor) -> Tensor:
    def alone(values: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(function, torch.from_numpy(values).unsqueeze(0))
        return value.item(), gradient[0].numpy()

    found, _, _ = fmin_l_bfgs_b(alone, start.numpy(), factr=0, pgtol=1e-8, maxiter=5000)
    return torch.from_numpy(found)


def rosenbrock(points: Tensor) -> Tensor:
    ahead, here = points[:, 1:], points[:, :-1]
    return (100 * (ahead - here.square()).square() + (1 - here).square()).sum(dim=1)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def test_strongly_convex_as_scipy() -> None:
    # Positive definite and badly scaled.
    factor, (target,) = (draw(*shape) for shape in ((6, 25, 25), (1, 6, 25)))
    matrix = factor @ factor.mT + torch.eye(25)
    found = minimise(
        lambda x: 0.5 * torch.einsum("bi,bij,bj->b", x, matrix, x) - (target * x).sum(1),
        torch.zeros(6, 25, dtype=torch.float64),
    )
    torch.testing.assert_close(found.point, torch.linalg.solve(matrix, target), atol=1e-5, rtol=1e-5)
    for i in range(6):
        alone = scipy_alone(
            lambda x, i=i: 0.5 * torch.einsum("bi,ij,bj->b", x, matrix[i], x) - x @ target[i],
            torch.zeros(25, dtype=torch.float64),
        )
        torch.testing.assert_close(found.point[i], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [2, 10])
def test_rosenbrock_as_scipy(size: int) -> None:
    start = torch.rand(8, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = minimise(rosenbrock, start)
    for i in range(8):
        torch.testing.assert_close(found.point[i], scipy_alone(rosenbrock, start[i]), atol=1e-4, rtol=0)
    assert (found.iterations < 150).all()
    single = minimise(rosenbrock, start.float())
    torch.testing.assert_close(single.point.double(), found.point, atol=1e-3, rtol=0)


@given(st.integers(0, 1000), st.integers(1, 4))
@settings(deadline=None, max_examples=10)
def test_samples_do_not_depend_on_each_other(seed: int, kept: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(5, 4, generator=generator, dtype=torch.float64) * 2
    whole = minimise(rosenbrock, start, iterations=30)
    some = torch.randperm(5, generator=generator)[:kept]
    part = minimise(rosenbrock, start[some], iterations=30)
    torch.testing.assert_close(part.point, whole.point[some], atol=1e-9, rtol=1e-9)
    assert torch.equal(part.iterations, whole.iterations[some])


def test_narrowing_in_the_middle_changes_nothing() -> None:
    start, keep = draw(6, 5), torch.tensor([4, 1, 5])
    whole = minimise(rosenbrock, start)
    optimiser = BatchedLBFGS(start, most_iterations=500, gradient_tolerance=1e-8, value_tolerance=0)
    for _ in range(17):
        optimiser.tell(*value_and_gradient(rosenbrock, optimiser.ask()))
    optimiser.narrow(keep)
    finish(optimiser, rosenbrock)
    torch.testing.assert_close(optimiser.point, whole.point[keep], atol=1e-8, rtol=0)


def test_value_never_rises_and_iterations_are_bounded() -> None:
    optimiser = BatchedLBFGS(torch.full((3, 6), -1.2, dtype=torch.float64), most_iterations=7)
    before = torch.full((3,), torch.inf, dtype=torch.float64)
    while not optimiser.finished.all():
        optimiser.tell(*value_and_gradient(rosenbrock, optimiser.ask()))
        assert (optimiser.value <= before).all()
        before = optimiser.value
    assert (optimiser.iterations == 7).all()


def test_stops_at_once_where_there_is_no_slope() -> None:
    optimiser = BatchedLBFGS(torch.ones(2, 3), most_iterations=5)
    optimiser.tell(torch.zeros(2), torch.zeros(2, 3))
    assert optimiser.finished.all()
    assert torch.equal(optimiser.point, torch.ones(2, 3))


def test_gives_up_where_the_gradient_lies() -> None:
    optimiser = BatchedLBFGS(torch.zeros(1, 3), most_iterations=50)
    for _ in range(200):
        if optimiser.finished.all():
            break
        # Says that it goes down, and goes up.
        points = optimiser.ask()
        optimiser.tell(points.abs().sum(dim=1), -torch.ones_like(points))
    assert optimiser.finished.all()
    assert torch.equal(optimiser.point, torch.zeros(1, 3))


def test_values_that_are_not_finite_are_stepped_back_from() -> None:
    def walled(x: Tensor) -> Tensor:
        return torch.where(x.abs().amax(1) > 3, torch.inf, 1) * (x - 2).square().sum(1) * 1e4

    found = minimise(walled, torch.full((2, 3), -2.9, dtype=torch.float64))
    torch.testing.assert_close(found.point, torch.full((2, 3), 2.0, dtype=torch.float64))


@given(st.floats(-3, 3), st.floats(0.05, 20), st.floats(0.01, 50))
@settings(deadline=None)
def test_line_search_meets_the_strong_wolfe_conditions(shift: float, scale: float, first: float) -> None:
    def value_and_slope(step: Tensor) -> tuple[Tensor, Tensor]:
        step = step.detach().requires_grad_()
        value = (
            -torch.exp(-(step / scale).square()) * scale + 0.1 * torch.cos(step + shift) - 0.3 * step.tanh()
        )
        return value.detach(), torch.autograd.grad(value.sum(), step)[0]

    start = torch.full((1,), 0.1, dtype=torch.float64)
    value, slope = value_and_slope(start)
    if slope >= 0:
        return
    search = LineSearch(value, slope)
    search.restart(torch.tensor([True]), value, slope, torch.full_like(value, first))
    at, slope_at = value, slope
    for _ in range(60):
        at, slope_at = value_and_slope(start + search.step)
        if search.judge(at, slope_at).item():
            break
    assert at <= value + SUFFICIENT * search.step * slope
    assert slope_at.abs() <= FLATTER * slope.abs()
