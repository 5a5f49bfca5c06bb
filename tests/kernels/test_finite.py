"""Gradients that stay finite: torch's own wherever those are finite, zero elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simlib.kernels.finite import finite_gradients

ELEMENTWISE: dict[str, Callable[[Tensor], Tensor]] = {
    "root": torch.sqrt,
    "root as a method": lambda x: x.sqrt(),
    "root of a square": lambda x: (x**2).sqrt(),
    "power below one": lambda x: x**0.3,
    "power as a function": lambda x: torch.pow(x, 0.3),
    "power as a method": lambda x: x.pow(-1.5),
    "power of zero": lambda x: x**0.0,
    "reciprocal": lambda x: 1 / x,
    "quotient": lambda x: x / x,
    "quotient as a function": lambda x: torch.div(2.0, x),
    "logarithm": torch.log,
    "logarithm as a method": lambda x: x.log(),
    "angle": lambda x: torch.atan2(torch.zeros_like(x), x),
}

special = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-30])


def value_and_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    value = function(x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(values=st.lists(special | st.floats(-1e3, 1e3, width=32), min_size=1))
@settings(max_examples=40, deadline=None)
def test_values_are_torchs_and_gradients_where_those_are_finite(name: str, values: list[float]) -> None:
    x = torch.tensor(values)
    value, gradient = value_and_gradient(ELEMENTWISE[name], x)
    with finite_gradients():
        same_value, finite_gradient = value_and_gradient(ELEMENTWISE[name], x)
    assert torch.equal(same_value.nan_to_num(), value.nan_to_num())
    assert torch.equal(same_value.isnan(), value.isnan())
    assert finite_gradient.isfinite().all()
    if name != "root of a square":
        assert torch.equal(finite_gradient, gradient.where(gradient.isfinite(), 0))


def test_one_undefined_slope_does_not_spread_over_a_fourier_transform() -> None:
    def magnitude(x: Tensor) -> Tensor:
        return torch.view_as_real(torch.fft.fft(x)).square().sum(dim=-1).sqrt()

    # The mean is zero, and so is the first coefficient; the rest of the gradient must be as without it.
    x = torch.tensor([1.0, -2.0, 4.0, -3.0], dtype=torch.float64)
    _, poisoned = value_and_gradient(magnitude, x)
    _, expected = value_and_gradient(lambda x: magnitude(x)[1:], x + 1)
    with finite_gradients():
        _, gradient = value_and_gradient(magnitude, x)
    assert poisoned.isnan().all()
    torch.testing.assert_close(gradient, expected)


def test_repeated_eigenvalues_stop_the_gradient_of_their_own_matrix_only() -> None:
    def total(matrices: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrices)
        return values.square().sum(dim=-1) + vectors[..., 0].square()[..., 0]

    matrices = torch.stack([torch.eye(2), torch.tensor([[2.0, 0.5], [0.5, 1.0]])])
    value, gradient = value_and_gradient(total, matrices)
    with finite_gradients():
        same_value, finite_gradient = value_and_gradient(total, matrices)
    assert torch.equal(same_value, value)
    assert gradient[0].isnan().any()
    assert finite_gradient[0].isfinite().all()
    assert torch.equal(finite_gradient[1], gradient[1])


def test_the_inverse_of_a_singular_matrix_is_zero_and_spares_the_others() -> None:
    regular = torch.tensor([[2.0, 1.0], [0.0, 4.0]])
    value, gradient = value_and_gradient(torch.inverse, regular)
    with finite_gradients():
        both, both_gradients = value_and_gradient(torch.inverse, torch.stack([torch.ones(2, 2), regular]))
    assert torch.equal(both[0], torch.zeros(2, 2))
    assert torch.equal(both_gradients[0], torch.zeros(2, 2))
    torch.testing.assert_close((both[1], both_gradients[1]), (value, gradient))


def test_torch_is_as_before_afterwards() -> None:
    with finite_gradients():
        pass
    assert value_and_gradient(torch.sqrt, torch.zeros(1))[1].isinf().all()
    with pytest.raises(torch.linalg.LinAlgError):
        torch.inverse(torch.zeros(2, 2))


def test_what_is_undefined_before_it_comes_to_a_guarded_function_stays_so() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    scale = torch.tensor([0.0, 1.0])
    with finite_gradients():
        power, root = x**2, (x * x).sqrt()
        values = [torch.where(scale > 0, each * scale.reciprocal(), each) for each in (power, root)]
    for each in values:
        (gradient,) = torch.autograd.grad(each.sum(), x, retain_graph=True)
        assert gradient.isnan().tolist() == [True, False]
