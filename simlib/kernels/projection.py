"""Projections onto a budget, onto the range [0, 1] and onto images of 8 bits.

A budget ``eps`` bounds the change from an original of the same shape, both in [0, 1]: of each value, or in l2
the Euclidean length of a sample's change. It is one number, or (N,). Images of 8 bits are multiples of 1/255.
"""

from __future__ import annotations

import torch
from torch import Tensor

from simlib.kernels.images import LEVELS

_GRID_SLACK = 1e-3
"""Greatest error, in levels, that float noise makes in an image of 8 bits."""

_THRESHOLD_HALVINGS = 12
"""Halvings of the range of a rounding threshold; they find it within 1/4096 of a level."""


def project_linf(images: Tensor, original: Tensor, eps: Tensor | float) -> Tensor:
    """Move images of any shape to the nearest point within ``eps`` of the original and within [0, 1]."""
    change = images - original
    if isinstance(eps, Tensor):
        bound = per_sample(eps, images)
        change = change.clamp_(-bound, bound)
    else:
        change = change.clamp_(-eps, eps)
    return change.add_(original).clamp_(0.0, 1.0)


def project_l2(images: Tensor, original: Tensor, eps: Tensor | float) -> Tensor:
    """Shrink changes (N, ...) to a length of at most ``eps``, then clamp the images to [0, 1].

    The original is within [0, 1], so the clamp only makes changes smaller, and both limits hold.
    """
    change = images - original
    length = change.flatten(1).norm(dim=1)
    factor = (eps / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1.0)
    return (original + change * per_sample(factor, change)).clamp_(0.0, 1.0)


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Reshape one value for each sample, (N,), so that it broadcasts over the sample's values in ``like``."""
    return values.view(-1, *[1] * (like.dim() - 1))


def round_to_8bit(images: Tensor) -> Tensor:
    """Round images in [0, 1] to the nearest of the 256 levels that a PNG can hold."""
    return images.mul(LEVELS).round_().clamp_(0, LEVELS).div_(LEVELS)


def round_within(images: Tensor, original: Tensor, eps: Tensor | float) -> Tensor:
    """Round to 8 bits without leaving the budget: to the nearest level that is within ``eps``.

    Images have any shape. Rounding alone can add half a level to a change. Where that would exceed ``eps``,
    the next level towards the original is taken. The budget holds exactly when the original is itself an
    image of 8 bits, or when ``eps`` is at least half a level.
    """
    eps = per_sample(eps, images) if isinstance(eps, Tensor) else eps
    lowest = ((original - eps) * LEVELS - _GRID_SLACK).ceil().clamp_min(0)
    highest = ((original + eps) * LEVELS + _GRID_SLACK).floor().clamp_max(LEVELS)
    return images.mul(LEVELS).round_().clamp_(lowest, highest).div_(LEVELS)


def round_within_l2(images: Tensor, original: Tensor, eps: Tensor | float) -> Tensor:
    """Round to 8 bits without leaving an l2 budget: round up as many changes as its length allows.

    A change of images (N, ...) between two levels is rounded up if its fraction reaches a threshold. With a
    threshold of one half this is rounding to the nearest level. Where that would exceed the budget, the
    threshold is raised, sample by sample, until the rounded change fits. Where it would leave no change at
    all, the threshold is lowered: the largest changes become a whole level, as many as fit. The images must
    be within the budget, which then holds exactly when the original is itself an image of 8 bits.
    """
    start = original.mul(LEVELS).round_()
    change = images * LEVELS - start
    whole = change.abs().floor()
    fraction, direction = change.abs() - whole, change.sign()
    allowed = torch.as_tensor(eps, dtype=images.dtype, device=images.device) * LEVELS
    largest = change.abs().flatten(1).amax(dim=1)
    lost = largest < 0.5
    low = torch.where(lost, 0.0, torch.full_like(largest, 0.5))
    # Just above the largest change, nothing is rounded up.
    high = torch.where(lost, 1.001 * largest, torch.ones_like(largest))
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
    """Convert to 8 bits as the released code of Ghildyal & Liu (2023) does: by truncation, in [-1, 1].

    The conversion to [-1, 1] and back puts some values just below their level, and truncation then loses
    a whole level, even where nothing was changed. It is kept for the comparison with published figures.
    """
    symmetric = images * 2 - 1
    return ((symmetric + 1) / 2 * LEVELS).floor().clamp_(0, LEVELS) / LEVELS
