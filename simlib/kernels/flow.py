"""Flow fields: an image moved by one, and how smooth one is.

A flow (N, 2, H, W) says for every pixel of the moved image where to look in the original, in pixels
relative to its own place: channel 0 counts rows downwards, channel 1 columns to the right.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from simlib.kernels.company import sample_sums

Smoothness = Literal["squared", "root"]
"""How differences of a flow are summed: ``squared`` as Ghildyal & Liu released it, ``root`` as the square
root of each, which is the total variation of Xiao et al. (2018)."""

_TINY = 1e-8
"""Added to each squared difference, as in the released code."""


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Move images along a flow: bilinear between pixels, places beyond the edge count as the edge.

    The warp of stAdv (Xiao et al. 2018, equation 1). Where a place is a whole pixel, the gradient with
    respect to the flow is that of moving on downwards or to the right.

    Args:
        images: (N, C, H, W).
        flow: (N, 2, H, W), in pixels.

    Returns:
        The moved images (N, C, H, W), within the range of the originals.
    """
    coordinates = [_coordinates(flow[:, channel], dim=channel + 1) for channel in (1, 0)]
    grid = torch.stack(coordinates, dim=-1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def smoothness(flow: Tensor, form: Smoothness = "squared") -> Tensor:
    """Measure how much a flow differs between diagonal neighbours, (N,); 0 or nearly so for no flow.

    Every pixel is compared with its four diagonal neighbours, of which those beyond the edge have no
    flow: the sum of ``du² + dv² + 1e-8``, or of the square root of that.

    Args:
        flow: (N, 2, H, W), in pixels.
        form: whether the root is taken.
    """
    return _Smoothness.apply(flow, form)


def _coordinates(flow: Tensor, dim: int) -> Tensor:
    """Turn a flow along one dimension into where to look, from -1 to 1 between the outer edges of pixels."""
    size = flow.shape[dim]
    place = torch.arange(size, dtype=flow.dtype, device=flow.device)
    # Rounding on the way must not fall short of a whole pixel, or the slope would be that of its other side.
    place = place + 4 * size * torch.finfo(flow.dtype).eps
    return (flow + (place.view(-1, 1) if dim == 1 else place)) * (2 / size) + (1 / size - 1)


class _Smoothness(torch.autograd.Function):
    """The sum and its gradient in one pass; each pair of neighbours is looked at once and counts twice."""

    @staticmethod
    def forward(ctx: Any, flow: Tensor, form: Smoothness) -> Tensor:
        height, width = flow.shape[-2:]
        beyond = torch.full((height, width), 4, dtype=flow.dtype, device=flow.device)
        value, slope = _measure(flow, form)
        for place in (place for pair in _DIAGONALS for place in pair):
            beyond[place] -= 1
        total = sample_sums(value * beyond)
        gradient = flow * (slope * beyond).unsqueeze(1)
        for here, there in _DIAGONALS:
            difference = flow[here] - flow[there]
            value, slope = _measure(difference, form)
            total += 2 * sample_sums(value)
            push = difference.mul_(2 * slope.unsqueeze(1))
            gradient[here] += push
            gradient[there] -= push
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].view(-1, 1, 1, 1), None


_BUT_LAST, _BUT_FIRST = slice(None, -1), slice(1, None)
_DIAGONALS = (
    ((..., _BUT_FIRST, _BUT_FIRST), (..., _BUT_LAST, _BUT_LAST)),
    ((..., _BUT_FIRST, _BUT_LAST), (..., _BUT_LAST, _BUT_FIRST)),
)
"""The pixels that have a neighbour on a diagonal, and those neighbours."""


def _measure(difference: Tensor, form: Smoothness) -> tuple[Tensor, Tensor]:
    """Return what a difference (N, 2, H, W) counts, (N, H, W), and its slope over the difference itself."""
    squared = difference.square().sum(dim=1).add_(_TINY)
    if form == "root":
        root = squared.sqrt_()
        return root, root.reciprocal()
    return squared, torch.full_like(squared, 2)
