"""APGD: gradient ascent on the margin that chooses its own steps, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from simlib.attacks.driver import Found, run_in_batches
from simlib.attacks.norms import Norm, project, require_eps, require_norm, round_into, steepest
from simlib.attacks.objective import margin_and_gradient
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Protocol
from simlib.attacks.survivors import Survivors
from simlib.kernels.checks import require_count
from simlib.kernels.images import LEVELS
from simlib.kernels.noise import random_signs
from simlib.kernels.projection import per_sample

USUAL_EPS: dict[Norm, float] = {"linf": 4 / LEVELS, "l2": 3.0}
"""The budgets at which later work states robust accuracy (R-CLIP, arXiv 2502.11725)."""

_MOMENTUM = 0.75
_RISES = 0.75
"""Share of the steps between two checkpoints that must raise the margin, or the step is halved."""


def apgd(
    problem: RankFlip,
    *,
    eps: float | None = None,
    norm: Norm = "linf",
    steps: int = 50,
    protocol: Protocol = "strict",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Climb the margin with momentum, halving the step where it stops to pay (Croce & Hein 2020).

    The first step is twice the budget. At fixed checkpoints a sample that rose too rarely, or found
    nothing better since the last one, halves its step and goes on from the best image it has seen.
    There is no size of a step to tune. It starts at the original image; where the gradient is zero there,
    in a random direction (in l-inf, value by value). It climbs the margin under both protocols, and tests
    every image, the last one too. A sample that is not flipped is returned where its margin was largest.

    Args:
        problem: what is attacked.
        eps: largest size of the change, in the units of [0, 1]; ``None`` for the budget that later work
            uses: 4/255 in ``"linf"``, 3 in ``"l2"``.
        norm: how the size is measured: the largest change of one value, or the Euclidean length.
        steps: most steps taken.
        protocol: how success is counted; ``"strict"`` rounds every candidate to 8 bits within the budget.
        seed: decides the random direction.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Raises:
        InputError: if eps is not above zero, or steps no whole number above zero.
        UnknownNameError: if the norm is not known.
        NoGradientError: if the metric gives no gradient.
    """
    require_norm(norm)
    budget = USUAL_EPS[norm] if eps is None else eps
    require_eps("eps", budget, norm)
    require_count("steps", steps)

    def attack_batch(batch: FlipBatch) -> Found:
        budgets = batch.original.new_full((len(batch),), budget)
        return climb(batch, budgets, norm, steps, protocol, seed)[0]

    return run_in_batches(
        problem,
        attack_batch,
        attack="APGD",
        protocol=protocol,
        parameters={"eps": budget, "norm": norm, "steps": steps, "seed": seed},
        batch_size=batch_size,
        progress=progress,
    )


def climb(
    batch: FlipBatch,
    eps: Tensor,
    norm: Norm,
    steps: int,
    protocol: Protocol,
    seed: int,
    *,
    start: Tensor | None = None,
    first_step: float = 2.0,
) -> tuple[Found, Tensor]:
    """Run APGD on one batch, each sample within its own budget.

    Args:
        batch: what is attacked.
        eps: budgets (N,) in the units of [0, 1].
        norm: how they are measured.
        steps: most steps taken.
        protocol: ``"strict"`` rounds every candidate to 8 bits within its budget.
        seed: decides the direction where the gradient is zero at the start.
        start: images (N, 3, H, W) to start from, brought into the budget; ``None`` for the originals.
        first_step: size of the first step, in budgets.

    Returns:
        What was found, and which samples (N,) flipped on the way.
    """
    survivors = Survivors(batch)
    images = batch.original if start is None else project(start, batch.original, eps, norm)
    climber = _Climber.at(images, eps, eps * first_step)
    checkpoints, passed = checkpoints_of(steps), 0
    for taken in range(steps):
        candidate = _candidate(climber, survivors.batch.original, norm, protocol)
        margin, gradient = margin_and_gradient(survivors.batch, candidate, "margin")
        gradient = unstuck(gradient, survivors.batch.names, norm, seed) if taken == 0 else gradient
        climber.look(candidate, margin, gradient)
        stay = survivors.release(margin > 0, candidate, taken)
        climber = climber if stay is None else climber.narrow(stay)
        if len(survivors) == 0:
            break
        if taken in checkpoints:
            climber.slow_down(taken - passed)
            passed = taken
        climber.step(survivors.batch.original, norm, momentum=_MOMENTUM if taken else 1.0)
    else:
        candidate = _candidate(climber, survivors.batch.original, norm, protocol)
        with torch.no_grad():
            margin = survivors.batch.margin(candidate)
        climber.look(candidate, margin, climber.gradient)
        stay = survivors.release(margin > 0, candidate, steps)
        climber = climber if stay is None else climber.narrow(stay)
    images, flipped, taken = survivors.finish(climber.best_images, steps)
    backwards = (taken + 1).clamp_max(steps)
    return Found(images, None, steps=taken, forwards=taken + 1, backwards=backwards), flipped


