"""Several metrics as one: against a plain sum, and what an attack on it does to its members."""

from __future__ import annotations

import pytest
import torch

from simlib import metrics
from simlib.attacks import RankFlip, pgd
from simlib.errors import InputError, UnknownNameError
from simlib.metrics import Committee
from simlib.triplets import photos
from tests.support import any_weights, random_triplets


@pytest.mark.parametrize("names", [["l2", "ssim"], ["st-lpips-alex", "l1", "gmsd"]])
def test_it_is_the_mean_of_its_members_in_their_units(names: list[str]) -> None:
    members = [any_weights(name) for name in names]
    committee, triplets = Committee(members), random_triplets(4, side=64)
    expected = sum(
        member(triplets.ref, triplets.p0) / unit
        for member, unit in zip(members, committee.units, strict=True)
    )
    torch.testing.assert_close(committee(triplets.ref, triplets.p0), expected / len(members))
    keep = torch.tensor([2, 0])
    torch.testing.assert_close(
        committee.anchor(triplets.ref).narrow(keep)(triplets.p0[keep]),
        committee(triplets.ref, triplets.p0)[keep],
    )


def test_members_have_about_equal_say() -> None:
    committee = Committee([any_weights("l2"), any_weights("mdsi"), any_weights("st-lpips-alex")])
    triplets = photos(16, seed=8)
    shares = torch.stack(
        [
            member(triplets.ref, triplets.p1) / unit
            for member, unit in zip(committee.members, committee.units, strict=True)
        ]
    ).median(dim=1)
    assert float(shares.values.max() / shares.values.min()) < 30
    raw = torch.stack([member(triplets.ref, triplets.p1).median() for member in committee.members])
    assert float(raw.max() / raw.min()) > 30


def test_an_attack_follows_all_members() -> None:
    triplets = photos(24, seed=2)
    names = ("ssim", "gmsd")
    alone, both = any_weights("ssim"), metrics.load("committee:ssim+gmsd")
    flips = {}
    for made_on in (alone, both):
        images = pgd(RankFlip(made_on, triplets), eps=6 / 255, step=1 / 255, steps=8, early_stop=False).images
        flips[made_on] = [(RankFlip(any_weights(name), triplets).margin(images) > 0).sum() for name in names]
    assert flips[both][1] > flips[alone][1]


def test_what_a_committee_says_of_itself() -> None:
    spec = metrics.spec_of("committee:lpips-alex+l1+gmsd")
    assert spec.title == "Committee of LPIPS (Alex), L1 and GMSD"
    assert spec.weights == metrics.spec_of("lpips-alex").weights
    assert spec.least_side == metrics.spec_of("lpips-alex").least_side
    assert {"lpips", "piq"} <= set(spec.library.split(", "))


@pytest.mark.parametrize("names", ["l2", "l2+l2"])
def test_one_metric_is_no_committee(names: str) -> None:
    with pytest.raises(InputError, match="two or more different metrics"):
        metrics.spec_of(f"committee:{names}")


def test_values_below_zero_are_refused() -> None:
    with pytest.raises(InputError, match="PieAPP, whose values may be below zero"):
        metrics.spec_of("committee:l2+pieapp")


def test_an_unknown_member_is_named() -> None:
    with pytest.raises(UnknownNameError, match="ssmi"):
        metrics.spec_of("committee:l2+ssmi")
