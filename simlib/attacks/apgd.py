"""APGD: gradient ascent on the margin that chooses its own steps, sample by sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simlib.attacks.attack import Attack, Conditions, register
from simlib.attacks.dials import a_budget, a_positive_number, choice, count, positive_or_default
from simlib.attacks.objective import Norm, margin_and_gradient, project, round_into, steepest, unstuck
from simlib.attacks.problem import FlipBatch
from simlib.attacks.result import Found
from simlib.attacks.survivors import Survivors
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import per_sample

USUAL_EPS: dict[Norm, float] = {"linf": 4 / LEVELS, "l2": 3.0}
"""The budgets at which later work states robust accuracy (R-CLIP, arXiv 2502.11725)."""

_MOMENTUM = 0.75
_RISES = 0.75
"""Share of the steps between two checkpoints that must raise the margin, or the step is halved."""


@register
@dataclass(frozen=True, kw_only=True)
class APGD(Attack):
    """Climb the margin with momentum, halving the step where it stops to pay (Croce & Hein 2020).

    The first step is twice the budget. At fixed checkpoints a sample that rose too rarely, or found
    nothing better since the last one, halves its step and goes on from the best image it has seen.
    There is no size of a step to tune. It starts at the original image; where the gradient is zero there,
    in a random direction (in l-inf, value by value). It climbs the margin under both protocols, and tests
    every image, the last one too. A sample that is not flipped is returned where its margin was largest.

    Attributes:
        norm: how the size of the change is measured: its largest value, ``"linf"``, or its Euclidean
            length, ``"l2"``.
        eps: largest size of the change, in the units of [0, 1]; by default the budget that later work uses,
            4/255 in ``"linf"`` and 3 in ``"l2"``.
        steps: most steps taken.
    """

    name: ClassVar[str] = "apgd"
    title: ClassVar[str] = "APGD"
    bounded_by: ClassVar[str] = "largest change of a value, or Euclidean length"
    citation: ClassVar[str] = "croce2020reliable"

    norm: Norm = choice("linf", Norm)
    eps: float = positive_or_default()
    steps: int = count(50)

    def settle(self) -> None:
        """Take the usual budget of the norm, unless one was given."""
        eps = USUAL_EPS[self.norm] if self.eps is None else self.eps
        self._set("eps", (a_budget if self.norm == "linf" else a_positive_number)("eps", eps))

    @property
    def reach(self) -> float:
        """The budget, also in l2: a change of one value is as long as it is large."""
        return self.eps

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Climb, every sample within the same budget."""
        budgets = batch.original.new_full((len(batch),), self.eps)
        return climb(batch, budgets, self.norm, self.steps, conditions)[0]


def climb(
    batch: FlipBatch,
    eps: Tensor,
    norm: Norm,
    steps: int,
    conditions: Conditions,
    *,
    start: Tensor | None = None,
    first_step: float = 2.0,
) -> tuple[Found, Tensor]:
    """Run APGD on one batch, each sample within its own budget ``eps`` (N,).

    It starts at the originals, or at the images ``start`` (N, 3, H, W), which are brought into the budget.
    The first step is stated in budgets.

    Returns:
        What was found, and which samples (N,) flipped on the way.
    """
    survivors = Survivors(batch)
    images = batch.original if start is None else project(start, batch.original, eps, norm)
    climber = _Climber(images, eps, eps * first_step)
    checkpoints, passed = checkpoints_of(steps), 0
    for taken in range(steps + 1):
        active, candidate = survivors.batch, climber.images
        if conditions.strict:
            candidate = round_into(candidate, active.original, climber.eps, norm)
        if taken == steps:
            with torch.no_grad():
                margin, gradient = active.margin(candidate), climber.gradient
        else:
            margin, gradient = margin_and_gradient(active, candidate, "margin")
        if taken == 0:
            gradient = unstuck(gradient, active.names, conditions.seed, value_by_value=norm == "linf")
        climber.look(candidate, margin, gradient)
        stay = survivors.release(margin > 0, candidate, taken)
        if stay is not None:
            climber.narrow(stay)
        if len(survivors) == 0 or taken == steps:
            break
        if taken in checkpoints:
            climber.slow_down(taken - passed)
            passed = taken
        climber.step(survivors.batch.original, norm, momentum=_MOMENTUM if taken else 1.0)
    images, flipped, taken = survivors.finish(climber.best_images, steps)
    backwards = (taken + 1).clamp_max(steps)
    return Found(images, None, steps=taken, forwards=taken + 1, backwards=backwards), flipped


def checkpoints_of(steps: int) -> frozenset[int]:
    """Return after which of so many steps APGD asks whether to halve, as Croce & Hein (2020) place them."""
    last, here, checkpoints = 0.0, 0.22, list[int]()
    while here < 1:
        checkpoints.append(math.ceil(round(here * steps, 6)))
        last, here = here, here + max(here - last - 0.03, 0.06)
    return frozenset(checkpoints)


class _Climber:
    """What APGD knows of each sample of a batch; every attribute has the batch as its first dimension."""

    def __init__(self, images: Tensor, eps: Tensor, step_size: Tensor) -> None:
        nothing, zero = torch.full_like(eps, -torch.inf), torch.zeros_like(images)
        self.eps, self.step_size = eps, step_size
        # Where it stands, not rounded, and where it stood before its last step.
        self.images = self.previous = images
        self.margin, self.gradient = -nothing, zero
        self.best_images, self.best_margin, self.best_gradient = images, nothing, zero
        # At the last checkpoint: the best margin, and whether the step was halved. Since then: rises.
        self.checked_margin, self.halved = nothing, torch.ones_like(eps, dtype=torch.bool)
        self.rises = torch.zeros_like(eps)

    def narrow(self, index: Tensor) -> None:
        """Keep the samples at these positions (an integer tensor) only."""
        for name, values in vars(self).items():
            setattr(self, name, values.index_select(0, index))

    def look(self, candidate: Tensor, margin: Tensor, gradient: Tensor) -> None:
        """Note what was measured at a candidate."""
        better = margin > self.best_margin
        self.rises = self.rises + (margin > self.margin)
        self.margin, self.gradient = margin, gradient
        self.best_images = torch.where(per_sample(better, candidate), candidate, self.best_images)
        self.best_gradient = torch.where(per_sample(better, candidate), gradient, self.best_gradient)
        self.best_margin = torch.where(better, margin, self.best_margin)

    def slow_down(self, steps: int) -> None:
        """Halve the step and return to the best image, at rest, where the last so many steps paid little."""
        idle = ~self.halved & (self.best_margin <= self.checked_margin)
        slow = (self.rises < _RISES * steps) | idle
        back = per_sample(slow, self.images)
        self.step_size = torch.where(slow, self.step_size / 2, self.step_size)
        self.images = torch.where(back, self.best_images, self.images)
        self.previous = torch.where(back, self.best_images, self.previous)
        self.gradient = torch.where(back, self.best_gradient, self.gradient)
        self.margin = torch.where(slow, self.best_margin, self.margin)
        self.rises = torch.zeros_like(self.rises)
        self.checked_margin, self.halved = self.best_margin, slow

    def step(self, original: Tensor, norm: Norm, *, momentum: float) -> None:
        """Step along the gradient, and go on a little in the direction of the last step."""
        ahead = self.images + per_sample(self.step_size, self.images) * steepest(self.gradient, norm)
        ahead = project(ahead, original, self.eps, norm)
        drift = (1 - momentum) * (self.images - self.previous)
        moved = self.images + momentum * (ahead - self.images) + drift
        self.images, self.previous = project(moved, original, self.eps, norm), self.images
