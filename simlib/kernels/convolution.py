"""A strided convolution whose gradient with respect to the image is fast on a processor.

The first layer of a network often convolves an image of three channels with a stride. Libraries compute the
gradient of such a layer's input at a tenth of their usual speed, and an attack needs it at every step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simlib.kernels.settings import own_settings


class FrozenStridedConv2d(nn.Module):
    """A convolution with fixed weights: the values of ``nn.Conv2d``, and a faster gradient of its input.

    The stride is the same in both directions, the padding zero, and there are no dilation and no groups.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.stride, self.padding = int(convolution.stride[0]), int(convolution.padding[0])

    def forward(self, images: Tensor) -> Tensor:
        """Convolve images (N, C, H, W); neither weight nor bias receives a gradient."""
        result = _FrozenConvolution.apply(images, self.weight, self.bias, self.stride, self.padding)
        assert isinstance(result, Tensor)
        return result


def speed_up_first_layer(network: nn.Module) -> None:
    """Replace, in place, the strided convolutions of up to four channels in a network with fixed weights."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and _is_slow(child):
                setattr(parent, name, FrozenStridedConv2d(child))


def strided_input_gradient(
    gradient: Tensor, weight: Tensor, stride: int, padding: int, height: int, width: int
) -> Tensor:
    """Return the gradient of a strided convolution with respect to its input.

    Gradients (N, O, H', W') and weights (O, C, k, k) give (N, C, height, width). An input pixel has one of
    s*s positions relative to the stride s. Each position has a convolution without stride; all of them are
    computed as one with s*s times as many channels, which are then interleaved to pixels (a pixel shuffle,
    Shi et al. 2016). A transposed convolution would insert zeros and multiply by them.
    """
    outputs, channels, side, _ = weight.shape
    reach = -(-side // stride)
    missing = reach * stride - side
    phases = F.pad(weight, (0, missing, 0, missing)).view(outputs, channels, reach, stride, reach, stride)
    kernel = phases.permute(1, 3, 5, 0, 2, 4).flip(4, 5).reshape(channels * stride**2, outputs, reach, reach)
    padded = F.pixel_shuffle(F.conv2d(gradient, kernel, padding=reach - 1), stride)
    below, right = (
        size + padding - got for size, got in zip((height, width), padded.shape[-2:], strict=True)
    )
    return F.pad(padded, (-padding, right, -padding, below))


class _FrozenConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.geometry = stride, padding, *images.shape[-2:]
        return F.conv2d(images, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (weight,) = ctx.saved_tensors
        # torch calls this under the settings of whoever wants the gradient.
        with own_settings():
            gradient = strided_input_gradient(gradients[0], weight, *ctx.geometry)
        return gradient, None, None, None, None


def _is_slow(convolution: nn.Conv2d) -> bool:
    return (
        convolution.in_channels <= 4
        and convolution.stride[0] == convolution.stride[1] > 1
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
        and convolution.padding[0] == convolution.padding[1]
        and convolution.dilation == (1, 1)
        and convolution.groups == 1
        and convolution.kernel_size[0] == convolution.kernel_size[1]
    )
