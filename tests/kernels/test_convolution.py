"""The fast input gradient of a strided convolution against automatic differentiation."""

from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from simlib.kernels.convolution import FrozenStridedConv2d, speed_up_first_layer


@given(
    side=st.integers(1, 11),
    stride=st.integers(1, 5),
    padding=st.integers(0, 5),
    height=st.integers(11, 40),
    width=st.integers(11, 40),
    n=st.integers(1, 3),
)
@settings(deadline=None, max_examples=60)
def test_same_value_and_gradient(
    side: int, stride: int, padding: int, height: int, width: int, n: int
) -> None:
    generator = torch.Generator().manual_seed(side * stride + padding)
    with torch.random.fork_rng(devices=[]):
        convolution = nn.Conv2d(3, 4, side, stride, padding).double().requires_grad_(False)
    images = torch.rand((n, 3, height, width), generator=generator, dtype=torch.float64, requires_grad=True)
    expected, found = convolution(images), FrozenStridedConv2d(convolution)(images)
    torch.testing.assert_close(found, expected)
    weights = torch.rand(expected.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), images)[0],
        torch.autograd.grad((expected * weights).sum(), images)[0],
    )


@pytest.mark.parametrize(("name", "expected"), [("alexnet", 1), ("squeezenet1_1", 1), ("vgg16", 0)])
def test_only_slow_layers_are_replaced(name: str, expected: int) -> None:
    with torch.device("meta"):
        network = getattr(torchvision.models, name)().features
    keys = list(network.state_dict())
    speed_up_first_layer(network)
    assert sum(isinstance(module, FrozenStridedConv2d) for module in network.modules()) == expected
    assert list(network.state_dict()) == keys


def test_second_derivatives() -> None:
    with torch.random.fork_rng(devices=[]):
        convolution = FrozenStridedConv2d(nn.Conv2d(3, 4, 5, 2, 1).double().requires_grad_(False))
    images = torch.rand((1, 3, 9, 8), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: convolution(x).square(), (images.requires_grad_(),))
