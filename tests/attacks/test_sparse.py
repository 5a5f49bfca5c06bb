"""One-pixel and few-pixel: at most so many pixels change, and only values of the margin are used."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor

from simlib.attacks import FewPixel, OnePixel, Protocol, RankFlip
from simlib.attacks.sparse import painted, pixel_bounds
from simlib.kernels.evolution import DifferentialEvolution
from simlib.kernels.noise import Draws
from simlib.triplets import Triplets, photos
from tests.support import Watched, any_weights, exact, random_triplets

POPULATION, GENERATIONS = 8, 4
QUICK = OnePixel(population=POPULATION, generations=GENERATIONS)
quick_few = partial(FewPixel, population=POPULATION, generations=GENERATIONS)
every_protocol = pytest.mark.parametrize("protocol", get_args(Protocol))


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return photos(10, seed=5, side=32)


def changed_pixels(images: Tensor, original: Tensor) -> Tensor:
    """Count the pixels (N,) in which any colour differs."""
    return (images != original).any(dim=1).sum(dim=(1, 2))


@every_protocol
def test_details_repaint_the_images(triplets: Triplets, protocol: Protocol) -> None:
    result = quick_few(pixels=3)(RankFlip(any_weights("ssim"), triplets), protocol=protocol)
    repainted = result.original.clone()
    for sample, changes in enumerate(result.details["pixels"]):
        for row, column, *color in changes.tolist():
            repainted[sample, :, int(row), int(column)] = torch.tensor(color)
    assert torch.equal(repainted, result.images)


def test_every_place_and_level_can_be_painted() -> None:
    images = torch.zeros(1, 3, 3, 4)
    lower, upper = pixel_bounds(images, 1)
    corners = torch.stack([lower, upper])
    first, last = painted(images.expand(2, -1, -1, -1), corners, whole_levels=True)
    assert torch.equal(first, images[0])
    assert last[:, 2, 3].tolist() == [1.0, 1.0, 1.0]
    assert last.sum() == 3
    spread = torch.rand(4000, 5, generator=torch.Generator().manual_seed(0)) * upper
    places = painted(images.expand(4000, -1, -1, -1), spread, whole_levels=False).sum(dim=(0, 1)) > 0
    assert places.all()


def test_the_later_of_two_pixels_in_one_place_wins() -> None:
    images = torch.zeros(1, 3, 4, 4)
    candidates = torch.tensor([[1.2, 2.7, 0.1, 0.1, 0.1, 1.9, 2.1, 0.6, 0.4, 0.2]])
    image = painted(images, candidates, whole_levels=False)[0]
    torch.testing.assert_close(image[:, 1, 2], torch.tensor([0.6, 0.4, 0.2]))
    assert changed_pixels(image.unsqueeze(0), images).item() == 1
    assert not images.any()


@every_protocol
def test_same_search_as_one_triplet_at_a_time(triplets: Triplets, protocol: Protocol) -> None:
    problem = RankFlip(any_weights("ssim", torch.float64), exact(triplets)[:6])
    result = QUICK(problem, protocol=protocol, seed=3)
    assert result.flipped.any()
    assert not result.flipped.all()
    for index in range(len(problem)):
        batch = problem.batch(index, index + 1)
        search = DifferentialEvolution(*pixel_bounds(batch.original, 1), Draws(batch.names, 3), population=8)
        paint = partial(painted, batch.original, whole_levels=protocol == "strict")
        generation = 0
        for generation in range(GENERATIONS + 1):
            margins = torch.cat([batch.margin(paint(one.unsqueeze(0))) for one in search.ask()[0]])
            search.tell(-margins.unsqueeze(0))
            if margins.max() > 0 or generation == GENERATIONS:
                break
        assert bool(result.flipped[index]) == bool(search.best_value < 0)
        assert int(result.steps[index]) == generation
        assert int(result.forwards[index]) == POPULATION * (generation + 1)
        assert torch.equal(result.images[index : index + 1], paint(search.best))


@every_protocol
def test_only_values_are_used_and_every_candidate_is_counted(protocol: Protocol) -> None:
    watched = Watched(blind=True)
    result = QUICK(RankFlip(watched, photos(24, seed=1, side=32)), protocol=protocol)
    measured = 1 if protocol == "strict" else 2
    assert sum(watched.sizes[3:-measured]) == int(result.forwards.sum())
    assert (result.backwards == 0).all()
    assert len(result.forwards.unique()) > 1


@pytest.mark.parametrize("batch_size", [1, 3, 40])
def test_candidates_are_evaluated_in_chunks(triplets: Triplets, batch_size: int) -> None:
    watched, attack = Watched(), OnePixel(population=50, generations=1)
    triplets = exact(triplets)
    result = attack(RankFlip(watched, triplets), batch_size=batch_size)
    assert max(watched.sizes) <= max(batch_size, 32)
    assert torch.equal(result.images, attack(RankFlip(any_weights("l2", torch.float64), triplets)).images)


def test_more_generations_never_lower_the_margin(triplets: Triplets) -> None:
    problem = RankFlip(any_weights("ssim"), triplets)
    before = None
    for generations in (1, 3, 6):
        result = OnePixel(population=8, generations=generations, early_stop=False)(problem)
        assert (result.steps == generations).all()
        assert before is None or (result.margin >= before - 1e-6).all()
        before = result.margin


def test_more_pixels_flip_what_a_large_margin_resists() -> None:
    # On the mean squared error k pixels can add k times what one can, so the order is certain.
    problem = RankFlip(any_weights("l2"), photos(24, seed=1, side=32))
    one = OnePixel(population=20, generations=10)(problem)
    many = FewPixel(pixels=8, population=20, generations=10)(problem)
    assert 0 < one.flipped.sum() < many.flipped.sum()


def test_near_the_closed_form_on_the_mean_squared_error() -> None:
    # There a pixel is worth the same wherever it lies, and the best colour of a channel is black or white.
    problem = RankFlip(any_weights("l2"), photos(12, seed=1, side=32))
    original, reference = problem.batch().original, problem.triplets.ref
    worth = torch.maximum(reference, 1 - reference).square() - (original - reference).square()
    best = worth.sum(dim=1).amax(dim=(1, 2)) / reference[0].numel()
    result = OnePixel(population=40, generations=40, early_stop=False)(problem)
    gained = (result.margin - problem.margin(original)) / best
    assert gained.max() <= 1 + 1e-4
    assert gained.min() > 0.5
    assert gained.median() > 0.95


def test_strict_colours_are_whole_levels_and_originals_off_the_grid_are_rounded() -> None:
    triplets = random_triplets(4)
    off = (triplets.p0 + 0.3 / 255).clamp(0, 1)
    problem = RankFlip(any_weights("l2"), replace(triplets, p0=off))
    strict = quick_few(pixels=2)(problem)
    torch.testing.assert_close(strict.images * 255, (strict.images * 255).round(), atol=1e-4, rtol=0)
    rounded = (strict.original * 255).round() / 255
    assert (changed_pixels(strict.images, rounded) <= 2).all()
    paper = QUICK(problem, protocol="paper")
    assert (changed_pixels(paper.images, paper.original) <= 1).all()
