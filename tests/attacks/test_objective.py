"""Norms of a change: the steepest direction is the steepest, and its slope what it rises."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from simlib.attacks.objective import Norm, largest_size, project, round_into, size, slope, steepest

every_norm = pytest.mark.parametrize("norm", get_args(Norm))


def draw(seed: int) -> torch.Tensor:
    return torch.randn((4, 3, 5, 6), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every_norm
def test_no_change_of_size_one_rises_more_than_the_steepest(norm: Norm) -> None:
    gradient = draw(0)
    direction = steepest(gradient, norm)
    torch.testing.assert_close(size(direction, norm), torch.ones(4, dtype=torch.float64))
    rise = (gradient * direction).sum(dim=(1, 2, 3))
    torch.testing.assert_close(rise, slope(gradient, norm))
    for seed in range(1, 50):
        other = draw(seed)
        other = other / size(other, norm).view(-1, 1, 1, 1)
        assert ((gradient * other).sum(dim=(1, 2, 3)) <= rise).all()


@every_norm
def test_a_zero_gradient_has_no_direction(norm: Norm) -> None:
    zero = torch.zeros(2, 3, 4, 4)
    assert torch.equal(steepest(zero, norm), zero)
    assert (slope(zero, norm) > 0).all()


@every_norm
def test_every_sample_keeps_its_own_budget(norm: Norm) -> None:
    original = torch.full((4, 3, 5, 6), 100 / 255, dtype=torch.float64)
    eps = torch.tensor([0.01, 0.02, 0.1, 0.3], dtype=torch.float64)
    inside = project(original + draw(7), original, eps, norm)
    torch.testing.assert_close(size(inside - original, norm), eps, atol=1e-9, rtol=1e-9)
    rounded = round_into(inside, original, eps, norm)
    assert (size(rounded - original, norm) <= eps + 1e-9).all()
    torch.testing.assert_close(rounded * 255, (rounded * 255).round(), atol=1e-9, rtol=0)


@every_norm
def test_nothing_in_the_box_is_larger_than_the_largest(norm: Norm) -> None:
    black = torch.zeros(2, 3, 4, 5)
    assert float(size(torch.ones_like(black) - black, norm)[0]) == pytest.approx(largest_size(black, norm))
