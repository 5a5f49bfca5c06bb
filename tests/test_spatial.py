"""stAdv against SciPy triplet by triplet, and stAdv followed by PGD as released."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
import torch

from simlib.attacks import Protocol, RankFlip, pgd, stadv, stadv_pgd
from simlib.errors import InputError, UnknownNameError
from simlib.kernels.flow import Smoothness, smoothness, warp
from simlib.kernels.projection import project_linf, truncate_to_8bit
from simlib.metrics import Metric
from simlib.triplets import Triplets, photos
from tests.oracles import stadv_one_by_one
from tests.support import any_weights, random_triplets


@pytest.fixture(scope="module")
def metric() -> Metric:
    return any_weights("ssim")


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return photos(12, seed=5, side=32)


@pytest.mark.slow
def test_as_many_flips_as_scipy_and_as_smooth() -> None:
    metric = any_weights("lpips-squeeze")
    triplets = photos(24, seed=5, side=32)
    result = stadv(RankFlip(metric, triplets), protocol="paper", iterations=20)
    alone = [
        stadv_one_by_one(metric, *(image[i : i + 1] for image in (t.ref, t.p0, t.p1)), iterations=20)
        for t in [triplets]
        for i in range(len(triplets))
    ]
    flipped = torch.tensor([found.flipped for found in alone])
    assert flipped.any()
    assert result.flipped.sum() >= flipped.sum()
    loss = smoothness(result.details["flow"])[result.flipped].mean()
    assert loss <= 1.1 * torch.tensor([found.smoothness for found in alone])[flipped].mean()


@pytest.mark.parametrize("form", get_args(Smoothness))
@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_the_flow_makes_the_image(
    form: Smoothness, protocol: Protocol, metric: Metric, triplets: Triplets
) -> None:
    result = stadv(RankFlip(metric, triplets), form=form, protocol=protocol)
    assert result.flipped.any()
    moved = warp(result.original, result.details["flow"])
    tolerance = 0.51 / 255 if protocol == "strict" else 1e-5
    torch.testing.assert_close(result.images, moved, atol=tolerance, rtol=0)


def test_smoothness_costs_flips_and_the_flow_is_smoother(metric: Metric, triplets: Triplets) -> None:
    problem = RankFlip(metric, triplets)
    loose, tight = (stadv(problem, weight_flow=weight) for weight in (0.0, 5.0))
    assert loose.flipped.sum() > tight.flipped.sum()
    assert smoothness(tight.details["flow"]).mean() < smoothness(loose.details["flow"]).mean()


def test_strict_flips_are_tested_in_8_bits_at_the_cost_of_a_look(metric: Metric, triplets: Triplets) -> None:
    paper, strict = (stadv(RankFlip(metric, triplets), protocol=protocol) for protocol in get_args(Protocol))
    assert torch.equal(strict.flipped, strict.flipped_8bit)
    assert (strict.forwards >= paper.forwards).all()
    never = ~paper.flipped
    assert torch.equal(strict.forwards[never], paper.forwards[never])
    assert (paper.backwards == paper.forwards).all()


def test_an_image_equal_to_the_reference(triplets: Triplets) -> None:
    problem = RankFlip(any_weights("l2"), dataclasses.replace(triplets, ref=triplets.p1))
    result = stadv(problem, protocol="paper")
    assert torch.equal(result.images, triplets.p1)
    assert not result.flipped.any()
    assert (result.steps == 0).all()
    moved = stadv(problem)
    # Some stay, because every shift costs more smoothness than it gains.
    assert (moved.details["flow"].abs().amax(dim=(1, 2, 3)) > 0.1).float().mean() > 0.5
    assert torch.equal(moved.images, stadv(problem, batch_size=5).images)


@pytest.mark.parametrize("steps", [1, 5])
def test_pgd_starts_at_the_saved_image_and_stays_around_the_original(
    steps: int, metric: Metric, triplets: Triplets
) -> None:
    problem = RankFlip(metric, triplets)
    moved = stadv(problem, protocol="paper")
    result = stadv_pgd(problem, steps=steps, protocol="paper")
    assert result.linf.max() <= 0.015 + 1e-6
    assert (result.steps == steps).all()
    assert torch.equal(result.details["flow"], moved.details["flow"])
    if steps == 1:
        saved = truncate_to_8bit(moved.images)
        step = (result.images - project_linf(saved, result.original, 0.015)).abs()
        assert step.max() <= 0.0005 + 1e-6


def test_pgd_alone_is_stadv_pgd_from_a_flow_that_costs_too_much(metric: Metric, triplets: Triplets) -> None:
    problem = RankFlip(metric, triplets)
    stays = stadv_pgd(problem, steps=3, weight_rank=1e-9, weight_flow=1e6, iterations=1)
    alone = pgd(problem, steps=3, early_stop=False)
    torch.testing.assert_close(stays.images, alone.images, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weight_rank": 0.0}, "weight_rank is 0.0"),
        ({"weight_flow": -1.0}, "weight_flow is -1.0"),
        ({"iterations": 0}, "iterations is 0"),
    ],
)
def test_parameters_outside_their_meaning(wrong: dict[str, float], message: str) -> None:
    for attack in (stadv, stadv_pgd):
        with pytest.raises(InputError, match=message):
            attack(RankFlip(any_weights("l2"), random_triplets(1)), **wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="eps is 0"):
        stadv_pgd(RankFlip(any_weights("l2"), random_triplets(1)), eps=0)


def test_forms_and_sizes_that_do_not_exist() -> None:
    with pytest.raises(UnknownNameError, match="squared"):
        stadv(RankFlip(any_weights("l2"), random_triplets(1)), form="square")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="at least 4x4"):
        stadv(RankFlip(any_weights("l2"), random_triplets(1, side=3)))


@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_going_on_from_stadv_is_the_same_as_running_it_anew(
    metric: Metric, triplets: Triplets, protocol: Protocol
) -> None:
    problem = RankFlip(metric, triplets)
    start = stadv(problem, iterations=6, protocol=protocol)
    anew = stadv_pgd(problem, iterations=6, steps=3, protocol=protocol)
    went_on = stadv_pgd(problem, iterations=6, steps=3, protocol=protocol, start=start, batch_size=5)
    for name in ("images", "flipped", "forwards", "backwards", "steps"):
        assert torch.equal(getattr(anew, name), getattr(went_on, name)), name
    assert torch.equal(anew.details["flow"], went_on.details["flow"])
    assert went_on.seconds > start.seconds


def test_a_start_of_something_else_is_refused(metric: Metric, triplets: Triplets) -> None:
    problem = RankFlip(metric, triplets[:2])
    starts = [
        stadv(problem, iterations=2),
        stadv(problem, iterations=3, seed=1),
        stadv(problem, iterations=3, protocol="paper"),
        stadv(problem[:1], iterations=3),
        pgd(problem, steps=1),
    ]
    for start in starts:
        with pytest.raises(InputError, match="Give what stadv returned for these triplets"):
            stadv_pgd(problem, iterations=3, start=start)
