"""One-pixel and few-pixel: at most so many pixels change, and only values of the margin are used."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simlib import metrics
from simlib.attacks import Protocol, RankFlip
from simlib.attacks.sparse import few_pixel, one_pixel, painted, pixel_bounds
from simlib.errors import InputError
from simlib.kernels.evolution import DifferentialEvolution
from simlib.kernels.noise import Draws
from simlib.kernels.projection import round_to_8bit
from simlib.metrics.pixel import MeanSquaredError
from simlib.triplets import Triplets, photos, read_image, write_image
from tests.support import any_weights, random_triplets

POPULATION, GENERATIONS = 8, 4
quick_one = partial(one_pixel, population=POPULATION, generations=GENERATIONS)
quick_few = partial(few_pixel, population=POPULATION, generations=GENERATIONS)
every_protocol = pytest.mark.parametrize("protocol", get_args(Protocol))


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return photos(10, seed=5, side=32)


def changed_pixels(images: Tensor, original: Tensor) -> Tensor:
    """Count the pixels (N,) in which any colour differs."""
    return (images != original).any(dim=1).sum(dim=(1, 2))


class BlindSquaredError(MeanSquaredError):
    """The mean squared error, computed where no gradient can follow; counts what it looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = metrics.spec_of("l2")
        self.seen: list[int] = []

    def embed(self, images: Tensor) -> metrics.Features:
        assert not torch.is_grad_enabled()
        self.seen.append(len(images))
        return super().embed(images)

    def compare(self, reference: metrics.Features, features: metrics.Features) -> Tensor:
        a, b = (side[0].numpy() for side in (reference, features))
        return torch.from_numpy(((a - b) ** 2).mean(axis=(1, 2, 3)))


@every_protocol
@pytest.mark.parametrize("pixels", [1, 2, 5])
def test_no_more_pixels_change_than_allowed(triplets: Triplets, pixels: int, protocol: Protocol) -> None:
    problem = RankFlip(any_weights("ssim"), triplets)
    result = quick_few(problem, pixels=pixels, protocol=protocol)
    assert (changed_pixels(result.images, result.original) <= pixels).all()
    assert (changed_pixels(result.images, result.original) >= 1).any()


def test_one_pixel_changes_survive_a_png(triplets: Triplets, tmp_path: Path) -> None:
    problem = RankFlip(any_weights("ssim"), triplets)
    result = quick_one(problem)
    assert result.flipped.any()
    read = []
    for index, image in enumerate(result.images):
        write_image(image, tmp_path / f"{index}.png")
        read.append(read_image(tmp_path / f"{index}.png"))
    assert (changed_pixels(torch.stack(read), result.original) <= 1).all()
    assert torch.equal(problem.margin(torch.stack(read)) > 0, result.flipped)


@every_protocol
def test_details_repaint_the_images(triplets: Triplets, protocol: Protocol) -> None:
    result = quick_few(RankFlip(any_weights("ssim"), triplets), pixels=3, protocol=protocol)
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
    metric = any_weights("ssim", torch.float64)
    images = {name: round_to_8bit(getattr(triplets, name).double()) for name in ("ref", "p0", "p1")}
    problem = RankFlip(metric, Triplets(**{**vars(triplets), **images})[:6])
    result = quick_one(problem, protocol=protocol, seed=3)
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
    blind = BlindSquaredError()
    result = quick_one(RankFlip(blind, photos(24, seed=1, side=32)), protocol=protocol)
    measured = 1 if protocol == "strict" else 2
    assert sum(blind.seen[3:-measured]) == int(result.forwards.sum())
    assert (result.backwards == 0).all()
    assert len(result.forwards.unique()) > 1


@pytest.mark.parametrize("batch_size", [1, 3, 40])
def test_candidates_are_evaluated_in_chunks(triplets: Triplets, batch_size: int) -> None:
    blind = BlindSquaredError()
    result = one_pixel(RankFlip(blind, triplets), population=50, generations=1, batch_size=batch_size)
    assert max(blind.seen) <= max(batch_size, 32)
    assert torch.equal(
        result.images, one_pixel(RankFlip(BlindSquaredError(), triplets), population=50, generations=1).images
    )


def test_more_generations_never_lower_the_margin(triplets: Triplets) -> None:
    problem = RankFlip(any_weights("ssim"), triplets)
    before = None
    for generations in (1, 3, 6):
        result = one_pixel(problem, population=8, generations=generations, early_stop=False)
        assert (result.steps == generations).all()
        assert before is None or (result.margin >= before - 1e-6).all()
        before = result.margin


def test_more_pixels_flip_what_a_large_margin_resists() -> None:
    # On the mean squared error k pixels can add k times what one can, so the order is certain.
    problem = RankFlip(any_weights("l2"), photos(24, seed=1, side=32))
    one = one_pixel(problem, population=20, generations=10)
    many = few_pixel(problem, pixels=8, population=20, generations=10)
    assert 0 < one.flipped.sum() < many.flipped.sum()


def test_near_the_closed_form_on_the_mean_squared_error() -> None:
    # There a pixel is worth the same wherever it lies, and the best colour of a channel is black or white.
    problem = RankFlip(any_weights("l2"), photos(12, seed=1, side=32))
    original, reference = problem.batch().original, problem.triplets.ref
    worth = torch.maximum(reference, 1 - reference).square() - (original - reference).square()
    best = worth.sum(dim=1).amax(dim=(1, 2)) / reference[0].numel()
    result = one_pixel(problem, population=40, generations=40, early_stop=False)
    gained = (result.margin - problem.margin(original)) / best
    assert gained.max() <= 1 + 1e-4
    assert gained.min() > 0.5
    assert gained.median() > 0.95


def test_strict_colours_are_whole_levels_and_originals_off_the_grid_are_rounded() -> None:
    triplets = random_triplets(4)
    off = (triplets.p0 + 0.3 / 255).clamp(0, 1)
    problem = RankFlip(any_weights("l2"), Triplets(**{**vars(triplets), "p0": off}))
    strict = quick_few(problem, pixels=2)
    torch.testing.assert_close(strict.images * 255, (strict.images * 255).round(), atol=1e-4, rtol=0)
    rounded = (strict.original * 255).round() / 255
    assert (changed_pixels(strict.images, rounded) <= 2).all()
    paper = quick_one(problem, protocol="paper")
    assert (changed_pixels(paper.images, paper.original) <= 1).all()


@given(height=st.integers(11, 40), width=st.integers(11, 40), n=st.integers(1, 4), pixels=st.integers(1, 4))
@settings(deadline=None, max_examples=15)
def test_any_size(height: int, width: int, n: int, pixels: int) -> None:
    square = random_triplets(n, side=40)
    images = {name: getattr(square, name)[..., :height, :width] for name in ("ref", "p0", "p1")}
    problem = RankFlip(any_weights("ssim"), Triplets(**{**vars(square), **images}))
    result = few_pixel(problem, pixels=pixels, population=4, generations=2)
    assert (changed_pixels(result.images, result.original) <= pixels).all()
    assert ((result.images >= 0) & (result.images <= 1)).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"population": 2}, "population is 2"),
        ({"population": 7.5}, "population is 7.5"),
        ({"generations": 0}, "generations is 0"),
        ({"pixels": 0}, "pixels is 0"),
        ({"pixels": 1.5}, "pixels is 1.5"),
        ({"pixels": 32 * 32 + 1}, "the images have 1024"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_parameters_outside_their_meaning(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        quick_few(RankFlip(any_weights("l2"), random_triplets(1)), **wrong)  # pyright: ignore
