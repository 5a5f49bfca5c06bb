"""Attacks that change very few pixels, found by differential evolution: one-pixel and few-pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from simlib.attacks.attack import Attack, Conditions, register
from simlib.attacks.dials import count, switch
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import Found
from simlib.errors import InputError
from simlib.kernels.evolution import LEAST_POPULATION, DifferentialEvolution, evaluate_in_chunks
from simlib.kernels.noise import Draws
from simlib.kernels.projection import round_to_8bit

_PIXEL = 5
"""Numbers that say what a pixel becomes: row, column, red, green, blue."""

_LEAST_CHUNK = 32
"""Candidates evaluated at once even where few triplets are attacked, or a network would idle."""


@dataclass(frozen=True, kw_only=True)
class _Evolved(Attack):
    """Changes a number of pixels, found together by differential evolution."""

    bounded_by: ClassVar[str] = "number of pixels"
    citation: ClassVar[str] = "su2019onepixel"
    needs_gradient: ClassVar[bool] = False

    # Both numbers are our choice, the paper's are not known to us.
    population: int = count(32, LEAST_POPULATION)
    generations: int = count(30)
    early_stop: bool = switch(True)

    @property
    def changed(self) -> int:
        """Most pixels that may change."""
        return 1

    @torch.no_grad()
    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Breed candidates for every sample, generation after generation."""
        strict, pixels = conditions.strict, self.changed
        if strict:
            batch = replace(batch, original=round_to_8bit(batch.original))
        # Below the size of the batch it is for the driver to halve the batch.
        chunk, least = max(len(batch), _LEAST_CHUNK), len(batch)
        draws = Draws(batch.names, conditions.seed, batch.original.device)
        bounds = pixel_bounds(batch.original, pixels)
        evolution = DifferentialEvolution(*bounds, draws, population=self.population)
        position = torch.arange(len(batch), device=batch.original.device)
        steps = torch.full_like(position, self.generations)
        best = batch.original.new_empty(len(batch), _PIXEL * pixels)
        active = batch
        for generation in range(self.generations + 1):
            margin_of = partial(_margin_of_candidates, active, strict=strict)
            margins, chunk = evaluate_in_chunks(margin_of, evolution.ask(), chunk, least)
            evolution.tell(-margins)
            best[position] = evolution.best
            leaves = (evolution.best_value < 0) & self.early_stop
            steps[position[leaves]] = generation
            stay = (~leaves).nonzero().squeeze(1)
            if len(stay) == 0:
                break
            if len(stay) < len(position):
                position, active = position[stay], active.narrow(stay)
                evolution.narrow(stay)
        changes = pixels_of(best, batch.original, whole_levels=strict)
        return Found(
            images=_paint(batch.original.clone(), changes),
            flipped=None,
            steps=steps,
            forwards=(steps + 1) * self.population,
            backwards=torch.zeros_like(steps),
            details={"pixels": changes},
            blank=torch.nan,
        )


@register
@dataclass(frozen=True, kw_only=True)
class OnePixel(_Evolved):
    """Change a single pixel, its place and colour found by differential evolution (Su et al. 2019).

    Only values of the margin are used, no gradient. A sample stops after the first generation in which a
    candidate flips, and returns the candidate with the largest margin; one that never flips returns the
    best it found. Under the strict protocol colours are whole levels of 8 bits, and so is the rest of an
    image that was not of 8 bits before. Of each batch, at least 32 candidates are evaluated at once.

    In the result, ``steps`` counts generations, 0 for a flip in the start; ``forwards`` counts candidates;
    ``details["pixels"]`` (N, 1, 5) says which row, which column, and which colour in [0, 1]; NaN where
    rounding alone flipped the rank.

    Attributes:
        population: candidates in the start and in every generation, at least 3.
        generations: most generations after the start.
        early_stop: stop a sample when it flips; false spends all generations on a larger margin.
    """

    name: ClassVar[str] = "one-pixel"
    title: ClassVar[str] = "One-pixel"


@register
@dataclass(frozen=True, kw_only=True)
class FewPixel(_Evolved):
    """Change a few pixels at most, found together by differential evolution (Su et al. 2019).

    As :class:`OnePixel`, with several pixels in a candidate. Where two fall on one place, the later one
    covers the earlier, and fewer pixels change. ``details["pixels"]`` is (N, pixels, 5).

    Attributes:
        pixels: most pixels changed, no more than an image has.
        population: candidates in the start and in every generation, at least 3.
        generations: most generations after the start.
        early_stop: stop a sample when it flips; false spends all generations on a larger margin.
    """

    name: ClassVar[str] = "few-pixel"
    title: ClassVar[str] = "Few-pixel"

    pixels: int = count(3)

    @property
    def changed(self) -> int:
        """Most pixels that may change."""
        return self.pixels

    def validate(self, problem: RankFlip) -> None:
        """Refuse to change more pixels than the images have."""
        height, width = problem.triplets.ref.shape[-2:]
        if self.pixels > height * width:
            raise InputError(f"pixels is {self.pixels}, and the images have {height * width}. Change fewer.")


def pixel_bounds(images: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """Return the least and greatest values, (5 * pixels,) each, of a candidate for images (N, 3, H, W)."""
    height, width = images.shape[-2:]
    upper = images.new_tensor([height, width, 1, 1, 1]).repeat(pixels)
    return torch.zeros_like(upper), upper


def painted(images: Tensor, candidates: Tensor, *, whole_levels: bool) -> Tensor:
    """Return images (N, 3, H, W) with the pixels of candidates painted over them, if asked in 8 bits.

    A candidate (5 * pixels,) says the row, column, red, green and blue of each, within :func:`pixel_bounds`.
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


def _margin_of_candidates(batch: FlipBatch, samples: Tensor, candidates: Tensor, *, strict: bool) -> Tensor:
    """Measure the margin (C,) of candidates (C, 5 * pixels) for the samples (C,) of a batch."""
    part = batch.narrow(samples)
    # The originals of a narrowed batch are a copy, which nobody else sees.
    return part.margin(_paint(part.original, pixels_of(candidates, part.original, whole_levels=strict)))
