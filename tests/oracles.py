"""Slow, independent versions of what simlib computes, written close to the released code."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import fmin_l_bfgs_b
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
    """Attack one triplet, images (1, 3, H, W) in the box, as the paper's code does.

    The budget and the step are in the units of the box; ``reverse`` attacks the farther image with the
    objective of the paper's appendix.
    """
    with torch.no_grad():
        closer_is_p1 = bool(distance(ref, p0) > distance(ref, p1))
    attacked, other = (p1, p0) if closer_is_p1 != reverse else (p0, p1)
    original, image = attacked.clone(), attacked.clone()
    for taken in range(steps):
        image = image.detach().requires_grad_(True)
        distance_attacked, distance_other = (distance(ref, each).squeeze() for each in (image, other))
        flipped = distance_attacked < distance_other if reverse else distance_attacked > distance_other
        if bool(flipped):
            return OneByOne(image.detach(), True, taken)
        share = distance_other / (distance_other + distance_attacked)
        objective = share**2 if reverse else (share - 1.0) ** 2
        objective.backward()
        assert image.grad is not None
        image = image.detach() + step * image.grad.sign()
        image = (original + (image - original).clamp(-eps, eps)).clamp(*box)
    return OneByOne(image.detach(), False, steps)


def warp_as_released(images: Tensor, flow: Tensor) -> Tensor:
    """Move images by a flow with four gathered corners, coordinates clamped first, as released code does."""
    n, _, height, width = images.shape
    where = {"dtype": flow.dtype, "device": flow.device}
    rows = (flow[:, 0] + torch.arange(height, **where).view(-1, 1)).clamp(0, height - 1)
    columns = (flow[:, 1] + torch.arange(width, **where)).clamp(0, width - 1)
    top, left = rows.detach().floor().long(), columns.detach().floor().long()
    bottom, right = (top + 1).clamp_max(height - 1), (left + 1).clamp_max(width - 1)
    sample = torch.arange(n, device=flow.device).view(-1, 1, 1)

    def at(row: Tensor, column: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1)[sample, row, column]

    down, across = (rows - top).unsqueeze(-1), (columns - left).unsqueeze(-1)
    upper = at(top, left) * (1 - across) + at(top, right) * across
    lower = at(bottom, left) * (1 - across) + at(bottom, right) * across
    return (upper * (1 - down) + lower * down).permute(0, 3, 1, 2)


def smoothness_pixel_by_pixel(flow: Tensor, form: str) -> Tensor:
    """Sum over pixels and their four diagonal neighbours, zero beyond the edge."""
    n, _, height, width = flow.shape
    total = torch.zeros(n, dtype=flow.dtype)
    for row, column, down, across in itertools.product(range(height), range(width), (-1, 1), (-1, 1)):
        there = (row + down, column + across)
        inside = 0 <= there[0] < height and 0 <= there[1] < width
        neighbour = flow[:, :, *there] if inside else torch.zeros_like(flow[:, :, 0, 0])
        squared = (flow[:, :, row, column] - neighbour).square().sum(dim=1) + 1e-8
        total += squared.sqrt() if form == "root" else squared
    return total


@dataclass(frozen=True)
class Moved:
    """What stAdv on one triplet came to."""

    flow: Tensor
    flipped: bool
    smoothness: float
    iterations: int
    evaluations: int


class _FlippedError(Exception):
    """Raised out of SciPy's optimiser at the first point at which the rank is flipped."""


def stadv_one_by_one(
    distance: Distance,
    ref: Tensor,
    p0: Tensor,
    p1: Tensor,
    *,
    weights: tuple[float, float] = (50.0, 0.05),
    iterations: int = 50,
    to_metric: Callable[[Tensor], Tensor] = lambda image: image,
) -> Moved:
    """Attack one triplet, images (1, 3, H, W) in [0, 1], by SciPy's L-BFGS-B; reference passes included.

    The weights are of the share of distances and of the smoothness of the flow; ``to_metric`` brings images
    to what the distance takes.
    """
    with torch.no_grad():
        closer_is_p1 = bool(distance(to_metric(ref), to_metric(p0)) > distance(to_metric(ref), to_metric(p1)))
    attacked, other = (p1, p0) if closer_is_p1 else (p0, p1)
    shape = (1, 2, *ref.shape[-2:])
    evaluations, last = 0, torch.zeros(shape, dtype=ref.dtype, device=ref.device)

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal evaluations, last
        evaluations += 1
        flow = torch.as_tensor(values, dtype=ref.dtype, device=ref.device).view(shape).requires_grad_(True)
        moved = warp_as_released(attacked, flow)
        score = distance(to_metric(ref), to_metric(moved)).sum()
        score_other = distance(to_metric(ref), to_metric(other)).sum()
        last = flow.detach()
        if score > score_other:
            raise _FlippedError
        loss = weights[0] * score_other / (score + score_other) + weights[1] * released_flow_loss(flow)
        loss.backward()
        assert flow.grad is not None
        return loss.item(), flow.grad.double().cpu().numpy().ravel()

    start = np.zeros(int(np.prod(shape)))
    try:
        values, _, info = fmin_l_bfgs_b(objective, start, maxiter=iterations)
    except _FlippedError:
        return Moved(last, True, released_flow_loss(last).item(), -1, evaluations)
    flow = torch.as_tensor(values, dtype=ref.dtype, device=ref.device).view(shape)
    return Moved(flow, False, released_flow_loss(flow).item(), int(info["nit"]), evaluations)


def released_flow_loss(flow: Tensor) -> Tensor:
    """Sum squared differences to the four diagonal neighbours over a padded copy, without a root."""
    height, width = flow.shape[-2:]
    padded = torch.nn.functional.pad(flow, (1, 1, 1, 1))
    neighbours = [padded[..., i : i + height, j : j + width] for i in (0, 2) for j in (0, 2)]
    return sum(((flow - near).square().sum(dim=1) + 1e-8).sum() for near in neighbours) + flow.new_zeros(())
