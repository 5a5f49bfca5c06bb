"""The least change that flips a rank: Fast Minimum-Norm, and the flip radius."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simlib.attacks.apgd import climb, unstuck
from simlib.attacks.driver import Found, run_in_batches
from simlib.attacks.norms import (
    Norm,
    largest_size,
    project,
    require_eps,
    require_norm,
    round_into,
    size,
    slope,
    steepest,
)
from simlib.attacks.objective import margin_and_gradient
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Protocol
from simlib.kernels.checks import require_count
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import per_sample

_STEP = (1.0, 0.01)
"""First and last step of FMN, in budgets."""

_GROWTH = (0.15, 1e-4)
"""By which share FMN changes its budget after the first step, and after the last. The original starts with
0.05, which is slow for tens of steps."""

_SMALLEST_BUDGET: dict[Protocol, float] = {"paper": 1e-3 / LEVELS, "strict": 1 / LEVELS}
"""Smallest budget tried. A tie has no least one for float images; one of 8 bits changes by a level or not."""

_PRECISION = 1 / 256
"""The bisection leaves a sample when its radius is known to this share."""

_FIRST_CUT = 1 / 64
"""By which share the bisection first tries to undercut FMN, which is seldom far off."""

_WARM_STEP = 0.2
"""First step of APGD from a warm start, in budgets: its usual two budgets would throw the start away."""


def fmn(
    problem: RankFlip,
    *,
    norm: Norm = "l2",
    steps: int = 50,
    protocol: Protocol = "strict",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Search the least change that flips, with a budget that follows the margin (Pintor et al. 2021).

    Every step climbs the margin and then returns to the budget. While the rank is not flipped the budget
    grows, at first to where a linear margin would cross zero; while it is flipped the budget shrinks, by
    ever smaller shares. Kept is the smallest change that flipped. Two choices are ours: steps are stated
    in budgets and follow the steepest direction of the norm, where the original has one size and the
    direction of l2 for all; and the budget changes three times as fast at first, for fewer steps.

    Args:
        problem: what is attacked.
        norm: how the size of a change is measured: its Euclidean length or its largest value.
        steps: steps taken, by every sample.
        protocol: how success is counted; ``"strict"`` rounds every candidate to 8 bits within the budget.
        seed: decides the direction where the gradient is zero at the start.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Returns:
        The result; :func:`radii` reads the size of each change from it. A sample that never flipped is
        returned where the search ended. ``steps`` counts to the returned image.

    Raises:
        InputError: if steps is no whole number above zero.
        UnknownNameError: if the norm is not known.
        NoGradientError: if the metric gives no gradient.
    """
    require_norm(norm)
    require_count("steps", steps)
    return run_in_batches(
        problem,
        lambda batch: _fmn_batch(batch, norm, largest_size(batch.original, norm), steps, protocol, seed),
        attack="FMN",
        protocol=protocol,
        parameters={"norm": norm, "steps": steps, "seed": seed},
        batch_size=batch_size,
        progress=progress,
    )


