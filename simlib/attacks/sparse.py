"""Attacks that change very few pixels, found by differential evolution: one-pixel and few-pixel."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from simlib.attacks.driver import Found, run_in_batches
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Protocol
from simlib.errors import InputError
from simlib.kernels.checks import require_count
from simlib.kernels.evolution import LEAST_POPULATION, DifferentialEvolution, evaluate_in_chunks
from simlib.kernels.noise import Draws
from simlib.kernels.projection import round_to_8bit

POPULATION = 32
"""Our choice, the paper's is not known to us: candidates in a generation."""

GENERATIONS = 30
"""Our choice, the paper's is not known to us: most generations after the start."""

_PIXEL = 5
"""Numbers that say what a pixel becomes: row, column, red, green, blue."""

_LEAST_CHUNK = 32
"""Candidates evaluated at once even where few triplets are attacked, or a network would idle."""


def one_pixel(
    problem: RankFlip,
    *,
    population: int = POPULATION,
    generations: int = GENERATIONS,
    protocol: Protocol = "strict",
    early_stop: bool = True,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Change a single pixel, its place and colour found by differential evolution (Su et al. 2019).

    Only values of the margin are used, no gradient. A sample stops after the first generation in which a
    candidate flips, and returns the candidate with the largest margin; one that never flips returns the
    best it found. Under the strict protocol colours are whole levels of 8 bits, and so is the rest of an
    image that was not of 8 bits before.

    Args:
        problem: what is attacked.
        population: candidates in the start and in every generation.
        generations: most generations after the start.
        protocol: how success is counted, see :data:`simlib.attacks.Protocol`.
        early_stop: stop a sample when it flips; False spends all generations on a larger margin.
        seed: decides the start and every draw, together with a triplet's name.
        batch_size: triplets attacked, and candidates evaluated (at least 32), at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Returns:
        The result; ``steps`` counts generations, 0 for a flip in the start; ``forwards`` counts candidates;
        ``details["pixels"]`` (N, 1, 5) says which row, which column, and which colour in [0, 1]; NaN where
        rounding alone flipped the rank.

    Raises:
        InputError: if the population is no whole number of at least 3, or generations not of at least 1.
    """
    return few_pixel(
        problem,
        pixels=1,
        population=population,
        generations=generations,
        protocol=protocol,
        early_stop=early_stop,
        seed=seed,
        batch_size=batch_size,
        progress=progress,
    )


def few_pixel(
    problem: RankFlip,
    *,
    pixels: int = 3,
    population: int = POPULATION,
    generations: int = GENERATIONS,
    protocol: Protocol = "strict",
    early_stop: bool = True,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Change a few pixels at most, found together by differential evolution (Su et al. 2019).

    As :func:`one_pixel`, with several pixels in a candidate. Where two fall on one place, the later one
    covers the earlier, and fewer pixels change.

    Args:
        problem: what is attacked.
        pixels: most pixels changed, no more than an image has.
        population: candidates in the start and in every generation.
        generations: most generations after the start.
        protocol: how success is counted, see :data:`simlib.attacks.Protocol`.
        early_stop: stop a sample when it flips; False spends all generations on a larger margin.
        seed: decides the start and every draw, together with a triplet's name.
        batch_size: triplets attacked, and candidates evaluated (at least 32), at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Returns:
        The result, as of :func:`one_pixel`; ``details["pixels"]`` is (N, pixels, 5).

    Raises:
        InputError: if a parameter lies outside its meaning.
    """
    require_count("pixels", pixels)
    require_count("population", population, LEAST_POPULATION)
    require_count("generations", generations)
    height, width = problem.triplets.ref.shape[-2:]
    if pixels > height * width:
        raise InputError(f"pixels is {pixels}, and the images have {height * width}. Change fewer.")
    parameters = {
        "population": population,
        "generations": generations,
        "early_stop": early_stop,
        "seed": seed,
    }
    return run_in_batches(
        problem,
        lambda batch: _few_pixel_batch(batch, pixels, protocol=protocol, **parameters),
        attack="One-pixel" if pixels == 1 else "Few-pixel",
        protocol=protocol,
        parameters=parameters if pixels == 1 else {"pixels": pixels, **parameters},
        batch_size=batch_size,
        progress=progress,
    )


def pixel_bounds(images: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """Return the least and greatest values, (5 * pixels,) each, of a candidate for images (N, 3, H, W)."""
    height, width = images.shape[-2:]
    upper = images.new_tensor([height, width, 1, 1, 1]).repeat(pixels)
    return torch.zeros_like(upper), upper


def painted(images: Tensor, candidates: Tensor, *, whole_levels: bool) -> Tensor:
    """Return images with the pixels of candidates painted over them.

    Args:
        images: (N, 3, H, W) in [0, 1].
        candidates: (N, 5 * pixels) within :func:`pixel_bounds`: row, column, red, green, blue of each pixel.
        whole_levels: round colours to 8 bits.

    Returns:
        Images of the same shape.
    """
    return _paint(images.clone(), pixels_of(candidates, images, whole_levels=whole_levels))


def pixels_of(candidates: Tensor, images: Tensor, *, whole_levels: bool) -> Tensor:
    """Read candidates (N, 5 * pixels) as (N, pixels, 5): whole row, whole column, colour in [0, 1]."""
    height, width = images.shape[-2:]
    pixels = candidates.view(len(candidates), -1, _PIXEL)
    rows, columns = pixels[..., :1].floor(), pixels[..., 1:2].floor()
    colors = round_to_8bit(pixels[..., 2:]) if whole_levels else pixels[..., 2:]
    return torch.cat([rows.clamp_max(height - 1), columns.clamp_max(width - 1), colors], dim=2)


def _paint(images: Tensor, pixels: Tensor) -> Tensor:
    """Paint pixels (N, pixels, 5) over images, in place."""
    samples = torch.arange(len(images), device=images.device)
    # One pixel after the other: which of two writes to one place wins is otherwise undefined.
    for pixel in pixels.unbind(dim=1):
        row, column = pixel[:, :2].long().unbind(dim=1)
        images[samples, :, row, column] = pixel[:, 2:]
    return images


@torch.no_grad()
def _few_pixel_batch(
    batch: FlipBatch,
    pixels: int,
    *,
    population: int,
    generations: int,
    protocol: Protocol,
    early_stop: bool,
    seed: int,
) -> Found:
    strict = protocol == "strict"
    if strict:
        batch = replace(batch, original=round_to_8bit(batch.original))
    # Below the size of the batch it is for the driver to halve the batch.
    chunk, least = max(len(batch), _LEAST_CHUNK), len(batch)
    draws = Draws(batch.names, seed, batch.original.device)
    search = DifferentialEvolution(*pixel_bounds(batch.original, pixels), draws, population=population)
    position = torch.arange(len(batch), device=batch.original.device)
    steps = torch.full_like(position, generations)
    best = batch.original.new_empty(len(batch), _PIXEL * pixels)
    active = batch
    for generation in range(generations + 1):
        margin_of = partial(_margin_of_candidates, active, whole_levels=strict)
        margins, chunk = evaluate_in_chunks(margin_of, search.ask(), chunk, least)
        search.tell(-margins)
        best[position] = search.best
        leaves = (search.best_value < 0) & early_stop
        steps[position[leaves]] = generation
        stay = (~leaves).nonzero().squeeze(1)
        if len(stay) == 0:
            break
        if len(stay) < len(position):
            position, active = position[stay], active.narrow(stay)
            search.narrow(stay)
    changes = pixels_of(best, batch.original, whole_levels=strict)
    return Found(
        images=_paint(batch.original.clone(), changes),
        flipped=None,
        steps=steps,
        forwards=(steps + 1) * population,
        backwards=torch.zeros_like(steps),
        details={"pixels": changes},
        blank=torch.nan,
    )


def _margin_of_candidates(
    batch: FlipBatch, samples: Tensor, candidates: Tensor, *, whole_levels: bool
) -> Tensor:
    """Measure the margin (C,) of candidates (C, 5 * pixels) for the samples (C,) of a batch."""
    part = batch.narrow(samples)
    # The originals of a narrowed batch are a copy, which nobody else sees.
    images = _paint(part.original, pixels_of(candidates, part.original, whole_levels=whole_levels))
    return part.margin(images)
