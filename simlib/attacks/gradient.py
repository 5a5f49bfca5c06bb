"""Attacks that follow the sign of the gradient: FGSM and PGD."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simlib.attacks.driver import Found, require_budget, require_positive, run_in_batches
from simlib.attacks.objective import Objective, margin_and_gradient
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Protocol
from simlib.attacks.survivors import Survivors
from simlib.errors import InputError
from simlib.kernels.checks import require_count
from simlib.kernels.images import LEVELS
from simlib.kernels.noise import random_signs
from simlib.kernels.projection import project_linf, round_within

PAPER_EPS = 0.03 / 2
"""Budget of the paper's PGD, 0.03 in its range [-1, 1]: 3.825 levels of 8 bits."""

PAPER_STEP = 0.001 / 2
"""Step of the paper's PGD, 0.001 in its range [-1, 1]: 0.1275 of a level."""

PAPER_STEPS = 30
"""Steps of the paper's PGD; they reach the budget exactly."""

PAPER_REVERSE_EPS, PAPER_REVERSE_STEPS = 0.1 / 2, 50
"""Budget and steps of the paper's reverse attack, which is PGD on the farther image with the same step."""

FGSM_GRID = tuple(level / LEVELS for level in range(1, 11))
"""Our choice, the paper's is not known to us: every whole level from 1 to 10."""


