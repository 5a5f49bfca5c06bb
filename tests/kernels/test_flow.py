"""Warp and smoothness: closed forms, a slow version written as released, and gradcheck."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.kernels.flow import Smoothness, smoothness, warp
from tests.oracles import smoothness_pixel_by_pixel, warp_as_released

every_form = pytest.mark.parametrize("form", get_args(Smoothness))
shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(4, 12), st.integers(4, 12))


def draw(shape: tuple[int, int, int, int], seed: int, reach: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    n, _, height, width = shape
    images = torch.rand(shape, generator=generator, dtype=torch.float64)
    flow = torch.randn((n, 2, height, width), generator=generator, dtype=torch.float64) * reach
    return images, flow


@pytest.mark.parametrize("side", [4, 64, 301])
def test_zero_flow_is_the_identity(side: int) -> None:
    images = torch.rand(1, 3, side, side + 1, generator=torch.Generator().manual_seed(0))
    moved = warp(images, torch.zeros(1, 2, side, side + 1))
    torch.testing.assert_close(moved, images, atol=1e-4 * side / 64, rtol=0)
    levels = (images * 255).round()
    assert torch.equal((warp(levels / 255, torch.zeros(1, 2, side, side + 1)) * 255).round(), levels)


@given(shapes, st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 1000))
@settings(deadline=None)
def test_integer_flow_is_a_shift(shape: tuple[int, int, int, int], down: int, right: int, seed: int) -> None:
    images, flow = draw(shape, seed, reach=0)
    flow = flow + torch.tensor([down, right]).view(1, 2, 1, 1)
    rows = (torch.arange(shape[2]) + down).clamp(0, shape[2] - 1)
    columns = (torch.arange(shape[3]) + right).clamp(0, shape[3] - 1)
    torch.testing.assert_close(warp(images, flow), images[:, :, rows][..., columns], atol=1e-12, rtol=0)


@given(shapes, st.floats(0.01, 5), st.integers(0, 1000))
@settings(deadline=None)
def test_warp_is_the_released_one(shape: tuple[int, int, int, int], reach: float, seed: int) -> None:
    images, flow = draw(shape, seed, reach)
    torch.testing.assert_close(warp(images, flow), warp_as_released(images, flow), atol=1e-10, rtol=0)
    moved = warp(images.float(), flow.float())
    torch.testing.assert_close(moved.double(), warp(images, flow), atol=1e-4, rtol=0)


def test_gradient_of_the_warp() -> None:
    images, flow = draw((2, 3, 5, 7), 3, reach=2.0)
    torch.autograd.gradcheck(lambda flow: warp(images, flow), flow.requires_grad_())


def test_slope_at_zero_flow_is_that_of_the_released_warp() -> None:
    images, flow = draw((2, 3, 6, 6), 3, reach=0.0)
    (ours,) = torch.autograd.grad(warp(images, flow.requires_grad_()).square().sum(), flow)
    (released,) = torch.autograd.grad(warp_as_released(images, flow).square().sum(), flow)
    # At the edge the released slope is zero or inwards, depending on torch's version; ours is inwards.
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(ours[inside], released[inside], atol=1e-6, rtol=1e-6)
    assert (ours[:, 0, 0] != 0).all()


@every_form
@given(shape=shapes, seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_smoothness_pixel_by_pixel(form: Smoothness, shape: tuple[int, int, int, int], seed: int) -> None:
    _, flow = draw(shape, seed, reach=1.0)
    torch.testing.assert_close(smoothness(flow, form), smoothness_pixel_by_pixel(flow, form))


@every_form
def test_gradient_of_smoothness(form: Smoothness) -> None:
    _, flow = draw((2, 3, 5, 4), 1, reach=1.0)
    torch.autograd.gradcheck(lambda flow: smoothness(flow, form), flow.requires_grad_())


@every_form
def test_a_constant_flow_is_felt_at_the_edge_only(form: Smoothness) -> None:
    flow = torch.ones(1, 2, 6, 8, dtype=torch.float64)
    # 20 of the 24 pixels of the edge miss two diagonal neighbours, the four corners miss three.
    pairs = 20 * 2 + 4 * 3
    expected = pairs * (2**0.5 if form == "root" else 2)
    assert smoothness(flow, form).item() == pytest.approx(expected, abs=0.03)


@every_form
def test_second_derivatives_of_the_smoothness(form: Smoothness) -> None:
    flow = draw((1, 2, 5, 4), 0, 1)[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: smoothness(x, form), (flow,))
    assert torch.autograd.gradgradcheck(lambda x: smoothness(x, form), (flow,))
