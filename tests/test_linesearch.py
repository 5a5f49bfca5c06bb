"""A line search ends at a step that satisfies the strong Wolfe conditions."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simlib.kernels.linesearch import FLATTER, SUFFICIENT, LineSearch


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
