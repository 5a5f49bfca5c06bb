"""The distance between unit-length features, with its gradient written by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simlib.kernels.finite import finite_gradients

_TINY = 1e-10
"""Added to each length, as in the package ``lpips``; keeps values and gradients finite at length zero."""

_CACHED_VALUES = 1 << 17
"""A processor computes groups of samples of about this many values, which fit its cache."""


def unit_distance(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Compare the directions of two feature vectors at every position, and add up over positions.

    Let u and v be the features (N, C, H, W) of a position, scaled to unit length. The result (N,) is the sum
    over positions and channels of ``weight * (u - v) ** 2``: one layer of LPIPS (Zhang et al. 2018, equation
    1). The weights (1, C, 1, 1) receive no gradient; it is zero where all features are zero in both.
    Automatic differentiation would read and write each layer about twenty times in main memory. Here
    one pass computes value and slope, so that a step of an attack costs little more than the network.
    """
    result = _UnitDistance.apply(a, b, weight)
    assert isinstance(result, Tensor)
    return result


class _UnitDistance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
        slope_a, slope_b = (
            torch.empty_like(layer) if needed else None
            for layer, needed in zip((a, b), ctx.needs_input_grad[:2], strict=True)
        )
        distance = a.new_empty(len(a))
        for group in _groups(a):
            unit_a, inverse_a = _unit(a[group])
            unit_b, inverse_b = _unit(b[group])
            difference = unit_b - unit_a
            weighted = difference * weight
            distance[group] = difference.mul_(weighted).sum(dim=(1, 2, 3))
            if slope_a is not None:
                _slope(unit_a, weighted, inverse_a, sign=-1, out=slope_a[group])
            if slope_b is not None:
                _slope(unit_b, weighted, inverse_b, sign=1, out=slope_b[group])
        ctx.save_for_backward(a, b, weight, slope_a, slope_b)
        return distance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        a, b, weight, *slopes = ctx.saved_tensors
        if torch.is_grad_enabled():
            # Somebody wants the second derivative, and so the slope as a function of the features.
            slopes = _differentiable_slopes(a, b, weight)
        per_sample = gradients[0].view(-1, 1, 1, 1)
        slope_a, slope_b = (
            slope * per_sample if needed and slope is not None else None
            for slope, needed in zip(slopes, ctx.needs_input_grad[:2], strict=True)
        )
        return slope_a, slope_b, None


def _groups(layer: Tensor) -> list[slice]:
    """Cut the batch into slices that fit the processor's cache; an accelerator takes the whole batch."""
    size = len(layer)
    if layer.device.type == "cpu" and size:
        size = max(1, min(size, _CACHED_VALUES // layer[0].numel()))
    return [slice(start, start + size) for start in range(0, len(layer), max(size, 1))]


def _unit(layer: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features at unit length, and the reciprocal length of each position (N, 1, H, W)."""
    inverse = layer.square().sum(dim=1, keepdim=True).sqrt_().add_(_TINY).reciprocal_()
    return layer * inverse, inverse


def _slope(unit: Tensor, weighted: Tensor, inverse: Tensor, *, sign: int, out: Tensor) -> None:
    """Write the slope of the distance: twice the weighted difference, less its part along the features."""
    radial = (unit * weighted).sum(dim=1, keepdim=True)
    torch.addcmul(weighted, unit, radial, value=-1, out=out).mul_(inverse * (2 * sign))


def _differentiable_slopes(a: Tensor, b: Tensor, weight: Tensor) -> list[Tensor]:
    """Return what :func:`_slope` writes for both batches, as torch can differentiate it."""
    with finite_gradients():
        inverses = [1 / (layer.square().sum(dim=1, keepdim=True).sqrt() + _TINY) for layer in (a, b)]
        units = [layer * inverse for layer, inverse in zip((a, b), inverses, strict=True)]
        weighted = (units[1] - units[0]) * weight
        radial = [unit * (unit * weighted).sum(dim=1, keepdim=True) for unit in units]
        return [
            2 * sign * inverse * (weighted - along)
            for sign, inverse, along in zip((-1, 1), inverses, radial, strict=True)
        ]
