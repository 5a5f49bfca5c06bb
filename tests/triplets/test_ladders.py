"""Tests of simlib.triplets.ladders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from simlib.errors import InputError
from simlib.triplets import DISTORTIONS, Triplets, open_triplets, photos
from simlib.triplets.ladders import harder_ladders, labelled, ladder_ratio
from tests.triplets.stored_triplets import assert_same, save_split

RATIOS = (1.1, 1.5)


@pytest.fixture(scope="module")
def drawn() -> Triplets:
    return photos(len(RATIOS) * len(DISTORTIONS))


def test_a_harder_ladder_has_one_distortion_at_two_strengths_of_the_ratio(drawn: Triplets) -> None:
    harder = harder_ladders(drawn, ratios=RATIOS)
    assert torch.equal(harder.ref, drawn.ref)
    assert bool((harder.judge == 1).all())
    for images in (harder.p0, harder.p1):
        assert torch.equal((images * 255).round() / 255, images)
    titles = []
    for i, pair in enumerate(harder.distortions):
        (stronger, strength), (milder, least) = (text.rsplit(" ", 1) for text in pair)
        assert stronger == milder
        assert ladder_ratio(harder.names[i]) == RATIOS[i % 2]
        # as printed, both strengths are off by up to half a hundredth
        assert abs(float(strength) - RATIOS[i % 2] * float(least)) < 0.005 * (1 + RATIOS[i % 2])
        assert 0.145 <= float(least) <= 0.455
        titles.append(milder)
    assert titles == [each.title for each in DISTORTIONS.values() for _ in RATIOS]


def test_what_is_labelled_closer_is_closer_where_more_strength_is_more_change(drawn: Triplets) -> None:
    harder = harder_ladders(drawn, ratios=RATIOS)
    far, near = ((images - harder.ref).square().flatten(1).sum(dim=1) for images in (harder.p0, harder.p1))
    monotone = torch.tensor([each.monotone for each in DISTORTIONS.values() for _ in RATIOS])
    assert bool((far > near)[monotone].all())
    assert bool((near > 0).all())


def test_a_smaller_set_begins_a_larger_one_and_the_seed_chooses_another(drawn: Triplets) -> None:
    harder = harder_ladders(drawn, ratios=RATIOS)
    assert_same(harder_ladders(drawn[:3], ratios=RATIOS), harder[:3])
    assert harder_ladders(drawn[:3], ratios=RATIOS, seed=1).distortions != harder.distortions[:3]


@pytest.mark.parametrize("ratios", [(), (1.0,), (1.5, 0.8), (2.3,), (float("nan"),)])
def test_ratios_that_make_no_ladder_are_refused(drawn: Triplets, ratios: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="Give numbers above 1"):
        harder_ladders(drawn[:1], ratios=ratios)


def test_where_nobody_voted_the_labelled_are_ladders_of_the_set_and_harder_ones(drawn: Triplets) -> None:
    found, n = labelled("photos", len(drawn), ratios=RATIOS), len(drawn)
    assert_same(found[: n // 2], drawn[::2])
    assert_same(found[n // 2 :], harder_ladders(drawn, ratios=RATIOS))
    assert [ladder_ratio(name) for name in found.names] == [None] * (n // 2) + [*RATIOS] * (n // 2)


def test_votes_are_drawn_from_all_triplets_and_not_only_from_clear_winners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_split(tmp_path / "2afc" / "val", (0.0, 0.4, 1.0))
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path))
    found = labelled("bapps", 1000, ratios=RATIOS)
    assert len(found) == 18
    assert sorted(found.judge.tolist()) == pytest.approx([0.0] * 6 + [0.4] * 6 + [1.0] * 6)
    assert found.label_source == "human"
    assert_same(labelled("bapps", 5, ratios=RATIOS), found[:5])
    assert labelled("bapps", 18, seed=1, ratios=RATIOS).names != found.names
    assert set(found.names) == set(open_triplets("bapps").names)


def test_ladders_are_never_called_human(drawn: Triplets) -> None:
    voted = replace(drawn[:2], label_source="human")
    assert harder_ladders(voted, ratios=RATIOS).label_source == "constructed"
