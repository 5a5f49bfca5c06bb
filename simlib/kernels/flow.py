"""Flow fields: how a flow moves an image, and how smooth a flow is.

A flow (N, 2, H, W) says for every pixel of the moved image which place of the original it shows, in pixels
relative to its own place: channel 0 counts rows downwards, channel 1 counts columns to the right.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from simlib.kernels.batch_independence import sample_sums

Smoothness = Literal["squared", "root"]
"""What is summed: ``squared`` differences, as in the code of Ghildyal & Liu, or the square ``root`` of each,
which is the total variation of Xiao et al. (2018)."""

_TINY = 1e-8
"""Added to each squared difference, as in the released code."""


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Move images along a flow: bilinear between pixels; beyond the edge, the edge is repeated.

    Images (N, C, H, W) and flows (N, 2, H, W) give images within the range of the originals. This is the
    warp of stAdv (Xiao et al. 2018, equation 1). At a whole pixel the bilinear function has a kink; its
    gradient with respect to the flow is there the one for a move downwards or to the right.
    """
    coordinates = [_coordinates(flow[:, channel], dim=channel + 1) for channel in (1, 0)]
    grid = torch.stack(coordinates, dim=-1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def smoothness(flow: Tensor, form: Smoothness = "squared") -> Tensor:
    """Measure how much a flow (N, 2, H, W) differs between neighbours, (N,); nearly 0 where nothing moves.

    Every pixel is compared with its four diagonal neighbours; neighbours beyond the edge have the flow 0.
    The result is the sum of ``du² + dv² + 1e-8``, or of the square root of that.
    """
    return _Smoothness.apply(flow, form)


def _coordinates(flow: Tensor, dim: int) -> Tensor:
    """Turn a flow along one dimension into places from -1, the outer edge of the first pixel, to 1."""
    size = flow.shape[dim]
    place = torch.arange(size, dtype=flow.dtype, device=flow.device)
    # If rounding put a place just below a whole pixel, the slope would be that of the other side of the kink.
    place = place + 4 * size * torch.finfo(flow.dtype).eps
    return (flow + (place.view(-1, 1) if dim == 1 else place)) * (2 / size) + (1 / size - 1)


class _Smoothness(torch.autograd.Function):
    """The sum and its gradient in one pass; each pair of neighbours is visited once and counts twice."""

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
        ctx.save_for_backward(flow, gradient)
        ctx.form = form
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        flow, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():
            # Somebody wants the second derivative, and so the gradient as a function of the flow.
            total = _differentiable_sum(flow, ctx.form)
            (gradient,) = torch.autograd.grad(total, flow, create_graph=True)
        return gradient * gradients[0].view(-1, 1, 1, 1), None


_BUT_LAST, _BUT_FIRST = slice(None, -1), slice(1, None)
_DIAGONALS = (
    ((..., _BUT_FIRST, _BUT_FIRST), (..., _BUT_LAST, _BUT_LAST)),
    ((..., _BUT_FIRST, _BUT_LAST), (..., _BUT_LAST, _BUT_FIRST)),
)
"""The pixels that have a neighbour on a diagonal, and those neighbours."""


def _measure(difference: Tensor, form: Smoothness) -> tuple[Tensor, Tensor]:
    """Return the summand of each difference (N, 2, H, W), (N, H, W), and its slope over the difference."""
    squared = difference.square().sum(dim=1).add_(_TINY)
    if form == "root":
        root = squared.sqrt_()
        return root, root.reciprocal()
    return squared, torch.full_like(squared, 2)


def _differentiable_sum(flow: Tensor, form: Smoothness) -> Tensor:
    """Return the smoothness of all flows (N, 2, H, W) together, as torch can differentiate it twice."""
    height, width = flow.shape[-2:]
    framed = F.pad(flow, (1, 1, 1, 1))
    corners = [framed[..., top : top + height, left : left + width] for top in (0, 2) for left in (0, 2)]
    squared = (torch.stack([flow - corner for corner in corners])).square().sum(dim=2) + _TINY
    return (squared.sqrt() if form == "root" else squared).sum()