def checkpoints_of(steps: int) -> frozenset[int]:
    """Return after which of so many steps APGD asks whether to halve, as Croce & Hein (2020) place them."""
    last, here = 0.0, 0.22
    checkpoints: list[int] = []
    while here < 1:
        checkpoints.append(math.ceil(round(here * steps, 6)))
        last, here = here, here + max(here - last - 0.03, 0.06)
    return frozenset(checkpoints)


def unstuck(gradient: Tensor, names: Sequence[str], norm: Norm, seed: int) -> Tensor:
    """Return the gradient (N, ...) with a random direction where it gives none.

    In l2 that is for samples whose gradient is zero everywhere. In l-inf it is for every single value,
    because there a change of one value takes nothing from the budget of the others; and a value at which
    the margin is flat, as the square error is where image and reference agree, may rise either way.
    """
    zero = gradient == 0
    if norm == "l2":
        zero = per_sample(zero.flatten(1).all(dim=1), gradient).expand_as(gradient)
    if not bool(zero.any()):
        return gradient
    usual = gradient.abs().flatten(1).mean(dim=1)
    usual = torch.where(usual > 0, usual, 1.0)
    return torch.where(zero, random_signs(names, gradient, seed) * per_sample(usual, gradient), gradient)


def _candidate(climber: _Climber, original: Tensor, norm: Norm, protocol: Protocol) -> Tensor:
    """Return the images to look at: where the climber stands, of 8 bits under the strict protocol."""
    if protocol == "paper":
        return climber.images
    return round_into(climber.images, original, climber.eps, norm)


@dataclass
class _Climber:
    """What APGD knows of each sample of a batch; every attribute has the batch as its first dimension."""

    eps: Tensor
    step_size: Tensor
    images: Tensor
    """Where it stands, not rounded."""
    previous: Tensor
    """Where it stood before its last step."""
    margin: Tensor
    gradient: Tensor
    best_images: Tensor
    best_margin: Tensor
    best_gradient: Tensor
    rises: Tensor
    """Steps since the last checkpoint that raised the margin."""
    checked_margin: Tensor
    """The best margin at the last checkpoint."""
    halved: Tensor
    """Whether the step was halved at the last checkpoint."""

    @classmethod
    def at(cls, images: Tensor, eps: Tensor, step_size: Tensor) -> _Climber:
        """Stand at these images and know nothing yet."""
        nothing, zero = torch.full_like(eps, -torch.inf), torch.zeros_like(images)
        return cls(
            eps=eps,
            step_size=step_size,
            images=images,
            previous=images,
            margin=-nothing,
            gradient=zero,
            best_images=images,
            best_margin=nothing,
            best_gradient=zero,
            rises=torch.zeros_like(eps),
            checked_margin=nothing,
            halved=torch.ones_like(eps, dtype=torch.bool),
        )

    def narrow(self, index: Tensor) -> _Climber:
        """Keep the samples at these positions (an integer tensor) only."""
        return _Climber(*(getattr(self, field.name).index_select(0, index) for field in fields(self)))

    def look(self, candidate: Tensor, margin: Tensor, gradient: Tensor) -> None:
        """Note what was measured at a candidate."""
        better = margin > self.best_margin
        self.rises = self.rises + (margin > self.margin)
        self.margin, self.gradient = margin, gradient
        self.best_images = torch.where(per_sample(better, candidate), candidate, self.best_images)
        self.best_gradient = torch.where(per_sample(better, candidate), gradient, self.best_gradient)
        self.best_margin = torch.where(better, margin, self.best_margin)

    def slow_down(self, steps: int) -> None:
        """Halve the step and return to the best image, where the steps since the last checkpoint paid little.

        The sample leaves its best image at rest: the momentum of a path that was given up does not count.
        """
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
