"""The two norms in which a budget is stated, and what an attack does within such a budget."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from simlib.attacks.driver import require_budget, require_positive
from simlib.errors import unknown_name
from simlib.kernels.projection import per_sample, project_l2, project_linf, round_within, round_within_l2

Norm = Literal["linf", "l2"]
"""How the size of a change is measured: by its largest value, or by its Euclidean length."""


def require_norm(norm: str) -> None:
    """Refuse a norm that is not known.

    Raises:
        UnknownNameError: naming those that are.
    """
    if norm not in get_args(Norm):
        raise unknown_name("norm", str(norm), get_args(Norm))


def require_eps(name: str, eps: float, norm: Norm) -> None:
    """Refuse a budget that is not above zero, or in l-inf one beyond the range of an image.

    Raises:
        InputError: naming the parameter and its value.
    """
    (require_budget if norm == "linf" else require_positive)(name, eps)


def size(change: Tensor, norm: Norm) -> Tensor:
    """Measure each sample's change (N, ...) in a norm, (N,)."""
    flat = change.flatten(1)
    return flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)


def largest_size(images: Tensor, norm: Norm) -> float:
    """Return the size of the largest change that images (N, ...) in [0, 1] have room for."""
    return 1.0 if norm == "linf" else images[0].numel() ** 0.5


def project(images: Tensor, original: Tensor, eps: Tensor, norm: Norm) -> Tensor:
    """Move images into the budget ``eps`` (N,) around the original, and into [0, 1]."""
    return (project_linf if norm == "linf" else project_l2)(images, original, eps)


def round_into(images: Tensor, original: Tensor, eps: Tensor, norm: Norm) -> Tensor:
    """Round images to 8 bits without leaving the budget ``eps`` (N,) around the original."""
    return (round_within if norm == "linf" else round_within_l2)(images, original, eps)


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """Return the change of size 1 that rises fastest along a gradient (N, ...); zero where it is zero."""
    if norm == "linf":
        return gradient.sign()
    return gradient / per_sample(slope(gradient, norm), gradient)


def slope(gradient: Tensor, norm: Norm) -> Tensor:
    """Return how much the steepest change of size 1 rises along a gradient, (N,); never quite zero."""
    flat = gradient.flatten(1)
    steepness = flat.abs().sum(dim=1) if norm == "linf" else flat.norm(dim=1)
    return steepness.clamp_min(torch.finfo(steepness.dtype).tiny)
