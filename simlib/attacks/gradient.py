"""Attacks that follow the sign of the gradient: FGSM and PGD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from simlib.attacks.attack import Attack, Conditions, register
from simlib.attacks.dials import a_budget, budget, count, dial, positive, switch
from simlib.attacks.objective import Objective, is_flat, margin_and_gradient, unstuck
from simlib.attacks.problem import FlipBatch
from simlib.attacks.result import Found
from simlib.attacks.survivors import Survivors
from simlib.errors import InputError
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import per_sample, project_linf, round_within

PAPER_EPS, PAPER_STEP, PAPER_STEPS = 0.03 / 2, 0.001 / 2, 30
"""Budget, step and steps of the paper's PGD: 0.03 and 0.001 in its range [-1, 1], so 3.825 and 0.1275 levels
of 8 bits. The steps reach the budget exactly."""

PAPER_REVERSE_EPS, PAPER_REVERSE_STEPS = 0.1 / 2, 50
"""Budget and steps of the paper's reverse attack, which is PGD on the farther image with the same step."""


def _growing_sizes(name: str, value: Any) -> tuple[float, ...]:
    """Return sizes of a step as they are, if each is a budget and larger than the last."""
    value = value.tolist() if isinstance(value, np.ndarray | Tensor) else value
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise InputError(f"{name} is {value!r}. It must be a list that holds at least one size.")
    sizes = tuple(a_budget(f"a size of {name}", size) for size in value)
    if list(sizes) != sorted(set(sizes)):
        raise InputError(f"{name} is {sizes}. Each size must be larger than the last.")
    return sizes


@register
@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Take one step along the sign of the gradient, of the smallest size of a grid that flips.

    The gradient is taken once, at the original image (Goodfellow et al. 2015). A sample that no size
    flips is returned at the largest. In the result, ``steps`` counts the sizes that were tried, and ``linf``
    is the size that was taken.

    Attributes:
        grid: sizes of the step in the units of [0, 1], each larger than the last; by default every whole
            level from 1 to 10.
    """

    name: ClassVar[str] = "fgsm"
    title: ClassVar[str] = "FGSM"
    bounded_by: ClassVar[str] = "largest change of a value"
    citation: ClassVar[str] = "goodfellow2015explaining"

    # Our choice, the paper's is not known to us.
    grid: Sequence[float] = dial(tuple(level / LEVELS for level in range(1, 11)), _growing_sizes)

    @property
    def reach(self) -> float:
        """The largest size of the step."""
        return max(self.grid)

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Try one size after the other on those that no smaller one has flipped."""
        survivors = Survivors(batch)
        _, gradient = margin_and_gradient(batch, batch.original, _objective(conditions))
        if conditions.strict:
            gradient = unstuck(gradient, batch.names, conditions.seed)
        direction, candidate = gradient.sign(), batch.original
        for tried, size in enumerate(self.grid, start=1):
            original = survivors.batch.original
            candidate = project_linf(original + size * direction, original, size)
            candidate = round_within(candidate, original, size) if conditions.strict else candidate
            with torch.no_grad():
                flips = survivors.batch.margin(candidate) > 0
            stay = survivors.release(flips, candidate, tried)
            if stay is not None:
                direction, candidate = direction[stay], candidate[stay]
            if len(survivors) == 0:
                break
        images, flipped, steps = survivors.finish(candidate, len(self.grid))
        flipped = None if conditions.strict else flipped
        return Found(images, flipped, steps, forwards=steps + 1, backwards=torch.ones_like(steps))


@register
@dataclass(frozen=True, kw_only=True)
class PGD(Attack):
    """Take many small steps along the sign of the gradient, within a budget (Madry et al. 2018).

    Under the paper's protocol this is the released procedure: no random start, the flip is tested
    before each step, and the image after the last step is not tested. Under the strict protocol every
    candidate is rounded to 8 bits within the budget, and the gradient is taken at the rounded image, so
    that one evaluation serves the test and the step; an image at which the gradient is zero, such as
    one equal to the reference, is first moved by one level in a random direction.

    Attributes:
        eps: largest change of one value, in the units of [0, 1]. A budget above ``step`` times ``steps`` is
            never reached.
        step: size of a step, same units.
        steps: most steps taken.
        early_stop: stop a sample when it flips; false takes all steps, as images for transfer are made (none
            where rounding alone flips the rank, under the strict protocol).
    """

    name: ClassVar[str] = "pgd"
    title: ClassVar[str] = "PGD"
    bounded_by: ClassVar[str] = "largest change of a value"
    citation: ClassVar[str] = "madry2018towards"

    eps: float = budget(PAPER_EPS)
    step: float = positive(PAPER_STEP)
    steps: int = count(PAPER_STEPS)
    early_stop: bool = switch(True)

    @property
    def reach(self) -> float:
        """The budget, or twice what the steps add up to: half a level may be rounded to a whole one."""
        return min(self.eps, 2 * self.step * self.steps)

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Take the steps from the original images."""
        return self.search_from(batch.original, batch, conditions)

    def search_from(self, start: Tensor, batch: FlipBatch, conditions: Conditions) -> Found:
        """Take the steps from other images (N, 3, H, W), still within the budget around the originals."""
        strict, survivors, images = conditions.strict, Survivors(batch), start
        for taken in range(self.steps):
            active = survivors.batch
            candidate = round_within(images, active.original, self.eps) if strict else images
            margin, gradient = margin_and_gradient(active, candidate, _objective(conditions))
            moved = project_linf(images.add(gradient.sign(), alpha=self.step), active.original, self.eps)
            if strict and taken == 0:
                moved = self._nudged(moved, active, gradient, conditions.seed)
            stay = survivors.release(margin > 0, candidate, taken) if self.early_stop else None
            images = moved if stay is None else moved[stay]
            if len(survivors) == 0:
                break
        if strict:
            images = round_within(images, survivors.batch.original, self.eps)
        images, flipped, taken = survivors.finish(images, self.steps)
        backwards = taken + flipped.long()
        forwards = taken + 1 if self.early_stop and strict else backwards
        return Found(images, flipped if self.early_stop and not strict else None, taken, forwards, backwards)

    def _nudged(self, images: Tensor, batch: FlipBatch, gradient: Tensor, seed: int) -> Tensor:
        """Move samples whose gradient is zero everywhere by one level in a random direction.

        A step smaller than half a level would be undone by the rounding, and the gradient would stay zero.
        """
        signs = unstuck(gradient, batch.names, seed).sign()
        nudged = project_linf(batch.original + signs / LEVELS, batch.original, self.eps)
        return torch.where(per_sample(is_flat(gradient), images), nudged, images)


def _objective(conditions: Conditions) -> Objective:
    """Return what is ascended: the margin, or what the paper's released code ascends."""
    return "margin" if conditions.strict else "share"