def flip_radius(
    problem: RankFlip,
    *,
    norm: Norm = "l2",
    largest: float | None = None,
    bisections: int = 20,
    steps: int = 30,
    protocol: Protocol = "strict",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Find, for each triplet, the least budget that flips the rank, and the image that does it.

    FMN finds a change that flips. Bisection then asks APGD, started from the smallest change known, for
    one within a smaller budget, until the budget is known to one part in 256 or the bisections are spent.
    What is returned is therefore an upper bound: no attack can prove that nothing smaller flips. It never
    exceeds that of FMN. Under the strict protocol an l-inf radius is a whole number of levels when the
    original image is of 8 bits.

    Args:
        problem: what is attacked.
        norm: how the size of a change is measured: its Euclidean length or its largest value.
        largest: the largest budget of interest, in the units of [0, 1]; ``None`` for no limit but the
            range of the image.
        bisections: most budgets asked for after FMN.
        steps: steps of FMN; APGD, which starts from what is known, takes at most half as many for a budget.
        protocol: how success is counted; ``"strict"`` rounds every candidate to 8 bits within the budget.
        seed: decides the direction where the gradient is zero at the start.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Returns:
        The result; :func:`radii` reads the radius of each sample from it. ``steps`` counts gradients taken.

    Raises:
        InputError: if largest is not above zero, or bisections or steps no whole number above zero.
        UnknownNameError: if the norm is not known.
        NoGradientError: if the metric gives no gradient.
    """
    require_norm(norm)
    if largest is not None:
        require_eps("largest", largest, norm)
    require_count("bisections", bisections)
    require_count("steps", steps)

    def attack_batch(batch: FlipBatch) -> Found:
        room = largest_size(batch.original, norm)
        most = room if largest is None else min(largest, room)
        return _flip_radius_batch(batch, norm, most, bisections, steps, protocol, seed)

    return run_in_batches(
        problem,
        attack_batch,
        attack="Flip radius",
        protocol=protocol,
        parameters={
            "norm": norm,
            "largest": largest,
            "bisections": bisections,
            "steps": steps,
            "seed": seed,
        },
        batch_size=batch_size,
        progress=progress,
    )


def radii(result: AttackResult, norm: Norm) -> Tensor:
    """Return the size of the change that flipped each sample, (N,), in the units of [0, 1].

    Infinity where the rank is not flipped.

    Args:
        result: of :func:`fmn` or :func:`flip_radius`; of other attacks, it is whatever they needed.
        norm: how the size is measured.

    Raises:
        UnknownNameError: if the norm is not known.
    """
    require_norm(norm)
    sizes = result.linf if norm == "linf" else result.l2
    return torch.where(result.flipped, sizes, torch.inf)


def _fmn_batch(
    batch: FlipBatch, norm: Norm, largest: float, steps: int, protocol: Protocol, seed: int
) -> Found:
    smallest = min(_SMALLEST_BUDGET[protocol], largest)
    original = images = batch.original
    least = _Least.nothing(original)
    eps = torch.full_like(least.size, smallest)
    usual = torch.zeros_like(original)
    for taken in range(steps):
        candidate = images if protocol == "paper" else round_into(images, original, eps, norm)
        margin, gradient = margin_and_gradient(batch, candidate, "margin")
        usual = unstuck(gradient, batch.names, norm, seed) if taken == 0 else usual
        gradient = usual if taken == 0 else _replaced_where_zero(gradient, usual)
        change = size(candidate - original, norm)
        least.look(candidate, change, margin > 0, taken)
        growth = _annealed(_GROWTH, taken, steps)
        grown = eps * (1 + growth)
        crossing = torch.maximum(change - margin / slope(gradient, norm), grown)
        widened = torch.where(least.size.isinf(), crossing, grown)
        narrowed = torch.minimum(eps * (1 - growth), least.size)
        eps = torch.where(margin > 0, narrowed, widened).clamp(smallest, largest)
        stride = per_sample(eps * _annealed(_STEP, taken, steps), images)
        images = project(images + stride * steepest(gradient, norm), original, eps, norm)
    candidate = images if protocol == "paper" else round_into(images, original, eps, norm)
    with torch.no_grad():
        margin = batch.margin(candidate)
    least.look(candidate, size(candidate - original, norm), margin > 0, steps)
    return Found(
        images=torch.where(per_sample(least.size.isinf(), candidate), candidate, least.images),
        flipped=None,
        steps=least.step.clamp_max(steps),
        forwards=torch.full_like(least.step, steps + 1),
        backwards=torch.full_like(least.step, steps),
    )


@dataclass
class _Least:
    """The smallest change of each sample that flipped, its size (infinite if none did), and its step."""

    images: Tensor
    size: Tensor
    step: Tensor

    @classmethod
    def nothing(cls, original: Tensor) -> _Least:
        """Know of no change that flips; the step is then beyond any."""
        size = original.new_full((len(original),), torch.inf)
        return cls(original, size, torch.full_like(size, torch.iinfo(torch.int32).max, dtype=torch.long))

    def look(self, candidate: Tensor, change: Tensor, flips: Tensor, step: int) -> None:
        """Keep a candidate where it flips by a smaller change."""
        better = flips & (change < self.size)
        self.images = torch.where(per_sample(better, candidate), candidate, self.images)
        self.size = torch.where(better, change, self.size)
        self.step = torch.where(better, step, self.step)


def _replaced_where_zero(gradient: Tensor, usual: Tensor) -> Tensor:
    zero = (gradient == 0).flatten(1).all(dim=1)
    return torch.where(per_sample(zero, gradient), usual, gradient)


def _annealed(ends: tuple[float, float], taken: int, steps: int) -> float:
    """Go from the first value to the last along half a cosine."""
    first, last = ends
    return last + (first - last) * (1 + math.cos(math.pi * taken / steps)) / 2


def _flip_radius_batch(
    batch: FlipBatch,
    norm: Norm,
    largest: float,
    bisections: int,
    steps: int,
    protocol: Protocol,
    seed: int,
) -> Found:
    found = _fmn_batch(batch, norm, largest, steps, protocol, seed)
    forwards, backwards = found.forwards.clone(), found.backwards.clone()
    images = found.images.clone()
    flipped = batch.flips(images)
    high = torch.where(flipped, size(images - batch.original, norm), largest)
    low, cut, fewer = torch.zeros_like(high), high * _FIRST_CUT, (steps + 1) // 2
    for _ in range(bisections):
        open_ = (high - low > _precision(high, norm, protocol)).nonzero().squeeze(1)
        if len(open_) == 0:
            break
        part, start = batch.narrow(open_), images[open_]
        budget = torch.maximum((low + high) / 2, high - cut)[open_]
        tried, flips = climb(part, budget, norm, fewer, protocol, seed, start=start, first_step=_WARM_STEP)
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


def _precision(radius: Tensor, norm: Norm, protocol: Protocol) -> Tensor:
    """Return how well a radius is known when the bisection leaves it, (N,).

    Between two whole levels there is no image of 8 bits to be found.
    """
    known = radius * _PRECISION
    return known.clamp_min(0.99 / LEVELS) if norm == "linf" and protocol == "strict" else known
