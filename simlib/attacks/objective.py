"""What white-box attacks ascend, its gradient, and the two norms in which their budgets are stated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from simlib.attacks.problem import FlipBatch
from simlib.errors import NoGradientError
from simlib.kernels.noise import random_signs
from simlib.kernels.projection import per_sample, project_l2, project_linf, round_within, round_within_l2
from simlib.kernels.settings import own_settings

Objective = Literal["margin", "share"]
"""What is ascended: the margin, or, as released for the closer and the farther image alike, the square of the
closer image's share of the two distances. The share has no slope where it is zero, and little where it is
large; the margin keeps its own."""

Norm = Literal["linf", "l2"]
"""How the size of a change is measured: by its largest value, or by its Euclidean length."""


def margin_and_gradient(batch: FlipBatch, images: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
    """Return the margin (N,), and the gradient (N, 3, H, W) of an objective.

    It is summed over the batch, so that no sample's gradient depends on how many there are. A NoGradientError
    is raised if the metric gives none.
    """
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        closer, farther = batch.distances(images)
        margin = closer - farther
        # A share of distances below zero says nothing.
        plain = objective == "margin" or batch.metric.spec.may_be_negative
        ascended = margin if plain else closer_share(closer, farther).square()
        gradient = gradient_of(ascended.sum(), images, batch)
    return margin.detach(), gradient


def closer_share(closer: Tensor, farther: Tensor) -> Tensor:
    """Return the closer image's share of the two distances, (N,); above one half the rank is flipped."""
    return closer / (closer + farther).clamp_min(torch.finfo(closer.dtype).tiny)


def gradient_of(total: Tensor, variable: Tensor, batch: FlipBatch) -> Tensor:
    """Differentiate a sum over the batch with respect to a variable (N, ...), or raise a NoGradientError."""
    require_gradient(total, batch)
    with own_settings():
        (gradient,) = torch.autograd.grad(total, variable)
    batch.note_undefined(gradient)
    return gradient


def require_gradient(values: Tensor, batch: FlipBatch) -> None:
    """Refuse values of a metric that torch cannot differentiate, by a NoGradientError."""
    if not (values.requires_grad and batch.metric.spec.differentiable):
        raise NoGradientError(
            f"{batch.metric.spec.title} gives no gradient, and this attack needs one. "
            "Use a black-box attack: OnePixel, FewPixel or Square."
        )


def is_flat(gradient: Tensor) -> Tensor:
    """Say for which samples (N,) a gradient (N, ...) is zero everywhere."""
    return (gradient == 0).flatten(1).all(dim=1)


def unstuck(gradient: Tensor, names: Sequence[str], seed: int, *, value_by_value: bool = False) -> Tensor:
    """Return a gradient (N, ...) with a random direction where it is zero everywhere.

    With ``value_by_value`` every zero is replaced. This suits a bound on each value: there, a change of
    one value takes nothing from the others, and a value at which the margin is flat, as the square error is
    where image and reference agree, may rise either way.
    """
    zero = gradient == 0 if value_by_value else per_sample(is_flat(gradient), gradient).expand_as(gradient)
    if not bool(zero.any()):
        return gradient
    usual = gradient.abs().flatten(1).mean(dim=1)
    usual = torch.where(usual > 0, usual, 1.0)
    return torch.where(zero, random_signs(names, gradient, seed) * per_sample(usual, gradient), gradient)


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