def fgsm(
    problem: RankFlip,
    *,
    grid: Sequence[float] = FGSM_GRID,
    protocol: Protocol = "strict",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Take one step along the sign of the gradient, of the smallest size of a grid that flips.

    The gradient is taken once, at the original image (Goodfellow et al. 2015). A sample that no size
    flips is returned at the largest.

    Args:
        problem: what is attacked.
        grid: sizes of the step in the units of [0, 1], increasing.
        protocol: how success is counted; ``"strict"`` rounds to 8 bits first.
        seed: decides the direction where the gradient is zero, under the strict protocol.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Returns:
        The result; ``steps`` counts the sizes that were tried, ``linf`` tells the size that was taken.

    Raises:
        InputError: if the grid is empty, not increasing, or not above zero.
    """
    if not grid or list(grid) != sorted(set(grid)):
        raise InputError(f"grid is {tuple(grid)}. It must hold at least one size, each larger than the last.")
    require_positive("the smallest size of the grid", grid[0])
    require_budget("the largest size of the grid", grid[-1])
    return run_in_batches(
        problem,
        lambda batch: _fgsm_batch(batch, grid, protocol, seed),
        attack="FGSM",
        protocol=protocol,
        parameters={"grid": tuple(grid), "seed": seed},
        batch_size=batch_size,
        progress=progress,
    )


def pgd(
    problem: RankFlip,
    *,
    eps: float = PAPER_EPS,
    step: float = PAPER_STEP,
    steps: int = PAPER_STEPS,
    protocol: Protocol = "strict",
    early_stop: bool = True,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Take many small steps along the sign of the gradient, within a budget (Madry et al. 2018).

    Under the paper's protocol this is the released procedure: no random start, the flip is tested
    before each step, and the image after the last step is not tested. Under the strict protocol every
    candidate is rounded to 8 bits within the budget, and the gradient is taken at the rounded image, so
    that one evaluation serves the test and the step; an image at which the gradient is zero, such as
    one equal to the reference, is first moved by one level in a random direction.

    Args:
        problem: what is attacked.
        eps: largest change of one value, in the units of [0, 1].
        step: size of a step, same units.
        steps: most steps taken.
        protocol: how success is counted, see :data:`simlib.attacks.Protocol`.
        early_stop: stop a sample when it flips; False takes all steps, as images for transfer are made (none
            where rounding alone flips the rank, under the strict protocol).
        seed: decides the random direction of the strict protocol.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Raises:
        InputError: if eps or step is not above zero, or steps no whole number above zero.
    """
    require_budget("eps", eps)
    require_positive("step", step)
    require_count("steps", steps)
    return run_in_batches(
        problem,
        lambda batch: pgd_from(batch, batch.original, eps, step, steps, protocol, early_stop, seed),
        attack="PGD",
        protocol=protocol,
        parameters={"eps": eps, "step": step, "steps": steps, "early_stop": early_stop, "seed": seed},
        batch_size=batch_size,
        progress=progress,
    )


def _fgsm_batch(batch: FlipBatch, grid: Sequence[float], protocol: Protocol, seed: int) -> Found:
    strict = protocol == "strict"
    objective: Objective = "margin" if strict else "share"
    survivors = Survivors(batch)
    _, gradient = margin_and_gradient(batch, batch.original, objective)
    direction = _unstuck(gradient, batch.names, seed) if strict else gradient.sign()
    candidate = batch.original
    for tried, size in enumerate(grid, start=1):
        original = survivors.batch.original
        candidate = project_linf(original + size * direction, original, size)
        candidate = round_within(candidate, original, size) if strict else candidate
        with torch.no_grad():
            flips = survivors.batch.margin(candidate) > 0
        stay = survivors.release(flips, candidate, tried)
        if stay is not None:
            direction, candidate = direction[stay], candidate[stay]
        if len(survivors) == 0:
            break
    images, flipped, steps = survivors.finish(candidate, len(grid))
    return Found(
        images=images,
        flipped=None if strict else flipped,
        steps=steps,
        forwards=steps + 1,
        backwards=torch.ones_like(steps),
    )


def pgd_from(
    batch: FlipBatch,
    start: Tensor,
    eps: float,
    step: float,
    steps: int,
    protocol: Protocol,
    early_stop: bool,
    seed: int,
) -> Found:
    """Take the steps of :func:`pgd` from other images (N, 3, H, W), within eps of the original still."""
    strict = protocol == "strict"
    objective: Objective = "margin" if strict else "share"
    survivors = Survivors(batch)
    images = start
    for taken in range(steps):
        active = survivors.batch
        candidate = round_within(images, active.original, eps) if strict else images
        margin, gradient = margin_and_gradient(active, candidate, objective)
        moved = project_linf(images.add(gradient.sign(), alpha=step), active.original, eps)
        if strict and taken == 0:
            moved = _nudged(moved, active, gradient, eps, seed)
        stay = survivors.release(margin > 0, candidate, taken) if early_stop else None
        images = moved if stay is None else moved[stay]
        if len(survivors) == 0:
            break
    if strict:
        images = round_within(images, survivors.batch.original, eps)
    images, flipped, taken = survivors.finish(images, steps)
    tested_last = early_stop and strict
    return Found(
        images=images,
        flipped=flipped if early_stop and not strict else None,
        steps=taken,
        forwards=taken + (1 if tested_last else flipped.long()),
        backwards=taken + flipped.long(),
    )


def _is_stuck(gradient: Tensor) -> Tensor:
    """Say for which samples, (N, 1, 1, 1), the gradient is zero everywhere."""
    return (gradient == 0).all(dim=(1, 2, 3), keepdim=True)


def _unstuck(gradient: Tensor, names: Sequence[str], seed: int) -> Tensor:
    """Return the sign of the gradient, and random signs for samples whose gradient is zero everywhere."""
    stuck = _is_stuck(gradient)
    if not bool(stuck.any()):
        return gradient.sign()
    return torch.where(stuck, random_signs(names, gradient, seed), gradient.sign())


def _nudged(images: Tensor, batch: FlipBatch, gradient: Tensor, eps: float, seed: int) -> Tensor:
    """Move samples whose gradient is zero everywhere by one level in a random direction, within eps.

    A step smaller than half a level would be undone by the rounding, and the gradient stay zero.
    """
    stuck = _is_stuck(gradient)
    if not bool(stuck.any()):
        return images
    signs = random_signs(batch.names, gradient, seed)
    nudged = project_linf(batch.original + signs / LEVELS, batch.original, eps)
    return torch.where(stuck, nudged, images)
