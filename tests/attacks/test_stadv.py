"""stAdv against SciPy triplet by triplet, and what is particular to it."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
import torch

from simlib.attacks import Protocol, RankFlip, StAdv
from simlib.errors import InputError
from simlib.kernels.flow import Smoothness, smoothness, warp
from simlib.triplets import photos
from tests.oracles import stadv_one_by_one
from tests.support import any_weights, random_triplets


@pytest.fixture(scope="module")
def problem() -> RankFlip:
    return RankFlip(any_weights("ssim"), photos(10, seed=5, side=32))


@pytest.mark.slow
def test_as_many_flips_as_scipy_and_as_smooth() -> None:
    metric = any_weights("lpips-squeeze")
    triplets = photos(24, seed=5, side=32)
    result = StAdv(iterations=20)(RankFlip(metric, triplets), protocol="paper")
    ones = zip(*(each.split(1) for each in (triplets.ref, triplets.p0, triplets.p1)), strict=True)
    alone = [stadv_one_by_one(metric, *one, iterations=20) for one in ones]
    flipped = torch.tensor([found.flipped for found in alone])
    assert flipped.any()
    assert result.flipped.sum() >= flipped.sum()
    loss = smoothness(result.details["flow"])[result.flipped].mean()
    assert loss <= 1.1 * torch.tensor([found.smoothness for found in alone])[flipped].mean()


@pytest.mark.parametrize("form", get_args(Smoothness))
@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_the_flow_makes_the_image(form: Smoothness, protocol: Protocol, problem: RankFlip) -> None:
    result = StAdv(form=form, iterations=20)(problem, protocol=protocol)
    assert result.flipped.any()
    moved = warp(result.original, result.details["flow"])
    tolerance = 0.51 / 255 if protocol == "strict" else 1e-5
    torch.testing.assert_close(result.images, moved, atol=tolerance, rtol=0)


def test_smoothness_costs_flips_and_the_flow_is_smoother(problem: RankFlip) -> None:
    loose, tight = (StAdv(weight_flow=weight, iterations=20)(problem) for weight in (0.0, 5.0))
    assert loose.flipped.sum() > tight.flipped.sum()
    assert smoothness(tight.details["flow"]).mean() < smoothness(loose.details["flow"]).mean()


def test_strict_flips_are_tested_in_8_bits_at_the_cost_of_a_look(problem: RankFlip) -> None:
    paper, strict = (StAdv(iterations=20)(problem, protocol=protocol) for protocol in get_args(Protocol))
    assert torch.equal(strict.flipped, strict.flipped_8bit)
    assert (strict.forwards >= paper.forwards).all()
    never = ~paper.flipped
    assert torch.equal(strict.forwards[never], paper.forwards[never])
    assert (paper.backwards == paper.forwards).all()


def test_an_image_equal_to_the_reference() -> None:
    triplets = photos(10, seed=5, side=32)
    problem = RankFlip(any_weights("l2"), dataclasses.replace(triplets, ref=triplets.p1))
    result = StAdv()(problem, protocol="paper")
    assert torch.equal(result.images, triplets.p1)
    assert not result.flipped.any()
    assert (result.steps == 0).all()
    moved = StAdv()(problem)
    # Some stay, because every shift costs more smoothness than it gains.
    assert (moved.details["flow"].abs().amax(dim=(1, 2, 3)) > 0.1).float().mean() > 0.5
    # Many steps amplify the rounding of another batch size on some processors, until another image is found.
    same = (moved.images == StAdv()(problem, batch_size=5).images).flatten(1).all(dim=1)
    assert same.float().mean() >= 0.8


def test_images_too_small_for_a_flow() -> None:
    with pytest.raises(InputError, match="at least 4x4"):
        StAdv()(RankFlip(any_weights("l2"), random_triplets(1, side=3)))
