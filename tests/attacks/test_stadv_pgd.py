"""stAdv followed by PGD, as images for transfer were made by the released code."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from simlib.attacks import PGD, Protocol, RankFlip, StAdv, StAdvPGD
from simlib.kernels.projection import project_linf, truncate_to_8bit
from simlib.triplets import photos
from tests.support import any_weights, exact


@pytest.fixture(scope="module")
def problem() -> RankFlip:
    return RankFlip(any_weights("ssim"), photos(10, seed=5, side=32))


@pytest.mark.parametrize("steps", [1, 5])
def test_pgd_starts_at_the_saved_image_and_stays_around_the_original(steps: int, problem: RankFlip) -> None:
    moved = StAdv(iterations=15)(problem, protocol="paper")
    result = StAdvPGD(steps=steps, iterations=15)(problem, protocol="paper")
    assert result.linf.max() <= 0.015 + 1e-6
    assert (result.steps == steps).all()
    assert torch.equal(result.details["flow"], moved.details["flow"])
    if steps == 1:
        saved = truncate_to_8bit(moved.images)
        step = (result.images - project_linf(saved, result.original, 0.015)).abs()
        assert step.max() <= 0.0005 + 1e-6


def test_pgd_alone_is_stadv_pgd_from_a_flow_that_costs_too_much(problem: RankFlip) -> None:
    stays = StAdvPGD(steps=8, weight_rank=1e-9, weight_flow=1e6, iterations=1)(problem)
    alone = PGD(steps=8, early_stop=False)(problem)
    torch.testing.assert_close(stays.images, alone.images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_going_on_from_stadv_is_the_same_as_running_it_anew(problem: RankFlip, protocol: Protocol) -> None:
    # In float64, batches of another size make no difference that can be seen.
    triplets = exact(problem.triplets)
    problem, attack = RankFlip(any_weights("ssim", torch.float64), triplets), StAdvPGD(iterations=6, steps=3)
    start = attack.starts_from(problem, protocol=protocol)
    anew = attack(problem, protocol=protocol)
    went_on = attack(problem, protocol=protocol, start=start, batch_size=5)
    torch.testing.assert_close(anew.images, went_on.images, atol=1e-9, rtol=0)
    for name in ("flipped", "forwards", "backwards", "steps"):
        assert torch.equal(getattr(anew, name), getattr(went_on, name)), name
    assert torch.equal(anew.details["flow"], went_on.details["flow"])
    assert went_on.seconds > start.seconds
