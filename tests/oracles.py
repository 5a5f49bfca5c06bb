"""Slow, independent versions of what simlib computes, written close to the released code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class OneByOne:
    """What the attack on one triplet came to; the image is in the range of its input."""

    image: Tensor
    flipped: bool
    steps: int


def pgd_one_by_one(
    distance: Distance,
    ref: Tensor,
    p0: Tensor,
    p1: Tensor,
    *,
    eps: float = 0.03,
    step: float = 0.001,
    steps: int = 30,
    reverse: bool = False,
    box: tuple[float, float] = (-1.0, 1.0),
) -> OneByOne:
    """Attack one triplet as the paper's code does: two distances a step, each with a reference pass.

    Args:
        distance: of two batches of one image.
        ref: (1, 3, H, W) in the box; p0 and p1 alike.
        eps, step: in the units of the box; the defaults are the paper's, for [-1, 1].
        reverse: attack the farther image with the objective of the paper's appendix.
        box: least and greatest value of an image.
    """
    with torch.no_grad():
        closer_is_p1 = bool(distance(ref, p0) > distance(ref, p1))
    attacked, other = (p1, p0) if closer_is_p1 != reverse else (p0, p1)
    original = attacked.clone()
    image = attacked.clone()
    for taken in range(steps):
        image = image.detach().requires_grad_(True)
        distance_attacked = distance(ref, image).squeeze()
        distance_other = distance(ref, other).squeeze()
        flipped = distance_attacked < distance_other if reverse else distance_attacked > distance_other
        if bool(flipped):
            return OneByOne(image.detach(), True, taken)
        share = distance_other / (distance_other + distance_attacked)
        objective = share**2 if reverse else (share - 1.0) ** 2
        objective.backward()
        assert image.grad is not None
        image = image.detach() + step * image.grad.sign()
        image = original + (image - original).clamp(-eps, eps)
        image = image.clamp(*box)
    return OneByOne(image.detach(), False, steps)
