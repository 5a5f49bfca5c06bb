"""APGD: checkpoints as published, its own steps, never weaker than PGD, and one budget for each sample."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from simlib.attacks import APGD, PGD, USUAL_EPS, Conditions, Norm, Protocol, RankFlip, Target
from simlib.attacks.apgd import checkpoints_of, climb
from simlib.attacks.objective import size
from simlib.triplets import Triplets, photos
from tests.support import any_weights, exact, grey_triplets, random_triplets

every_norm = pytest.mark.parametrize("norm", get_args(Norm))
every_protocol = pytest.mark.parametrize("protocol", get_args(Protocol))
STRICT, PAPER = Conditions("strict", 0), Conditions("paper", 0)


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return exact(photos(8, seed=5, side=24))


def test_checkpoints_are_those_of_the_published_rule() -> None:
    # By hand from p[j+1] = p[j] + max(p[j] - p[j-1] - 0.03, 0.06), rounded up.
    shares = (0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99)
    assert checkpoints_of(100) == {round(100 * share) for share in shares}
    assert checkpoints_of(1) == {1}


def ascend_plainly(problem: RankFlip, eps: float, steps: int, norm: Norm) -> tuple[float, torch.Tensor]:
    """APGD for one triplet, written from the paper with plain loops; momentum rests after a restart."""
    batch = problem.batch()
    start = batch.original

    def bounded(image: torch.Tensor) -> torch.Tensor:
        change = image - start
        shrunk = change.clamp(-eps, eps) if norm == "linf" else change * min(1.0, eps / float(change.norm()))
        return (start + shrunk).clamp(0, 1)

    def look(image: torch.Tensor) -> tuple[float, torch.Tensor]:
        image = image.clone().requires_grad_()
        margin = batch.margin(image).sum()
        (gradient,) = torch.autograd.grad(margin, image)
        return float(margin.detach()), gradient.sign() if norm == "linf" else gradient / gradient.norm()

    x = previous = best_x = start
    margin, direction = best, best_direction = look(x)
    eta, rises, last, best_then, halved = 2 * eps, 0, 0, -float("inf"), True
    for k in range(steps):
        if k in checkpoints_of(steps):
            slow = rises < 0.75 * (k - last) or (not halved and best <= best_then)
            if slow:
                eta, x, previous, direction, margin = eta / 2, best_x, best_x, best_direction, best
            rises, last, best_then, halved = 0, k, best, slow
        alpha = 1.0 if k == 0 else 0.75
        z = bounded(x + eta * direction)
        x, previous = bounded(x + alpha * (z - x) + (1 - alpha) * (x - previous)), x
        new, direction = look(x)
        rises += new > margin
        margin = new
        if margin > best:
            best_x, best, best_direction = x, margin, direction
        if margin > 0:
            break
    return best, best_x


@every_norm
def test_float_images_are_those_of_the_plain_procedure(norm: Norm, triplets: Triplets) -> None:
    problem = RankFlip(any_weights("ssim", torch.float64), triplets)
    eps = {"linf": 0.02, "l2": 0.3}[norm]
    result = APGD(eps=eps, norm=norm, steps=24)(problem, protocol="paper")
    assert 0 < int(result.flipped.sum()) < len(triplets)
    for i in range(len(triplets)):
        margin, image = ascend_plainly(problem[i], eps, 24, norm)
        assert float(result.margin[i]) == pytest.approx(margin, abs=1e-12)
        torch.testing.assert_close(result.images[i], image[0], atol=1e-9, rtol=0)


@pytest.mark.parametrize("target", get_args(Target))
def test_never_nearer_with_pgd_of_as_many_steps(target: Target, triplets: Triplets) -> None:
    problem = RankFlip(any_weights("ssim", torch.float64), triplets, target)
    eps = 2 / 255
    fixed = PGD(eps=eps, step=eps / 10, steps=40)(problem, protocol="paper")
    adaptive = APGD(eps=eps, steps=40)(problem, protocol="paper")
    assert (adaptive.flipped | ~fixed.flipped).all()
    left = ~adaptive.flipped
    assert (adaptive.margin[left] >= fixed.margin[left] - 2e-4 * fixed.margin[left].abs()).all()


@every_norm
@every_protocol
def test_the_square_error_is_climbed_to_the_end_of_the_budget(norm: Norm, protocol: Protocol) -> None:
    # The farthest point of a ball lies along the ray from the reference (l2) or in a corner (l-inf).
    triplets = grey_triplets(6, seed=1)
    problem = RankFlip(any_weights("l2", torch.float64), triplets)
    batch = problem.batch()
    change = batch.original - triplets.ref
    eps = {"linf": 1 / 255, "l2": 0.05}[norm]
    result = APGD(eps=eps, norm=norm)(problem, protocol=protocol)
    assert not result.flipped.any()
    if norm == "linf":
        moved = change != 0
        assert torch.equal((result.images - batch.original)[moved].sign(), change[moved].sign())
    elif protocol == "paper":
        farthest = batch.original + eps * change / size(change, norm).view(-1, 1, 1, 1)
        torch.testing.assert_close(result.margin, batch.margin(farthest), rtol=1e-9, atol=0)


@every_norm
def test_each_sample_climbs_within_its_own_budget(norm: Norm, triplets: Triplets) -> None:
    batch = RankFlip(any_weights("ssim", torch.float64), triplets).batch()
    eps = torch.linspace(0.1, 2, len(triplets), dtype=torch.float64) * USUAL_EPS[norm]
    found, flipped = climb(batch, eps, norm, 12, STRICT)
    assert (size(found.images - batch.original, norm) <= eps * (1 + 1e-9)).all()
    for i in range(len(triplets)):
        one = torch.tensor([i])
        alone, alone_flipped = climb(batch.narrow(one), eps[one], norm, 12, STRICT)
        torch.testing.assert_close(found.images[one], alone.images, atol=1e-9, rtol=0)
        assert torch.equal(flipped[one], alone_flipped)


def test_a_warm_start_is_brought_into_the_budget_and_used(triplets: Triplets) -> None:
    batch = RankFlip(any_weights("ssim", torch.float64), triplets).batch()
    wide = torch.full((len(triplets),), 12 / 255, dtype=torch.float64)
    cold, flipped = climb(batch, wide, "linf", 20, PAPER)
    assert flipped.any()
    needed = size(cold.images - batch.original, "linf")
    warm, again = climb(batch, needed * (1 + 1e-9), "linf", 1, PAPER, start=cold.images)
    assert again[flipped].all()
    assert (warm.steps[flipped] == 0).all()
    tight, _ = climb(batch, needed / 2, "linf", 1, PAPER, start=cold.images)
    assert (size(tight.images - batch.original, "linf") <= needed / 2 + 1e-12).all()


@every_norm
def test_attacked_image_equal_to_the_reference(norm: Norm) -> None:
    triplets = random_triplets(4, dtype=torch.float64)
    problem = RankFlip(any_weights("l2", torch.float64), replace(triplets, ref=triplets.p1))
    apgd = APGD(eps={"linf": 40 / 255, "l2": 6.0}[norm], norm=norm)
    result = apgd(problem)
    assert result.flipped.all()
    torch.testing.assert_close(result.images, apgd(problem, batch_size=3).images, atol=1e-9, rtol=0)
    assert not torch.equal(result.images, apgd(problem, seed=1).images)


def test_values_that_equal_the_reference_move_too_in_linf() -> None:
    # The square error is flat there, yet rises by the square of the step, whichever way it goes.
    triplets = grey_triplets(4, seed=2)
    problem = RankFlip(any_weights("l2", torch.float64), triplets)
    flat = problem.batch().original == triplets.ref
    assert flat.any()
    result = APGD(eps=1 / 255, steps=1)(problem)
    assert ((result.images - result.original)[flat].abs() * 255).round().eq(1).all()


def test_counts(triplets: Triplets) -> None:
    result = APGD(eps=6 / 255, steps=7)(RankFlip(any_weights("ssim", torch.float64), triplets))
    assert 0 < int(result.flipped.sum()) < len(triplets)
    assert torch.equal(result.forwards, result.steps + 1)
    assert torch.equal(result.backwards, (result.steps + 1).clamp_max(7))
    assert (result.steps[~result.flipped] == 7).all()
