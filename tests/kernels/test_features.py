"""The fused distance of unit-length features against automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from simlib.kernels import features
from simlib.kernels.features import unit_distance


def slow(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    unit_a, unit_b = (x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for x in (a, b))
    return (weight * (unit_a - unit_b).square()).sum(dim=(1, 2, 3))


def draw(n: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn((n, 4, 3, 2), generator=generator, dtype=torch.float64) for _ in range(2))
    return a.requires_grad_(), b.requires_grad_(), torch.rand((1, 4, 1, 1), generator=generator).double()


@pytest.mark.parametrize("group", [1, 50, 10**6])
def test_value_and_gradients(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_CACHED_VALUES", group)
    a, b, weight = draw()
    scale = torch.arange(1.0, 6.0, dtype=torch.float64)
    expected, found = slow(a, b, weight), unit_distance(a, b, weight)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad((each * scale).sum(), (a, b)) for each in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_gradcheck() -> None:
    a, b, weight = draw(2)
    assert torch.autograd.gradcheck(lambda x, y: unit_distance(x, y, weight), (a, b))


def test_only_the_gradient_that_is_asked_for() -> None:
    a, b, weight = draw(2)
    unit_distance(a.detach(), b, weight).sum().backward()
    assert b.grad is not None
    assert a.grad is None


def test_finite_where_all_features_are_zero_and_defined_for_no_samples() -> None:
    _, b, weight = draw(2)
    zero = torch.zeros_like(b, requires_grad=True)
    both = torch.autograd.grad(unit_distance(zero, torch.zeros_like(b), weight).sum(), zero)[0]
    assert torch.equal(both, torch.zeros_like(both))
    one = torch.autograd.grad(unit_distance(zero, b, weight).sum(), zero)[0]
    assert one.isfinite().all()
    assert unit_distance(b[:0], b[:0], weight).shape == (0,)


def test_second_derivatives_also_where_all_features_are_zero() -> None:
    a, b, weight = draw(2)
    assert torch.autograd.gradgradcheck(lambda x, y: unit_distance(x, y, weight), (a, b))
    blank = torch.zeros_like(b, requires_grad=True)
    (gradient,) = torch.autograd.grad(unit_distance(a, blank, weight).sum(), blank, create_graph=True)
    assert torch.autograd.grad(gradient.sum(), blank)[0].isfinite().all()
