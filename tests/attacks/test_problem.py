"""The rank-flip problem: who is attacked, and when a margin is positive."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.attacks import RankFlip, Target
from simlib.errors import InputError, UnknownNameError
from simlib.metrics import Ensemble, Smoothed, Transformed
from simlib.triplets import Triplets
from tests.rounding import tolerance
from tests.support import any_weights, random_triplets

every_target = pytest.mark.parametrize("target", get_args(Target))


def swapped(triplets: Triplets) -> Triplets:
    """Exchange p0 and p1 of every second sample, so that both orders occur."""
    odd = (torch.arange(len(triplets)) % 2 == 1).view(-1, 1, 1, 1)
    return dataclasses.replace(
        triplets,
        p0=torch.where(odd, triplets.p1, triplets.p0),
        p1=torch.where(odd, triplets.p0, triplets.p1),
    )


@pytest.mark.parametrize("name", ["l2", "ssim", "st-lpips-alex"])
def test_attacked_is_the_image_that_the_metric_ranks_so(name: str) -> None:
    triplets, metric = swapped(random_triplets(6)), any_weights(name)
    d0, d1 = metric(triplets.ref, triplets.p0), metric(triplets.ref, triplets.p1)
    closer, farther = (
        RankFlip(metric, triplets, target).batch().original for target in ("closer", "farther")
    )
    assert {bool(a > b) for a, b in zip(d0, d1, strict=True)} == {True, False}
    for i in range(6):
        expected = (triplets.p1, triplets.p0) if d0[i] > d1[i] else (triplets.p0, triplets.p1)
        assert torch.equal(closer[i], expected[0][i])
        assert torch.equal(farther[i], expected[1][i])
    assert torch.equal(RankFlip(metric, triplets, "reference").batch().original, triplets.ref)


@every_target
@given(seed=st.integers(0, 1000), strength=st.floats(0, 0.3))
@settings(deadline=None, max_examples=25)
def test_margin_is_positive_exactly_when_the_metric_reverses_its_rank(
    target: Target, seed: int, strength: float
) -> None:
    triplets, metric = swapped(random_triplets(4, side=16, seed=seed)), any_weights("l2")
    problem = RankFlip(metric, triplets, target)
    batch = problem.batch()
    noise = torch.randn(batch.original.shape, generator=torch.Generator().manual_seed(seed))
    images = (batch.original + strength * noise).clamp(0, 1)
    before = metric(triplets.ref, triplets.p0) > metric(triplets.ref, triplets.p1)
    if target == "reference":
        after = metric(images, triplets.p0) > metric(images, triplets.p1)
        tie = metric(images, triplets.p0) == metric(images, triplets.p1)
    else:
        attacks_p1 = before if target == "closer" else ~before
        select = attacks_p1.view(-1, 1, 1, 1)
        p0, p1 = torch.where(select, triplets.p0, images), torch.where(select, images, triplets.p1)
        after = metric(triplets.ref, p0) > metric(triplets.ref, p1)
        tie = metric(triplets.ref, p0) == metric(triplets.ref, p1)
    assert torch.equal(problem.margin(images) > 0, (before != after) & ~tie)
    assert (problem.margin(batch.original) <= 0).all()


def test_a_tie_is_not_a_flip() -> None:
    triplets = random_triplets(2)
    problem = RankFlip(any_weights("l2"), triplets)
    batch = problem.batch()
    other = torch.where((batch.original == triplets.p0).all(), triplets.p1, triplets.p0)
    assert torch.equal(batch.margin(other), torch.zeros(2))


@every_target
def test_parts_and_narrow_measure_the_same(target: Target) -> None:
    problem = RankFlip(any_weights("st-lpips-alex"), random_triplets(5), target)
    whole = problem.batch()
    images = (whole.original * 0.9 + 0.05).clamp(0, 1)
    parts = torch.cat([problem.batch(i, i + 2).margin(images[i : i + 2]) for i in (0, 2, 4)])
    noise = 2 * tolerance("st-lpips-alex", problem.metric(problem.triplets.ref, images))
    torch.testing.assert_close(parts, whole.margin(images), rtol=0, atol=noise)
    keep = torch.tensor([4, 1])
    narrowed = whole.narrow(keep)
    assert narrowed.names == (whole.names[4], whole.names[1])
    torch.testing.assert_close(narrowed.margin(images[keep]), whole.margin(images)[keep], rtol=0, atol=noise)


def test_bad_problems_and_candidates_are_refused() -> None:
    metric, triplets = any_weights("st-lpips-alex"), random_triplets(3)
    with pytest.raises(UnknownNameError, match="closer"):
        RankFlip(metric, triplets, "close")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="at least one"):
        RankFlip(metric, triplets[0:0])
    with pytest.raises(InputError, match="at least 21x21"):
        RankFlip(metric, random_triplets(1, side=16))
    for images in (triplets.p0[:1], triplets.p0 * 300, triplets.p0.double()):
        with pytest.raises(InputError):
            RankFlip(metric, triplets).margin(images)


@pytest.mark.parametrize("wrong", [torch.nn.MSELoss(), torch.nn.MSELoss, "lpips-alex", torch.dist, None])
def test_what_is_no_metric_is_refused_and_how_it_becomes_one_is_said(wrong: Any) -> None:
    metric = any_weights("l2")
    for use in (
        lambda: RankFlip(wrong, random_triplets(1)),
        lambda: Transformed(wrong),
        lambda: Smoothed(wrong),
        lambda: Ensemble([metric, wrong]),
    ):
        with pytest.raises(InputError, match=r"is no metric of simlib.*metrics\.load.*from_callable"):
            use()


def test_what_are_no_triplets() -> None:
    images: Any = (torch.rand(1, 3, 8, 8),) * 3
    with pytest.raises(InputError, match=r"triplets is a tuple.*Triplets\(ref, p0, p1\).*open_triplets"):
        RankFlip(any_weights("l2"), images)
