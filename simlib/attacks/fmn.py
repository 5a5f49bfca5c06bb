"""FMN: a search for the least change that flips, with a budget that follows the margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simlib.attacks.attack import Attack, Conditions, register
from simlib.attacks.dials import choice, count
from simlib.attacks.objective import (
    Norm,
    is_flat,
    largest_size,
    margin_and_gradient,
    project,
    round_into,
    size,
    slope,
    steepest,
    unstuck,
)
from simlib.attacks.problem import FlipBatch
from simlib.attacks.result import Found, Protocol
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import per_sample

_STEP = (1.0, 0.01)
"""First and last step, in budgets."""

_GROWTH = (0.15, 1e-4)
"""By which share the budget changes after the first step, and after the last. The original starts with
0.05, which is slow for tens of steps."""

_SMALLEST_BUDGET: dict[Protocol, float] = {"paper": 1e-3 / LEVELS, "strict": 1 / LEVELS}
"""Smallest budget tried. A tie has no least one for float images; one of 8 bits changes by a level or not."""


@register
@dataclass(frozen=True, kw_only=True)
class FMN(Attack):
    """Search the least change that flips, with a budget that follows the margin (Pintor et al. 2021).

    Every step climbs the margin and then returns to the budget. While the rank is not flipped the budget
    grows, at first to where a linear margin would cross zero; while it is flipped the budget shrinks, by
    ever smaller shares. Kept is the smallest change that flipped. Two choices are ours: steps are stated
    in budgets and follow the steepest direction of the norm, where the original has one size and the
    direction of l2 for all; and the budget changes three times as fast at first, for fewer steps.
    A sample that never flipped is returned where the search ended. In the result, ``steps`` counts to the
    returned image; :func:`simlib.attacks.radii` reads the size of each change.

    Attributes:
        norm: how the size of a change is measured: its Euclidean length, ``"l2"``, or its largest
            value, ``"linf"``.
        steps: steps taken, by every sample.
    """

    name: ClassVar[str] = "fmn"
    title: ClassVar[str] = "FMN"
    bounded_by: ClassVar[str] = "nothing: it looks for the least change"
    citation: ClassVar[str] = "pintor2021fmn"

    norm: Norm = choice("l2", Norm)
    steps: int = count(50)

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Search up to the largest change that an image has room for."""
        return self.search_within(largest_size(batch.original, self.norm), batch, conditions)

    def search_within(self, largest: float, batch: FlipBatch, conditions: Conditions) -> Found:
        """Search with no budget above ``largest``, in the units of [0, 1]."""
        norm, linf = self.norm, self.norm == "linf"
        smallest = min(_SMALLEST_BUDGET[conditions.protocol], largest)
        original = images = batch.original
        nothing = original.new_full((len(original),), torch.inf)
        least = _Least(original, nothing, torch.full_like(nothing, self.steps, dtype=torch.long))
        eps, usual = torch.full_like(nothing, smallest), original
        for taken in range(self.steps + 1):
            candidate = round_into(images, original, eps, norm) if conditions.strict else images
            change = size(candidate - original, norm)
            if taken == self.steps:
                least.look(candidate, change, batch.flips(candidate), taken)
                break
            margin, gradient = margin_and_gradient(batch, candidate, "margin")
            if taken == 0:
                gradient = usual = unstuck(gradient, batch.names, conditions.seed, value_by_value=linf)
            else:
                gradient = torch.where(per_sample(is_flat(gradient), gradient), usual, gradient)
            least.look(candidate, change, margin > 0, taken)
            growth = _annealed(_GROWTH, taken, self.steps)
            grown = eps * (1 + growth)
            crossing = torch.maximum(change - margin / slope(gradient, norm), grown)
            widened = torch.where(least.size.isinf(), crossing, grown)
            narrowed = torch.minimum(eps * (1 - growth), least.size)
            eps = torch.where(margin > 0, narrowed, widened).clamp(smallest, largest)
            stride = per_sample(eps * _annealed(_STEP, taken, self.steps), images)
            images = project(images + stride * steepest(gradient, norm), original, eps, norm)
        backwards = torch.full_like(least.step, self.steps)
        return Found(least.images, None, least.step, forwards=backwards + 1, backwards=backwards)


@dataclass
class _Least:
    """The image of each sample with the smallest change that flipped, or else the last; its size and step."""

    images: Tensor
    size: Tensor
    step: Tensor

    def look(self, candidate: Tensor, change: Tensor, flips: Tensor, step: int) -> None:
        """Keep a candidate where it flips by a smaller change."""
        better = flips & (change < self.size)
        taken = better | self.size.isinf()
        self.images = torch.where(per_sample(taken, candidate), candidate, self.images)
        self.size = torch.where(better, change, self.size)
        self.step = torch.where(better, step, self.step)


def _annealed(ends: tuple[float, float], taken: int, steps: int) -> float:
    """Go from the first value to the last along half a cosine."""
    first, last = ends
    return last + (first - last) * (1 + math.cos(math.pi * taken / steps)) / 2
