"""Triplets looked at once: ranks, distances with an attacked image in place, and parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from simlib.attacks import PGD, RankedFlip, RankFlip, Ranking, Target, is_defined
from simlib.errors import InputError
from simlib.triplets import photos
from tests.rounding import tolerance
from tests.support import any_weights, exact, random_triplets

every_target = pytest.mark.parametrize("target", get_args(Target))


@every_target
@pytest.mark.parametrize("name", ["ssim", "st-lpips-alex"])
def test_distances_with_an_attacked_image_in_place(name: str, target: Target) -> None:
    metric, triplets = any_weights(name), photos(6, seed=2, side=64)
    ranking = Ranking.look(metric, triplets)
    images = random_triplets(6, side=64).p0
    attacked_p1 = ranking.attacks_p1(target)
    first, second = ranking.with_attacked(images, target, attacked_p1)
    noise = tolerance(name, first)
    for place, one in enumerate(triplets):
        image = images[place : place + 1]
        if target == "reference":
            changed = replace(one, ref=image)
        else:
            changed = replace(one, p1=image) if attacked_p1[place] else replace(one, p0=image)
        found = torch.stack([first[place], second[place]])
        expected = torch.cat([metric(changed.ref, changed.p0), metric(changed.ref, changed.p1)])
        torch.testing.assert_close(found, expected, rtol=0, atol=noise)


def test_whose_image_is_attacked_and_that_a_tie_stands_for_p0_and_is_no_reversal() -> None:
    triplets = photos(16, seed=4, side=32)
    ranking = Ranking.look(any_weights("l2"), triplets)
    assert 0 < int(ranking.p1_closer.sum()) < 16
    assert torch.equal(ranking.attacks_p1("closer"), ranking.p1_closer)
    assert torch.equal(ranking.attacks_p1("farther"), ~ranking.p1_closer)
    tied = Ranking.look(any_weights("l2"), replace(triplets, p1=triplets.p0))
    assert not tied.p1_closer.any()
    assert not tied.is_reversed(tied.distance0, tied.distance1).any()
    assert tied.is_reversed(tied.distance0 + 1e-6, tied.distance1).all()


@every_target
@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_problem_looked_at_before_gives_the_same_result(
    target: Target, batch_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With 4 at once, the reference was looked at in a larger batch; in float64 that cannot show.
    metric, triplets = any_weights("ssim", torch.float64), exact(photos(10, seed=5, side=32))
    ranked = RankedFlip(metric, triplets, target, ranking=Ranking.look(metric, triplets))
    pgd, plain = PGD(eps=4 / 255, step=1 / 255, steps=4), RankFlip(metric, triplets, target)
    expected, found = (pgd(problem, batch_size=batch_size) for problem in (plain, ranked))
    torch.testing.assert_close(expected.images, found.images, atol=1e-9, rtol=0)
    assert torch.equal(expected.flipped, found.flipped)
    assert type(ranked[:3]) is RankFlip
    monkeypatch.setattr(metric, "embed", lambda _: pytest.fail("looked again"))
    assert len(ranked.batch()) == 10
    assert ranked.batch(1, 3).names == triplets.names[1:3]


@pytest.mark.parametrize("ask", [Ranking.look, is_defined])
def test_what_is_no_metric_or_no_triplets_is_refused_in_words(ask: Any) -> None:
    triplets = random_triplets(2)
    for metric in (torch.nn.MSELoss(), None, "l2"):
        with pytest.raises(InputError, match=r"^metric is .* no metric of simlib.*from_callable"):
            ask(metric, triplets)
    for other in (None, triplets.ref, (triplets.ref, triplets.p0, triplets.p1)):
        with pytest.raises(InputError, match=r"^triplets is a .*Triplets\(ref, p0, p1\).*open_triplets"):
            ask(any_weights("l2"), other)
    with pytest.raises(InputError, match="VIF needs images of at least"):
        ask(any_weights("vif"), random_triplets(2, side=24))
