"""The least change that flips: against closed forms on the square error, and never worse than its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from simlib.attacks import APGD, FMN, FlipRadius, Norm, Protocol, RankFlip, radii
from simlib.errors import UnknownNameError
from simlib.triplets import photos
from tests.support import any_weights, exact, grey_triplets, random_triplets

every_norm = pytest.mark.parametrize("norm", get_args(Norm))
every_protocol = pytest.mark.parametrize("protocol", get_args(Protocol))
seeds = pytest.mark.parametrize("seed", range(3))


def square_error_problem(seed: int, n: int = 5) -> RankFlip:
    """Attack the square error around middle grey, where no flip meets black or white."""
    return RankFlip(any_weights("l2", torch.float64), grey_triplets(n, seed))


def closed_form(problem: RankFlip, norm: Norm) -> Tensor:
    """Solve for the least change of the closer image that puts it as far away as the other.

    With d the difference of the closer image from the reference and t the squared length of the other's:
    in l2 the way out is the ray, r = sqrt(t) - |d|. In l-inf the farthest corner has
    sum (|d_i| + r)^2 = t, a quadratic in r.
    """
    triplets = problem.triplets
    lengths = torch.stack([(p - triplets.ref).flatten(1).norm(dim=1) for p in (triplets.p0, triplets.p1)])
    if norm == "l2":
        return lengths.amax(dim=0) - lengths.amin(dim=0)
    change = (problem.batch().original - triplets.ref).flatten(1)
    count, total = change.shape[1], change.abs().sum(dim=1)
    excess = change.square().sum(dim=1) - lengths.amax(dim=0).square()
    return (-total + (total.square() - count * excess).sqrt()) / count


@seeds
@every_norm
def test_radius_on_the_square_error_is_the_closed_form(norm: Norm, seed: int) -> None:
    problem = square_error_problem(seed)
    expected = closed_form(problem, norm)
    found, of_fmn = (
        radii(attack(norm=norm)(problem, protocol="paper"), norm) for attack in (FlipRadius, FMN)
    )
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0)
    # Nothing flips by less than the least change.
    assert (found >= expected * (1 - 1e-9)).all()
    torch.testing.assert_close(of_fmn, expected, rtol=0.05, atol=0)


@every_norm
def test_apgd_flips_just_above_the_radius_and_not_below(norm: Norm) -> None:
    problem = square_error_problem(seed=4)
    radius = radii(FlipRadius(norm=norm)(problem, protocol="paper"), norm)
    for i in range(len(problem)):
        for share, flips in ((0.9, False), (1.01, True)):
            eps = float(radius[i]) * share
            result = APGD(eps=eps, norm=norm, steps=30)(problem[i], protocol="paper")
            assert bool(result.flipped[0]) is flips


def test_strict_linf_radius_is_the_closed_form_rounded_up_to_a_level() -> None:
    problem = square_error_problem(seed=1)
    levels = radii(FlipRadius(norm="linf")(problem), "linf") * 255
    assert torch.equal(levels.round(), (closed_form(problem, "linf") * 255).ceil())
    torch.testing.assert_close(levels, levels.round(), atol=1e-9, rtol=0)


@every_norm
@every_protocol
def test_bisection_never_does_worse_than_fmn(norm: Norm, protocol: Protocol) -> None:
    problem = RankFlip(any_weights("ssim", torch.float64), exact(photos(6, seed=2, side=24)))
    first = FMN(norm=norm, steps=15)(problem, protocol=protocol)
    bisected = FlipRadius(norm=norm, steps=15)(problem, protocol=protocol)
    assert first.flipped.any()
    assert (radii(bisected, norm) <= radii(first, norm)).all()
    assert (bisected.margin[bisected.flipped] > 0).all()
    assert (bisected.forwards > first.forwards).all()
    if protocol == "strict":
        assert (bisected.flipped | ~first.flipped).all()
        assert torch.equal(bisected.flipped, bisected.flipped_8bit)
        levels = bisected.images * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-9, rtol=0)


@every_norm
def test_largest_binds(norm: Norm) -> None:
    problem = square_error_problem(seed=0)
    expected = closed_form(problem, norm)
    largest = float(expected.median()) * 1.02
    result = FlipRadius(norm=norm, largest=largest)(problem, protocol="paper")
    assert torch.equal(result.flipped, expected <= largest)
    sizes = result.linf if norm == "linf" else result.l2
    assert sizes.max() <= largest * (1 + 1e-9)
    assert torch.equal(radii(result, norm).isinf(), ~result.flipped)


@every_protocol
@every_norm
def test_ties_and_an_image_equal_to_the_reference_have_a_radius(norm: Norm, protocol: Protocol) -> None:
    metric, random, grey = (
        any_weights("l2", torch.float64),
        exact(random_triplets(2)),
        grey_triplets(2, seed=3),
    )
    tie = FlipRadius(norm=norm)(RankFlip(metric, replace(random, p1=random.p0)), protocol=protocol)
    assert tie.flipped.all()
    assert (radii(tie, norm) <= (1.001 if protocol == "strict" else 0.01) / 255).all()
    grey = grey_triplets(2, seed=3)
    problem = RankFlip(metric, replace(grey, ref=grey.p1))
    found = radii(FlipRadius(norm=norm)(problem, protocol=protocol), norm)
    assert (found <= closed_form(problem, norm) * (1.01 if protocol == "paper" else 1.2)).all()


@pytest.mark.parametrize("target", ["farther", "reference"])
def test_other_targets_have_a_radius_too(target: str) -> None:
    triplets = grey_triplets(4, seed=6)
    problem = RankFlip(any_weights("l2", torch.float64), triplets, target)  # pyright: ignore
    found = radii(FlipRadius()(problem, protocol="paper"), "l2")
    if target == "farther":
        # The way in is the ray as well, and as long as the way out.
        expected = closed_form(RankFlip(problem.metric, triplets), "l2")
    else:
        # The reference flips where it reaches the plane halfway between the two images.
        lengths = [(p - triplets.ref).flatten(1).norm(dim=1) for p in (triplets.p0, triplets.p1)]
        apart = (triplets.p0 - triplets.p1).flatten(1).norm(dim=1)
        expected = (lengths[0].square() - lengths[1].square()).abs() / (2 * apart)
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0)


def test_no_other_norm_has_a_radius() -> None:
    result = FMN(steps=1)(square_error_problem(seed=0, n=1))
    with pytest.raises(UnknownNameError, match="l2, linf"):
        radii(result, "l1")  # pyright: ignore[reportArgumentType]
