"""Projections: onto a budget, onto the image box, onto images of 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from simlib.kernels.images import LEVELS

_GRID_SLACK = 1e-3
"""Part of a level by which float noise may push an image of 8 bits off its own grid."""

_THRESHOLD_HALVINGS = 12
"""Halvings of the range of a rounding threshold, which place it within 1/4096 of a level."""


def project_linf(images: Tensor, original: Tensor, eps: Tensor | float) -> Tensor:
    """Move images to the nearest point within ``eps`` of the original and within [0, 1].

    Args:
        images: any shape.
        original: the centre of the budget, same shape, in [0, 1].
        eps: largest change of one value, in the units of [0, 1]; one number, or (N,).

    Returns:
        A tensor of the same shape.
    """
    change = images - original
    if isinstance(eps, Tensor):
        bound = per_sample(eps, images)
        change = change.clamp_(-bound, bound)
    else:
        change = change.clamp_(-eps, eps)
    return change.add_(original).clamp_(0.0, 1.0)


def project_l2(images: Tensor, original: Tensor, eps: Tensor | float) -> Tensor:
    """Shrink changes to a length of at most ``eps``, and move the images into [0, 1].

    Leaving the box never lengthens a change when the original is inside it, so both hold in the end.

    Args:
        images: (N, ...).
        original: the centre of the budget, same shape, in [0, 1].
        eps: greatest Euclidean length of the change of a sample, in the units of [0, 1]; one number, or (N,).

    Returns:
        A tensor of the same shape.
    """
    change = images - original
    length = change.flatten(1).norm(dim=1)
    factor = (eps / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1.0)
    return (original + change * per_sample(factor, change)).clamp_(0.0, 1.0)


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Shape one value for each sample, (N,), so that it meets every value of that sample in ``like``."""
    return values.view(-1, *[1] * (like.dim() - 1))


def round_to_8bit(images: Tensor) -> Tensor:
    """Round images in [0, 1] to the nearest of the 256 levels that a PNG can hold."""
    return images.mul(LEVELS).round_().clamp_(0, LEVELS).div_(LEVELS)


def round_within(images: Tensor, original: Tensor, eps: Tensor | float) -> Tensor:
    """Round to 8 bits without leaving the budget: to the nearest level that is within ``eps``.

    Rounding alone can add half a level to a change. Where that would exceed ``eps``, the next level
    towards the original is taken. The budget holds exactly when the original is itself an image of
    8 bits, or when ``eps`` is at least half a level.

    Args:
        images: any shape, in [0, 1].
        original: the centre of the budget, same shape, in [0, 1].
        eps: largest change of one value, in the units of [0, 1]; one number, or (N,).

    Returns:
        Images whose values are multiples of 1/255.
    """
    eps = per_sample(eps, images) if isinstance(eps, Tensor) else eps
    lowest = ((original - eps) * LEVELS - _GRID_SLACK).ceil().clamp_min(0)
    highest = ((original + eps) * LEVELS + _GRID_SLACK).floor().clamp_max(LEVELS)
    return images.mul(LEVELS).round_().clamp_(lowest, highest).div_(LEVELS)


def round_within_l2(images: Tensor, original: Tensor, eps: Tensor | float) -> Tensor:
    """Round to 8 bits without leaving an l2 budget: as many changes rounded up as its length allows.

    A change between two levels goes to the farther of them if its fraction exceeds a threshold. At one
    half this is rounding to the nearest; where that would exceed the budget, the threshold is raised,
    sample by sample, until it does not. The budget holds exactly when the original is itself of 8 bits.

    Args:
        images: (N, ...) in [0, 1], within the budget.
        original: the centre of the budget, same shape, in [0, 1].
        eps: greatest Euclidean length of the change of a sample, in the units of [0, 1]; one number, or (N,).

    Returns:
        Images whose values are multiples of 1/255.
    """
    start = original.mul(LEVELS).round_()
    change = images * LEVELS - start
    whole = change.abs().floor()
    fraction, direction = change.abs() - whole, change.sign()
    allowed = torch.as_tensor(eps, dtype=images.dtype, device=images.device) * LEVELS
    low = images.new_full((len(images),), 0.5)
    high = images.new_ones(len(images))
    threshold = low
    for _ in range(_THRESHOLD_HALVINGS):
        rounded = start + direction * (whole + (fraction >= per_sample(threshold, images)))
        length = (rounded - original * LEVELS).flatten(1).norm(dim=1)
        fits = length <= allowed
        high, low = torch.where(fits, threshold, high), torch.where(fits, low, threshold)
        threshold = (low + high) / 2
    rounded = start + direction * (whole + (fraction >= per_sample(high, images)))
    return rounded.clamp_(0, LEVELS).div_(LEVELS)


def truncate_to_8bit(images: Tensor) -> Tensor:
    """Convert to 8 bits as the released code of Ghildyal & Liu (2023) does: by cutting off, in [-1, 1].

    Float noise of the way to [-1, 1] and back puts some values just below their level, and cutting off
    then loses a whole level, also where nothing was changed. Kept to compare with published figures.

    Args:
        images: any shape, in [0, 1].

    Returns:
        Images whose values are multiples of 1/255.
    """
    symmetric = images * 2 - 1
    return ((symmetric + 1) / 2 * LEVELS).floor().clamp_(0, LEVELS) / LEVELS
