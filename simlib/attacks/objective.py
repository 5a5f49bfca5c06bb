"""What white-box attacks ascend, and its gradient."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simlib.attacks.problem import FlipBatch
from simlib.errors import NoGradientError

Objective = Literal["margin", "share"]
"""What is ascended: the margin, or, as released for the closer and the farther image alike, the square of the
closer image's share of the two distances. The share has no slope where it is zero, and little where it is
large; the margin keeps its own."""


def margin_and_gradient(batch: FlipBatch, images: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
    """Return the margin (N,), and the gradient (N, 3, H, W) of an objective.

    It is summed over the batch, so that no sample's gradient depends on how many there are.

    Raises:
        NoGradientError: if the metric gives no gradient.
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
    """Differentiate a sum over the batch with respect to a variable; same shape as the variable.

    Raises:
        NoGradientError: if the sum does not depend on anything in a way that torch can follow.
    """
    require_gradient(total, batch)
    return torch.autograd.grad(total, variable)[0]


def require_gradient(values: Tensor, batch: FlipBatch) -> None:
    """Refuse values of a metric that torch cannot differentiate.

    Raises:
        NoGradientError: naming the metric and the attacks that need no gradient.
    """
    if not (values.requires_grad and batch.metric.spec.differentiable):
        raise NoGradientError(
            f"{batch.metric.spec.title} gives no gradient, and this attack needs one. "
            "Use a black-box attack: one_pixel, few_pixel or square."
        )
