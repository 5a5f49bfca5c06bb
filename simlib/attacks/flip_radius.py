"""The flip radius: the least budget that flips a rank, by FMN and bisection."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from simlib.attacks.apgd import climb
from simlib.attacks.attack import Attack, Conditions, register
from simlib.attacks.dials import a_budget, choice, count, positive_or_default
from simlib.attacks.fmn import FMN
from simlib.attacks.objective import Norm, largest_size, size
from simlib.attacks.problem import FlipBatch
from simlib.attacks.result import AttackResult, Found
from simlib.errors import unknown_name
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import per_sample

_PRECISION = 1 / 256
"""The bisection leaves a sample when its radius is known to this share."""

_FIRST_CUT = 1 / 64
"""By which share the bisection first tries to undercut FMN, which is seldom far off."""

_WARM_STEP = 0.2
"""First step of APGD from a warm start, in budgets: its usual two budgets would throw the start away."""


@register
@dataclass(frozen=True, kw_only=True)
class FlipRadius(Attack):
    """Find, for each triplet, the least budget that flips the rank, and the image that does it.

    FMN finds a change that flips. Bisection then asks APGD, started from the smallest change known, for
    one within a smaller budget, until the budget is known to one part in 256 or the bisections are spent.
    What is returned is therefore an upper bound: no attack can prove that nothing smaller flips. It never
    exceeds that of FMN. Under the strict protocol an l-inf radius is a whole number of levels when the
    original image is of 8 bits. In the result, ``steps`` counts gradients taken; :func:`radii` reads the
    radius of each sample.

    Attributes:
        norm: how the size of a change is measured: its Euclidean length, ``"l2"``, or its largest
            value, ``"linf"``.
        largest: the largest budget of interest, in the units of [0, 1]; by default no limit but the
            range of the image.
        bisections: most budgets asked for after FMN.
        steps: steps of FMN; APGD, which starts from what is known, takes at most half as many for a budget.
    """

    name: ClassVar[str] = "flip-radius"
    title: ClassVar[str] = "Flip radius"
    bounded_by: ClassVar[str] = "nothing: it looks for the least change"
    citation: ClassVar[str] = "pintor2021fmn"

    norm: Norm = choice("l2", Norm)
    largest: float | None = positive_or_default()
    bisections: int = count(20)
    steps: int = count(30)

    def settle(self) -> None:
        """Refuse a largest change of one value that no image has room for."""
        if self.norm == "linf" and self.largest is not None:
            a_budget("largest", self.largest)

    @property
    def reach(self) -> float:
        """The largest budget of interest."""
        return math.inf if self.largest is None else self.largest

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Let FMN find a radius, and bisect below it."""
        norm, room = self.norm, largest_size(batch.original, self.norm)
        largest = room if self.largest is None else min(self.largest, room)
        found = FMN(norm=norm, steps=self.steps).search_within(largest, batch, conditions)
        forwards, backwards, images = found.forwards.clone(), found.backwards.clone(), found.images.clone()
        flipped = batch.flips(images)
        high = torch.where(flipped, size(images - batch.original, norm), largest)
        low, cut, fewer = torch.zeros_like(high), high * _FIRST_CUT, (self.steps + 1) // 2
        for _ in range(self.bisections):
            open_ = (high - low > self._precision(high, conditions)).nonzero().squeeze(1)
            if len(open_) == 0:
                break
            part, start = batch.narrow(open_), images[open_]
            budget = torch.maximum((low + high) / 2, high - cut)[open_]
            tried, flips = climb(part, budget, norm, fewer, conditions, start=start, first_step=_WARM_STEP)
            images[open_] = torch.where(per_sample(flips, start), tried.images, start)
            high[open_] = torch.where(flips, size(tried.images - part.original, norm), high[open_])
            low[open_] = torch.where(flips, low[open_], budget)
            cut[open_] = torch.where(flips, 2 * cut[open_], cut[open_])
            forwards[open_] += tried.forwards
            backwards[open_] += tried.backwards
        # A change this small flips by a hair, and the last digit of a margin may depend on the batch it was
        # measured in. What does not flip in this one gives way to what FMN found in it.
        confirmed = per_sample(batch.flips(images), images)
        images = torch.where(confirmed, images, found.images)
        return Found(images, None, steps=backwards, forwards=forwards + 2, backwards=backwards)

    def _precision(self, radius: Tensor, conditions: Conditions) -> Tensor:
        """Return how well a radius is known when the bisection leaves it, (N,)."""
        known = radius * _PRECISION
        # Between two whole levels there is no image of 8 bits to be found.
        return known.clamp_min(0.99 / LEVELS) if self.norm == "linf" and conditions.strict else known


def radii(result: AttackResult, norm: Norm) -> Tensor:
    """Return the size of the change that flipped each sample, (N,), in the units of [0, 1], or infinity.

    Of attacks other than :class:`FMN` and :class:`FlipRadius`, it is whatever they needed. A norm that does
    not exist raises an UnknownNameError.
    """
    if norm not in get_args(Norm):
        raise unknown_name("norm", str(norm), get_args(Norm))
    sizes = result.linf if norm == "linf" else result.l2
    return torch.where(result.flipped, sizes, torch.inf)
