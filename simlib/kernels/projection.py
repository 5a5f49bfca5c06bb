"""Projections: onto a budget, onto the image box, onto images of 8 bits."""

from __future__ import annotations

from torch import Tensor

from simlib.kernels.images import LEVELS

_GRID_SLACK = 1e-3
"""Part of a level by which float noise may push an image of 8 bits off its own grid."""


def project_linf(images: Tensor, original: Tensor, eps: float) -> Tensor:
    """Move images to the nearest point within ``eps`` of the original and within [0, 1].

    Args:
        images: any shape.
        original: the centre of the budget, same shape, in [0, 1].
        eps: largest change of one value, in the units of [0, 1].

    Returns:
        A tensor of the same shape.
    """
    return (images - original).clamp_(-eps, eps).add_(original).clamp_(0.0, 1.0)


def round_to_8bit(images: Tensor) -> Tensor:
    """Round images in [0, 1] to the nearest of the 256 levels that a PNG can hold."""
    return images.mul(LEVELS).round_().clamp_(0, LEVELS).div_(LEVELS)


def round_within(images: Tensor, original: Tensor, eps: float) -> Tensor:
    """Round to 8 bits without leaving the budget: to the nearest level that is within ``eps``.

    Rounding alone can add half a level to a change. Where that would exceed ``eps``, the next level
    towards the original is taken. The budget holds exactly when the original is itself an image of
    8 bits, or when ``eps`` is at least half a level.

    Args:
        images: any shape, in [0, 1].
        original: the centre of the budget, same shape, in [0, 1].
        eps: largest change of one value, in the units of [0, 1].

    Returns:
        Images whose values are multiples of 1/255.
    """
    lowest = ((original - eps) * LEVELS - _GRID_SLACK).ceil().clamp_min(0)
    highest = ((original + eps) * LEVELS + _GRID_SLACK).floor().clamp_max(LEVELS)
    return images.mul(LEVELS).round_().clamp_(lowest, highest).div_(LEVELS)


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
