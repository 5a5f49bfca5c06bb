"""Several metrics as one: against a plain sum, and what an attack on it does to its members."""

from __future__ import annotations

import pytest
import torch

from simlib import metrics
from simlib.attacks import PGD, RankFlip
from simlib.errors import InputError, UnknownNameError
from simlib.metrics import Ensemble
from simlib.triplets import photos
from tests.support import any_weights, random_triplets


@pytest.mark.parametrize("names", [["l2", "ssim"], ["st-lpips-alex", "l1", "gmsd"]])
def test_it_is_the_mean_of_its_members_in_their_units(names: list[str]) -> None:
    members = [any_weights(name) for name in names]
    ensemble, triplets = Ensemble(members), random_triplets(4, side=64)
    distances = [member(triplets.ref, triplets.p0) for member in members]
    expected = sum(each / unit for each, unit in zip(distances, ensemble.units, strict=True))
    torch.testing.assert_close(ensemble(triplets.ref, triplets.p0), expected / len(members))


def test_members_have_about_equal_influence() -> None:
    ensemble = Ensemble([any_weights("l2"), any_weights("mdsi"), any_weights("st-lpips-alex")])
    triplets = photos(8, seed=8)
    raw = torch.stack([member(triplets.ref, triplets.p1).median() for member in ensemble.members])
    shares = raw / ensemble.units
    assert shares.max() / shares.min() < 30 < raw.max() / raw.min()


def test_an_attack_follows_all_members() -> None:
    triplets, attack = photos(16, seed=2), PGD(eps=6 / 255, step=1 / 255, steps=8, early_stop=False)
    other = RankFlip(any_weights("gmsd"), triplets)
    attacked = [RankFlip(metrics.load(name), triplets) for name in ("ssim", "ensemble:ssim+gmsd")]
    alone, both = ((other.margin(attack(each).images) > 0).sum() for each in attacked)
    assert both > alone


def test_the_spec_is_made_of_those_of_the_members() -> None:
    spec, learned = metrics.spec_of("ensemble:lpips-alex+l1+gmsd"), metrics.spec_of("lpips-alex")
    assert spec.title == "Ensemble of LPIPS (Alex), L1 and GMSD"
    assert spec.parts == ("lpips-alex", "l1", "gmsd")
    assert (spec.weights, spec.least_side) == (learned.weights, learned.least_side)
    assert {"lpips", "piq"} <= set(spec.library.split(", "))
    assert metrics.load(spec.name).spec == spec


def test_members_that_make_no_ensemble() -> None:
    with pytest.raises(InputError, match="two or more different metrics"):
        Ensemble([any_weights("l2")])
    for names, kind, message in (
        ("l2+l2", InputError, "two or more different metrics"),
        ("l2+pieapp", InputError, "PieAPP, whose values may be below zero"),
        ("l2+ssmi", UnknownNameError, "ssmi"),
    ):
        with pytest.raises(kind, match=message):
            metrics.spec_of(f"ensemble:{names}")
